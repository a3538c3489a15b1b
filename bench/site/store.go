package site

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

// Store is where a site keeps the bytes of files: a bucket, or a folder if it
// is the zero value.
type Store struct {
	Endpoint, Bucket             string
	AccessKeyID, SecretAccessKey string
}

func (s Store) yaml() string {
	if s.Endpoint == "" {
		return "storage:\n  driver: dir\n"
	}
	return fmt.Sprintf("storage:\n  driver: s3\n  s3:\n    endpoint: %q\n    bucket: %q\n"+
		"    region: us-east-1\n    access_key_id: %q\n    secret_access_key: %q\n"+
		"cluster:\n  listen: \"\"\n", // sites have one node each
		s.Endpoint, s.Bucket, s.AccessKeyID, s.SecretAccessKey)
}

// Buckets is a running S3 server with a counting proxy before it. The zero
// value has none and hands out folders.
type Buckets struct {
	gateway *gatewaytest.Gateway
	wire    *Proxy
}

// OpenBuckets starts an S3 server in the empty folder dir if any of drivers is
// s3. The error is [gatewaytest.ErrNotFound] if there is no program for it.
func OpenBuckets(ctx context.Context, dir string, drivers ...string) (*Buckets, error) {
	b := &Buckets{}
	for _, d := range drivers {
		switch {
		case d != "dir" && d != "s3":
			return nil, fmt.Errorf("storage %q is neither dir nor s3", d)
		case d == "s3" && b.gateway == nil:
			if err := b.start(ctx, dir); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (b *Buckets) start(ctx context.Context, dir string) error {
	program, err := gatewaytest.Find()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if b.gateway, err = gatewaytest.Start(ctx, program, dir); err != nil {
		return err
	}
	b.wire, err = StartProxy(ctx, strings.TrimPrefix(b.gateway.Endpoint, "http://"))
	if err != nil {
		b.gateway.Close()
	}
	return err
}

// Store returns the store of a site: a new bucket of the site's name, or its
// own folder.
func (b *Buckets) Store(driver, name string) (Store, error) {
	if driver == "dir" {
		return Store{}, nil
	}
	if err := b.gateway.MakeBucket(name); err != nil {
		return Store{}, err
	}
	return Store{
		Endpoint: b.wire.URL(), Bucket: name,
		AccessKeyID: b.gateway.AccessKeyID, SecretAccessKey: b.gateway.SecretAccessKey,
	}, nil
}

// Count returns what all sites exchanged with the S3 server.
func (b *Buckets) Count() Wire {
	if b.wire == nil {
		return Wire{}
	}
	return b.wire.Count()
}

// Close ends the server.
func (b *Buckets) Close() error {
	if b.gateway == nil {
		return nil
	}
	var err error
	if b.wire != nil {
		err = b.wire.Close()
	}
	b.gateway.Close()
	return err
}
