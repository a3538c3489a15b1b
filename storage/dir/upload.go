package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

// upload is an object being written to a temporary file.
type upload struct {
	d    *Driver
	f    *os.File // nil once ended
	sha  hash.Hash
	size int64
	err  error // the first write error
}

// Create implements [storage.Driver].
func (d *Driver) Create(ctx context.Context, _ int64) (storage.Upload, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, err := d.temp.create()
	if err != nil {
		return nil, wrap("begin an object in", d.root, err)
	}
	return &upload{d: d, f: f, sha: sha256.New()}, nil
}

func (u *upload) Write(p []byte) (int, error) {
	if u.f == nil {
		return 0, bundle.Errorf(bundle.KindOther, "write to an object that is committed or aborted")
	}
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.f.Write(p)
	u.sha.Write(p[:n])
	u.size += int64(n)
	if err != nil {
		u.err = wrap("write an object in", u.d.root, err)
	}
	return n, u.err
}

func (u *upload) Commit(ctx context.Context, key string, digest bundle.Digest) error {
	path, err := u.d.path(ctx, key)
	if err != nil {
		return err
	}
	switch {
	case u.f == nil:
		return bundle.Errorf(bundle.KindOther, "commit of an object that is committed or aborted")
	case u.err != nil:
		return u.err
	case bundle.Digest(u.sha.Sum(nil)) != digest:
		return bundle.Errorf(bundle.KindCorrupt, "object %s: the bytes written do not have the digest %s", key, digest)
	}
	if err := u.commit(path); err != nil {
		if bundle.KindOf(err) != bundle.KindOther {
			return err
		}
		return wrap("store object", key, err)
	}
	return nil
}

// commit makes the bytes durable, then gives them their name, then makes the
// name durable. An object that has the name already is left alone, but made as
// durable: whoever wrote it may not have come so far.
func (u *upload) commit(path string) error {
	temp := u.f.Name()
	if err := errors.Join(u.f.Sync(), u.f.Close()); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if err := u.d.makeFolder(folder); err != nil {
		return err
	}
	err := renameNew(temp, path)
	if errors.Is(err, fs.ErrExist) {
		info, err := statObject(path)
		if err != nil {
			return err
		}
		if info.Size() != u.size {
			return bundle.Errorf(bundle.KindConflict, "object %s exists with %d bytes instead of %d: it is damaged; move it away and try again",
				path, info.Size(), u.size)
		}
		if err := syncDir(folder); err != nil {
			return err
		}
		return u.Abort()
	}
	if err != nil {
		return err
	}
	u.f = nil
	return syncDir(folder)
}

func (u *upload) Abort() error {
	if u.f == nil {
		return nil
	}
	name := u.f.Name()
	err := u.f.Close()
	if errors.Is(err, fs.ErrClosed) {
		err = nil // a failed Commit closed it
	}
	u.f = nil
	if err := errors.Join(err, os.Remove(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap("remove unfinished object", name, err)
	}
	return nil
}

// makeFolder makes an object's folder and those above it, each one's entry
// durable before anything relies on it.
func (d *Driver) makeFolder(folder string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.makeFolderLocked(folder)
}

func (d *Driver) makeFolderLocked(folder string) error {
	if d.durable[folder] {
		return nil
	}
	parent := filepath.Dir(folder)
	if err := d.makeFolderLocked(parent); err != nil {
		return err
	}
	if err := os.Mkdir(folder, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	d.durable[folder] = true
	return nil
}

// syncDir makes the entries of a folder durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// renameByLink renames without replacing by a hard link.
func renameByLink(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

// folderNames returns the names in a folder in the order of the keys they make:
// folders sort, and are returned, with a slash behind. Names that no key has
// are left out.
func folderNames(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		switch {
		case storage.CheckKey(name) != nil:
		case e.IsDir():
			names = append(names, name+"/")
		case e.Type().IsRegular():
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
