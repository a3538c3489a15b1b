package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

// Get implements [storage.Driver]. A connection that breaks in the middle is
// taken up again where it broke.
func (d *Driver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	if offset < 0 || length < -1 {
		return nil, bundle.Errorf(bundle.KindInvalid, "s3: range of %d bytes at %d of %s", length, offset, key)
	}
	if length == 0 { // no header says that
		if _, err := d.Stat(ctx, key); err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	r := &reader{key: key, offset: offset, left: length}
	// Cancelling Get's context ends the reads, so it holds for these requests too.
	r.reopen = func(cause error) error { return d.reopen(ctx, r, cause) }
	if err := d.open(ctx, r); err != nil {
		return nil, err
	}
	return r, nil
}

// reader streams one range of an object.
type reader struct {
	key          string
	offset, left int64 // what is still to be read; left -1 to the end
	etag         string
	body         io.ReadCloser // nil past the end
	tries        int           // without a byte
	reopen       func(cause error) error
}

// open asks for what is left of r.
func (d *Driver) open(ctx context.Context, r *reader) error {
	var opts minio.GetObjectOptions
	ranged := r.offset > 0 || r.left >= 0
	switch {
	case r.left >= 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", r.offset, r.offset+r.left-1))
	case ranged:
		opts.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
	}
	if r.etag != "" {
		opts.Set("If-Match", `"`+r.etag+`"`)
	}
	body, info, header, err := d.core.GetObject(ctx, d.cfg.Bucket, d.name(r.key), opts)
	if hasStatus(err, http.StatusRequestedRangeNotSatisfiable) {
		return nil
	}
	if err != nil {
		return fail(ctx, err, "get %s", r.key)
	}
	if ranged && header.Get("Content-Range") == "" && info.Size > 0 {
		err := bundle.Errorf(bundle.KindOther, "s3: get %s: the store ignored the Range header; use one that supports it", r.key)
		return errors.Join(err, body.Close())
	}
	r.body, r.etag = body, info.ETag
	return nil
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.body == nil || r.left == 0 {
			return 0, io.EOF
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if r.left > 0 {
			r.left -= int64(n)
		}
		if n > 0 {
			r.tries = 0
			return n, nil // an error comes again with the next Read
		}
		if err == nil || err == io.EOF {
			return 0, err
		}
		if err := r.reopen(err); err != nil {
			return 0, err
		}
	}
}

// reopen asks again after a broken connection, as often as any request is tried
// without a byte arriving.
func (d *Driver) reopen(ctx context.Context, r *reader, cause error) error {
	if r.tries++; r.tries >= d.cfg.Attempts || !pause(ctx, r.tries) {
		return fail(ctx, cause, "get %s", r.key)
	}
	// The connection is broken: closing its body can only repeat that.
	_ = r.body.Close()
	r.body = nil
	return d.open(ctx, r)
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.body = nil
	return err
}
