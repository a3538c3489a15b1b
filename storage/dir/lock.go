package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/blockstored/blockstored/bundle"
)

// lockWait is the pause between two tries for a lock that another program
// holds. It is held for a few milliseconds at most.
const lockWait = 2 * time.Millisecond

// lockFile is a lock among goroutines and programs. The kernel lets go of it
// when its holder dies.
type lockFile struct {
	path string
	turn chan struct{} // holds a token while a goroutine has its turn
}

func newLockFile(path string) *lockFile {
	return &lockFile{path: path, turn: make(chan struct{}, 1)}
}

// acquire waits for the lock until ctx ends and returns what releases it.
func (l *lockFile) acquire(ctx context.Context) (release func() error, err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f, err := l.lock(ctx)
	if err != nil {
		<-l.turn
		return nil, err
	}
	return func() error {
		err := f.Close() // which unlocks
		<-l.turn
		return err
	}, nil
}

func (l *lockFile) lock(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := tryLock(f)
		if ok {
			return f, nil
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		timer := time.NewTimer(lockWait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
	}
}

// tryLock reports whether f is now locked by this open file alone.
func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// tempDir is one driver's folder of unfinished objects. The lock on a file in
// it says that its driver lives.
type tempDir struct {
	path  string
	alive *os.File
}

// openTemp makes a folder of its own under parent and removes those whose
// drivers are gone.
func openTemp(parent string, lock *lockFile) (t *tempDir, err error) {
	release, err := lock.acquire(context.Background())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := os.Mkdir(parent, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := sweep(parent); err != nil {
		return nil, err
	}
	t = &tempDir{path: filepath.Join(parent, bundle.NewID().String())}
	if err := os.Mkdir(t.path, dirMode); err != nil {
		return nil, err
	}
	if t.alive, err = os.OpenFile(filepath.Join(t.path, lockName), os.O_RDWR|os.O_CREATE, fileMode); err != nil {
		return nil, err
	}
	ok, err := tryLock(t.alive)
	if err == nil && !ok {
		err = errors.New("the lock of a fresh temporary folder is taken")
	}
	if err != nil {
		return nil, errors.Join(err, t.alive.Close())
	}
	return t, nil
}

// sweep removes the temporary folders that no driver holds. The caller holds
// the store's lock, so none is half made.
func sweep(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if err == nil {
			free, err := tryLock(f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			if !free {
				continue
			}
		} else if !absent(err) {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// create makes a temporary file.
func (t *tempDir) create() (*os.File, error) {
	path := filepath.Join(t.path, bundle.NewID().String())
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
}

func (t *tempDir) close() error {
	return errors.Join(os.RemoveAll(t.path), t.alive.Close())
}
