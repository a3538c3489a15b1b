package main

import (
	"context"
	"os"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

// buckets is a running S3 server, without the proxy of [site.Buckets]: it would
// take its share of what is measured.
type buckets struct{ gateway *gatewaytest.Gateway }

// startBuckets starts the server in a new folder. The error is
// [gatewaytest.ErrNotFound] if there is no program for it.
func startBuckets(ctx context.Context, dir string) (*buckets, error) {
	program, err := gatewaytest.Find()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	gateway, err := gatewaytest.Start(ctx, program, dir)
	if err != nil {
		return nil, err
	}
	return &buckets{gateway}, nil
}

// store returns a new bucket.
func (b *buckets) store(name string) (site.Store, error) {
	return site.Store{
		Endpoint: b.gateway.Endpoint, Bucket: name,
		AccessKeyID: b.gateway.AccessKeyID, SecretAccessKey: b.gateway.SecretAccessKey,
	}, b.gateway.MakeBucket(name)
}

func (b *buckets) close() { b.gateway.Close() }
