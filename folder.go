package blockstored

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/blockstored/blockstored/bundle"
)

// The data folder: LOCK (held while a node runs on it), FORMAT (its version),
// instance.key, node (this node's id), welcome.json (while it joins others), recovery.json (while it is recovered),
// catalog/, raft/, store/ with the dir driver, tmp/, admin.sock.
const (
	folderFormat = "blockstored data folder, format 1\n"
	nodeFile     = "node"
)

// folder is a locked data folder.
type folder struct {
	path string
	lock *os.File
}

// Initialized reports whether data holds an instance (or a node of one).
func Initialized(data string) (bool, error) {
	_, err := os.Stat(filepath.Join(data, "FORMAT"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// openFolder creates the data folder if it is not there and locks it.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, bundle.Errorf(bundle.KindConflict,
			"data folder %s is in use by another process: stop that one, or give this one another --data (%w)", path, err)
	}
	f := &folder{path: path, lock: lock}
	if err := f.checkFormat(); err != nil {
		_ = f.close()
		return nil, err
	}
	return f, nil
}

// checkFormat marks a new folder and refuses one of another format.
func (f *folder) checkFormat() error {
	name := f.join("FORMAT")
	have, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // marked by markInitialized once the instance exists
	case err != nil:
		return fmt.Errorf("data folder: %w", err)
	case string(have) != folderFormat:
		return bundle.Errorf(bundle.KindInvalid,
			"data folder %s has another format (%.60q): use the version of blockstored that wrote it, or a newer one", f.path, have)
	}
	return nil
}

// markInitialized makes the folder count as holding an instance.
func (f *folder) markInitialized() error {
	if have, err := os.ReadFile(f.join("FORMAT")); err == nil && string(have) == folderFormat {
		return nil
	}
	return writeDurably(f.join("FORMAT"), []byte(folderFormat))
}

func (f *folder) join(elem ...string) string {
	return filepath.Join(append([]string{f.path}, elem...)...)
}

// nodeID returns this node's permanent id, its name and an incarnation made
// with the folder: a folder that is lost comes back as another node.
func (f *folder) nodeID(name string) (string, error) {
	file := f.join(nodeFile)
	have, err := os.ReadFile(file)
	if err == nil {
		return string(have), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("data folder: %w", err)
	}
	id := incarnate(name)
	return id, writeDurably(file, []byte(id))
}

// incarnate makes the id of a node of this name that there was never before.
func incarnate(name string) string { return name + "-" + bundle.NewID().String()[:8] }

func (f *folder) close() error { return f.lock.Close() }

// writeDurably makes a small file appear whole or not at all.
func writeDurably(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after the rename
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
