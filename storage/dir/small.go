package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

// ReadSmall implements [storage.Driver].
func (d *Driver) ReadSmall(ctx context.Context, key string) ([]byte, string, error) {
	path, err := d.path(ctx, key)
	if err != nil {
		return nil, "", err
	}
	body, err := readSmall(path)
	if err != nil {
		return nil, "", wrap("read object", key, err)
	}
	if len(body) > storage.MaxSmall {
		return nil, "", tooLarge(key)
	}
	return body, tagOf(body), nil
}

// WriteSmall implements [storage.Driver]. The lock file makes comparing and
// replacing one step, among programs too.
func (d *Driver) WriteSmall(ctx context.Context, key string, body []byte, tag string) (newTag string, err error) {
	path, err := d.path(ctx, key)
	if err != nil {
		return "", err
	}
	if len(body) > storage.MaxSmall {
		return "", tooLarge(key)
	}
	release, err := d.lock.acquire(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", wrap("lock object", key, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	now := ""
	switch old, err := readSmall(path); {
	case err == nil:
		now = tagOf(old)
	case !absent(err):
		return "", wrap("read object", key, err)
	}
	if now != tag {
		return "", bundle.Errorf(bundle.KindConflict, "object %s was changed by another: read it again", key)
	}
	if err := d.replace(path, body); err != nil {
		return "", wrap("write object", key, err)
	}
	return tagOf(body), nil
}

// replace writes body to path by way of a temporary file.
func (d *Driver) replace(path string, body []byte) error {
	f, err := d.temp.create()
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	folder := filepath.Dir(path)
	if err == nil {
		err = d.makeFolder(folder)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(folder)
}

// readSmall returns at most one byte more than a small object may have.
func readSmall(path string) (body []byte, err error) {
	f, err := openObject(path)
	if err != nil {
		return nil, err
	}
	body, err = io.ReadAll(io.LimitReader(f, storage.MaxSmall+1))
	return body, errors.Join(err, f.Close())
}

// tagOf names a state by its content.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

func tooLarge(key string) error {
	return bundle.Errorf(bundle.KindTooLarge, "object %s: a small object has at most %d bytes", key, storage.MaxSmall)
}
