package catalog

import (
	"errors"
	"os"
	"path/filepath"
)

// Sync makes everything that was applied before survive a loss of power. Its
// cost is that of writing out what is not on disk yet.
//
// What was committed is in the write-ahead log or was moved from there into the
// database, which SQLite made durable before reusing the log: so the log is
// what has to be synced. It is opened by its own path; the database file must
// not be, see syncPath.
func (db *DB) Sync() error {
	db.writing.Lock() // no checkpoint may move the log meanwhile
	defer db.writing.Unlock()
	h, err := db.use()
	if err != nil {
		return err
	}
	defer h.users.Done()
	err = syncPath(filepath.Join(h.dir, dbFile) + "-wal")
	if err != nil && !errors.Is(err, os.ErrNotExist) { // it is made by the first access
		return err
	}
	return syncPath(h.dir)
}
