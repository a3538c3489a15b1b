package s3

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"syscall"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

// upload gathers an object whose key and digest are known only at the end:
// small ones in memory, larger ones in a file without a name.
type upload struct {
	d    *Driver
	buf  bytes.Buffer
	file *os.File // nil while the object is small
	size int64
	done bool
}

// Create implements [storage.Driver]. Nothing is sent before Commit.
func (d *Driver) Create(ctx context.Context, sizeHint int64) (storage.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail(ctx, err, "create")
	}
	u := &upload{d: d}
	if sizeHint > 0 && sizeHint <= memoryLimit {
		u.buf.Grow(int(sizeHint))
	}
	return u, nil
}

// Write implements [storage.Upload].
func (u *upload) Write(p []byte) (int, error) {
	if u.done {
		return 0, bundle.Errorf(bundle.KindOther, "s3: write to an upload that has ended")
	}
	if u.file == nil && u.size+int64(len(p)) > memoryLimit {
		if err := u.spool(); err != nil {
			return 0, err
		}
	}
	w := io.Writer(&u.buf)
	if u.file != nil {
		w = u.file
	}
	n, err := w.Write(p)
	u.size += int64(n)
	if err != nil {
		return n, u.spoolError(err)
	}
	return n, nil
}

// spool moves what is in memory to a file.
func (u *upload) spool() error {
	f, err := os.CreateTemp(u.d.cfg.TempDir, "blockstored-upload-*")
	if err != nil {
		return u.spoolError(err)
	}
	// The open file lives on without its name, and ends with the process.
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(u.spoolError(err), f.Close())
	}
	u.file = f
	if _, err := f.Write(u.buf.Bytes()); err != nil {
		return u.spoolError(err)
	}
	u.buf = bytes.Buffer{}
	return nil
}

func (u *upload) spoolError(err error) error {
	dir := u.d.cfg.TempDir
	if dir == "" {
		dir = os.TempDir()
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return bundle.Errorf(bundle.KindNoSpace, "s3: no space in %s for an upload on its way to the bucket; free some there: %w", dir, err)
	}
	return bundle.Errorf(bundle.KindOther, "s3: hold an upload in %s: %w", dir, err)
}

// body returns a reader of everything written. It can seek, so a request can be
// tried again, and has no Close that the client could call.
func (u *upload) body() *io.SectionReader {
	var r io.ReaderAt = u.file
	if u.file == nil {
		r = bytes.NewReader(u.buf.Bytes())
	}
	return io.NewSectionReader(r, 0, u.size)
}

// Commit implements [storage.Upload]. The store checks the digest and refuses
// to overwrite; a multipart upload can't ask for either, see commitParts.
func (u *upload) Commit(ctx context.Context, key string, digest bundle.Digest) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if u.done {
		return bundle.Errorf(bundle.KindOther, "s3: commit of an upload that has ended")
	}
	put := u.d.putWhole
	if u.size > u.d.singlePut {
		put = u.d.putParts
	}
	if err := put(ctx, key, digest, u.body()); err != nil {
		return err
	}
	return u.Abort() // the bytes are in the bucket
}

// Abort implements [storage.Upload].
func (u *upload) Abort() error {
	if u.done {
		return nil
	}
	u.done = true
	u.buf = bytes.Buffer{}
	if u.file == nil {
		return nil
	}
	return u.file.Close()
}

// putWhole creates the object with one PUT.
func (d *Driver) putWhole(ctx context.Context, key string, digest bundle.Digest, body *io.SectionReader) error {
	opts := putOptions(digest)
	opts.SetMatchETagExcept("*")
	for try := 1; ; try++ {
		_, err := d.core.PutObject(ctx, d.cfg.Bucket, d.name(key), body, body.Size(),
			"", hex.EncodeToString(digest[:]), opts)
		if err == nil {
			return nil
		}
		switch {
		case hasStatus(err, http.StatusPreconditionFailed):
			err = d.compare(ctx, key, body.Size())
			if !bundle.IsKind(err, bundle.KindNotFound) {
				return err
			}
			// It was deleted since: put it again.
		case hasCode(err, "ConditionalRequestConflict"):
			// Another writer of the same key was under way.
		default:
			return fail(ctx, err, "put %s", key)
		}
		if try >= d.cfg.Attempts || !pause(ctx, try) {
			return fail(ctx, err, "put %s", key)
		}
	}
}

// compare judges an object that is there already: a key names content, so one
// of the same size is the same.
func (d *Driver) compare(ctx context.Context, key string, size int64) error {
	o, err := d.Stat(ctx, key)
	if err != nil {
		return err
	}
	if o.Size != size {
		return bundle.Errorf(bundle.KindConflict,
			"s3: %s exists with %d bytes where %d were written; the object was damaged or is not this program's", key, o.Size, size)
	}
	return nil
}
