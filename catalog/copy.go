package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// stepPages is how many pages of 4 KiB are copied while nothing can be
	// applied.
	stepPages = 64
	// unsynced is how many bytes of a copy may wait to be written to disk. More
	// would make the next sync of the log on the same disk wait for all of it.
	unsynced = 16 << 20
)

// Copy writes the database to a new file at path: the state at a position that
// is not before the one applied when Copy was called, in a file that [DB.Receive]
// takes. The file is whole only when Copy has returned nil, and not durable.
// Progress, if not nil, is told the bytes written and those there will be, as far
// as that is known.
//
// The copy is made in steps through the connection that applies, between which
// commands are applied. SQLite then carries what they change over to the pages
// that were copied before. A copy through another connection would either begin
// again with every command or, in one step, keep the write-ahead log from being
// reused for as long as it takes.
func (db *DB) Copy(ctx context.Context, path string, progress func(done, total int64)) (err error) {
	h, err := db.use()
	if err != nil {
		return err
	}
	defer h.users.Done()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // to sync what SQLite writes
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	c := &copying{db: db, handle: h}
	defer func() { err = errors.Join(err, c.finish()) }()
	err = c.step(path)
	var synced int64
	for c.more && ctx.Err() == nil && err == nil {
		if progress != nil {
			progress(c.done, c.total)
		}
		if c.done-synced > unsynced {
			synced, err = c.done, out.Sync()
		}
		if err == nil {
			err = c.step(path)
		}
	}
	return errors.Join(err, context.Cause(ctx))
}

// copying is a copy that is being made.
type copying struct {
	db     *DB
	handle *handle
	backup *sqlite.Backup // nil before the first step and after finish
	more   bool

	done, total int64 // bytes, as of the last step
}

// step copies some pages; the first one begins.
func (c *copying) step(path string) error {
	return c.exclusive(func(conn any) (err error) {
		if c.backup == nil {
			b, ok := conn.(interface {
				NewBackup(destination string) (*sqlite.Backup, error)
			})
			if !ok {
				return fmt.Errorf("catalog: the driver's %T makes no backups", conn)
			}
			if c.backup, err = b.NewBackup(dsn(path, "synchronous(OFF)")); err != nil {
				return fmt.Errorf("catalog: begin a copy: %w", err)
			}
		}
		if c.more, err = c.backup.Step(stepPages); err != nil {
			return fmt.Errorf("catalog: copy the database: %w", err)
		}
		all := int64(c.backup.PageCount())
		c.done, c.total = (all-int64(c.backup.Remaining()))*pageSize, all*pageSize
		return nil
	})
}

// exclusive runs fn on the connection that applies while nothing is applied.
func (c *copying) exclusive(fn func(conn any) error) error {
	c.db.writing.Lock()
	defer c.db.writing.Unlock()
	if !c.db.uses(c.handle) {
		return errReplaced
	}
	return c.handle.writer.conn.Raw(fn)
}

// finish ends the copy. Its connection is there until the handle has no users.
func (c *copying) finish() error {
	if c.backup == nil {
		return nil
	}
	c.db.writing.Lock()
	defer c.db.writing.Unlock()
	return c.handle.writer.conn.Raw(func(any) error {
		if err := c.backup.Finish(); err != nil {
			return fmt.Errorf("catalog: end a copy: %w", err)
		}
		return nil
	})
}

// pageSize is SQLite's, and what the migrations leave it at.
const pageSize = 4096

var errReplaced = bundle.Errorf(bundle.KindUnavailable, "catalog: it was closed or replaced while a copy of it was made; make another")

// uses reports whether h is the handle in use.
func (db *DB) uses(h *handle) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.handle == h
}

// reading is a reader that ends with its context.
type reading struct {
	ctx context.Context
	src io.Reader
}

// Read implements [io.Reader].
func (r reading) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.src.Read(p)
}

// dbIn is the path of the database in a folder.
func dbIn(dir string) string { return filepath.Join(dir, dbFile) }
