package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage/s3"
)

// floors are what the machine itself takes for the durable steps of which a
// commit is made, in a folder beside the sites' own.
type floors struct {
	dir     string
	log     *os.File
	written uint64
	bucket  *s3.Driver // nil without an S3 server
}

func newFloors(dir string) (*floors, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &floors{dir: dir, log: log}, err
}

// useBucket makes store the bucket of the PUTs.
func (f *floors) useBucket(ctx context.Context, store site.Store) (err error) {
	f.bucket, err = s3.Open(ctx, s3.Config{
		Endpoint: store.Endpoint, Bucket: store.Bucket, Region: "us-east-1", PathStyle: true,
		AccessKeyID: store.AccessKeyID, SecretAccessKey: store.SecretAccessKey,
	})
	return err
}

func (f *floors) close() error {
	err := f.log.Close()
	if f.bucket != nil {
		err = errors.Join(err, f.bucket.Close())
	}
	return err
}

// next returns 1 KiB that was not written before.
func (f *floors) next() []byte {
	f.written++
	return text(0, f.written)
}

// appended is the floor of a command in the log, file and put of an object in a
// folder and in a bucket.
func (f *floors) appended() subject {
	return subject{name: "floor: log append of 1 KiB, fsync", clients: 1, op: f.logAppend}
}

func (f *floors) file() subject {
	return subject{name: "floor: durable file (create, write 1 KiB, fsync, rename, fsync folder)", clients: 1, op: f.durableFile}
}

func (f *floors) put() subject {
	return subject{name: "floor: PUT of 1 KiB, by the store's own S3 client", clients: 1, op: f.putObject}
}

func (f *floors) durableFile(context.Context, int) error {
	content := f.next()
	path := filepath.Join(f.dir, fmt.Sprintf("object-%d", f.written))
	temp, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f *floors) logAppend(context.Context, int) error {
	if _, err := f.log.Write(f.next()); err != nil {
		return err
	}
	return f.log.Sync()
}

func (f *floors) putObject(ctx context.Context, _ int) error {
	return f.putContent(ctx, fmt.Sprintf("object-%d", f.written), f.next())
}

func (f *floors) putContent(ctx context.Context, key string, content []byte) error {
	u, err := f.bucket.Create(ctx, int64(len(content)))
	if err != nil {
		return err
	}
	if _, err := u.Write(content); err != nil {
		return errors.Join(err, u.Abort())
	}
	return u.Commit(ctx, key, bundle.DigestOf(content))
}

// signedURL puts content into the bucket and returns a URL by which the S3
// server itself hands it out.
func (f *floors) signedURL(ctx context.Context, key string, content []byte) (string, error) {
	if err := f.putContent(ctx, key, content); err != nil {
		return "", err
	}
	return f.bucket.PresignGet(ctx, key, time.Hour)
}
