package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/blockstored/blockstored/bundle"
)

// received is a copy that waits to be installed.
type received struct{ dir string }

// Receive reads the database file of a copy from r to its end, checks it, makes
// it durable and keeps it for [DB.Install], in place of the one that waited
// before. It returns the position of the copy. The catalog in use stays what it
// is, and goes on applying; it and the copy share the disk. Damage, and a copy
// that a newer program wrote, are errors, after which nothing is kept.
func (db *DB) Receive(ctx context.Context, r io.Reader) (index, term uint64, err error) {
	dir, err := os.MkdirTemp(db.dir, tempPrefix+"received-")
	if err != nil {
		return 0, 0, fmt.Errorf("catalog: %w", err)
	}
	if index, term, err = db.receive(ctx, dir, r); err != nil {
		return 0, 0, errors.Join(err, os.RemoveAll(dir))
	}
	return index, term, db.keep(&received{dir})
}

// Discard removes the copy that waits to be installed, if there is one.
func (db *DB) Discard() error { return db.keep(nil) }

// keep makes next the copy that waits.
func (db *DB) keep(next *received) error {
	db.mu.Lock()
	old := db.waiting
	db.waiting = next
	db.mu.Unlock()
	if old == nil {
		return nil
	}
	return os.RemoveAll(old.dir)
}

// receive writes a copy into dir and checks it.
func (db *DB) receive(ctx context.Context, dir string, r io.Reader) (index, term uint64, err error) {
	f, err := os.OpenFile(dbIn(dir), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, 0, fmt.Errorf("catalog: %w", err)
	}
	for err == nil {
		if _, err = io.CopyN(f, reading{ctx, r}, unsynced); err == nil {
			err = f.Sync()
		}
	}
	if err == io.EOF {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, 0, fmt.Errorf("catalog: receive the copy: %w", err)
	}
	// Checking may migrate the copy; all of it is folded into the file then.
	if index, term, err = inspect(ctx, dir); err != nil {
		return 0, 0, err
	}
	for _, path := range []string{dbIn(dir), dir} {
		if err := syncPath(path); err != nil { // nobody has the database open
			return 0, 0, err
		}
	}
	return index, term, nil
}

// inspect opens a copy, checks it, and returns its applied position. The copy
// is a single file when it returns.
func inspect(ctx context.Context, dir string) (index, term uint64, err error) {
	h, err := openHandle(ctx, dir)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	var verdict string
	if err := h.writer.conn.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return 0, 0, fmt.Errorf("catalog: check the copy: %w", err)
	}
	if verdict != "ok" {
		return 0, 0, bundle.Errorf(bundle.KindCorrupt, "catalog: the copy is damaged: %s", verdict)
	}
	st, err := loadState(h.writer)
	return st.appliedIndex, st.appliedTerm, err
}

// Install replaces the catalog by the copy that [DB.Receive] kept, which takes no
// longer for a large one. An error, or a crash at any moment, leaves the
// catalog as it was or the whole copy. Views that are running end on the old one.
//
// If the switch was made and cannot be made durable, nobody knows which of the
// two catalogs the next start finds, so nothing may be built on either: that is
// a fault, and every call after it fails with it. The next Open goes on with the
// one it finds, which is whole.
func (db *DB) Install(ctx context.Context) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	old, err := db.use()
	if err != nil {
		return err
	}
	using := true
	defer func() {
		if using {
			old.users.Done()
		}
	}()
	name, h, st, err := db.unpack(ctx, old)
	if err != nil {
		return err
	}
	if switched, err := db.setCurrent(name); err != nil {
		if switched {
			err = db.fail(fmt.Errorf("catalog: it was replaced, but that is not durable: restart this node: %w", err))
			db.retired.Go(func() { // both stay for the next Open
				if err := old.close(); err != nil {
					db.log.Warn("catalog: could not close the replaced database", "path", old.dir, "err", err)
				}
			})
		}
		return errors.Join(err, h.close())
	}
	db.mu.Lock()
	db.handle, db.state = h, st
	db.level.Store(uint64(st.level))
	db.mu.Unlock()
	db.tokens.Add(1)
	old.users.Done()
	using = false
	db.retired.Go(func() {
		if err := errors.Join(old.close(), os.RemoveAll(old.dir)); err != nil {
			db.log.Warn("catalog: could not remove the replaced database; the next start will", "path", old.dir, "err", err)
		}
	})
	db.broadcast()
	return nil
}

// fail makes err what all further calls fail with, and returns it. The caller
// closes the handle that was in use.
func (db *DB) fail(err error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.handle, db.fault = nil, err
	return err
}

// unpack opens the copy that waits, under the name that follows that of the
// database in use.
func (db *DB) unpack(ctx context.Context, old *handle) (name string, h *handle, st state, err error) {
	db.mu.Lock()
	copied := db.waiting
	db.waiting = nil
	db.mu.Unlock()
	if copied == nil {
		return "", nil, state{}, bundle.Errorf(bundle.KindNotFound, "catalog: no copy was received that could be installed")
	}
	dir := copied.dir
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	n, err := number(filepath.Base(old.dir))
	if err != nil {
		return "", nil, state{}, err
	}
	name = fmt.Sprintf("%s%d", dbPrefix, n+1)
	to := filepath.Join(db.dir, name)
	if err := os.RemoveAll(to); err != nil { // of an Install that failed
		return "", nil, state{}, fmt.Errorf("catalog: %w", err)
	}
	if err := os.Rename(dir, to); err != nil { // nobody has it open
		return "", nil, state{}, fmt.Errorf("catalog: %w", err)
	}
	dir = to
	if err := syncPath(db.dir); err != nil {
		return "", nil, state{}, err
	}
	if h, err = openHandle(ctx, dir); err != nil {
		return "", nil, state{}, err
	}
	if st, err = loadState(h.writer); err != nil {
		return "", nil, state{}, errors.Join(err, h.close())
	}
	return name, h, st, nil
}
