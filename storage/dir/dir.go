package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

const (
	dirMode  = 0o750
	fileMode = 0o640

	// tempName is the folder of unfinished objects, lockName the file whose
	// lock guards it and the small objects. Keys never begin with a dot.
	tempName = ".tmp"
	lockName = ".lock"
)

// Driver is a [storage.Driver] over a folder.
type Driver struct {
	root string
	temp *tempDir
	lock *lockFile

	mu      sync.Mutex
	durable map[string]bool // folders whose own entry is known to be on disk
}

var _ storage.Driver = (*Driver)(nil)

// Open returns a driver over the folder at path, which is made if absent, with
// the objects that lie there. What unfinished writes of programs that ended
// have left behind is removed. The caller closes the driver.
func Open(path string) (*Driver, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "storage folder %q: %w", path, err)
	}
	if err := makeRoot(root); err != nil {
		return nil, openFailed(root, err)
	}
	d := &Driver{root: root, lock: newLockFile(filepath.Join(root, lockName)), durable: map[string]bool{}}
	if d.temp, err = openTemp(filepath.Join(root, tempName), d.lock); err != nil {
		return nil, openFailed(root, err)
	}
	if err := d.knowFolders(); err != nil {
		return nil, errors.Join(openFailed(root, err), d.temp.close())
	}
	return d, nil
}

func openFailed(root string, err error) error {
	return fmt.Errorf("open the storage folder %s: %w: it must be a folder that this user may write", root, err)
}

// makeRoot makes the folder and those above it, durably.
func makeRoot(root string) error {
	info, err := os.Stat(root)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "open", Path: root, Err: syscall.ENOTDIR}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(root)
	if err := makeRoot(parent); err != nil {
		return err
	}
	if err := os.Mkdir(root, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// knowFolders remembers the folders under the root: one fsync of the root
// makes the entries of all of them durable.
func (d *Driver) knowFolders() error {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return err
	}
	if err := syncDir(d.root); err != nil {
		return err
	}
	d.durable[d.root] = true
	for _, e := range entries {
		if e.IsDir() {
			d.durable[filepath.Join(d.root, e.Name())] = true
		}
	}
	return nil
}

// Close removes the driver's own temporary folder. Uploads still open fail.
func (d *Driver) Close() error { return d.temp.close() }

// path returns the file of a key.
func (d *Driver) path(ctx context.Context, key string) (string, error) {
	if err := storage.CheckKey(key); err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// Get implements [storage.Driver].
func (d *Driver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < -1 {
		return nil, bundle.Errorf(bundle.KindInvalid, "a range of %d bytes from %d is none", length, offset)
	}
	path, err := d.path(ctx, key)
	if err != nil {
		return nil, err
	}
	f, err := openObject(path)
	if err != nil {
		return nil, wrap("read object", key, err)
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return nil, errors.Join(wrap("read object", key, err), f.Close())
		}
	}
	r := &reader{ctxErr: func() error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}, f: f, r: f, key: key}
	if length >= 0 {
		r.r = io.LimitReader(f, length)
	}
	return r, nil
}

// openObject opens a regular file; a folder or a link is no object.
func openObject(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// reader is an open range of an object.
type reader struct {
	ctxErr func() error
	f      *os.File
	r      io.Reader
	key    string
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctxErr(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = wrap("read object", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error { return r.f.Close() }

// Stat implements [storage.Driver].
func (d *Driver) Stat(ctx context.Context, key string) (storage.ObjectInfo, error) {
	path, err := d.path(ctx, key)
	if err != nil {
		return storage.ObjectInfo{}, err
	}
	info, err := statObject(path)
	if err != nil {
		return storage.ObjectInfo{}, wrap("stat object", key, err)
	}
	return storage.ObjectInfo{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

func statObject(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return info, nil
}

// Delete implements [storage.Driver]. Folders stay, so that nothing is removed
// under an object on its way in.
func (d *Driver) Delete(ctx context.Context, key string) error {
	path, err := d.path(ctx, key)
	if err != nil {
		return err
	}
	_, err = statObject(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil && !absent(err) {
		return wrap("delete object", key, err)
	}
	return nil
}

// List implements [storage.Driver]. It holds one folder's names at a time for
// each level.
func (d *Driver) List(ctx context.Context, prefix string, fn func(storage.ObjectInfo) error) error {
	return d.list(ctx, "", prefix, fn)
}

// list walks the folder whose keys begin with base, "" or ending in a slash.
func (d *Driver) list(ctx context.Context, base, prefix string, fn func(storage.ObjectInfo) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	names, err := folderNames(filepath.Join(d.root, filepath.FromSlash(base)))
	if err != nil {
		if absent(err) && base != "" {
			return nil
		}
		return wrap("list objects in", base, err)
	}
	for _, name := range names {
		key := base + name
		if strings.HasSuffix(name, "/") {
			if strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key) {
				if err := d.list(ctx, key, prefix, fn); err != nil {
					return err
				}
			}
			continue
		}
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		info, err := d.Stat(ctx, key)
		if bundle.IsKind(err, bundle.KindNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}

// Free implements [storage.Driver].
func (d *Driver) Free(ctx context.Context) (int64, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	free, err := freeBytes(d.root)
	if err != nil {
		return 0, wrap("read the free space of", d.root, err)
	}
	return free, nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// wrap gives a file system's error its kind.
func wrap(what, name string, err error) error {
	switch {
	case absent(err):
		return bundle.Errorf(bundle.KindNotFound, "%s %s: no such object", what, name)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return bundle.Errorf(bundle.KindNoSpace, "%s %s: the disk is full: free some space and try again: %w", what, name, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EAGAIN),
		errors.Is(err, syscall.ESTALE), errors.Is(err, fs.ErrClosed):
		return bundle.Errorf(bundle.KindUnavailable, "%s %s: %w", what, name, err)
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}
