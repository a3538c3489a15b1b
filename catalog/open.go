package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/blockstored/blockstored/bundle"
)

// Options are the settings of [Open].
type Options struct {
	Logger *slog.Logger // nil: no log
}

const (
	currentFile = "CURRENT" // names the directory of the catalog in use
	dbPrefix    = "db-"
	dbFile      = "catalog.sqlite"
	tempPrefix  = "tmp-"
)

// DB is an open catalog. Views may run on any number of goroutines; Apply,
// SetConfiguration, Sync and Install take their turns.
type DB struct {
	dir string
	log *slog.Logger

	writing sync.Mutex // held by whoever changes the catalog or what file it is
	state   state      // as committed; guarded by writing

	syncDir func(path string) error // syncPath but in tests

	tokens atomic.Uint64 // see TokensRevision
	level  atomic.Uint64 // that of state, for who does not wait for writing

	mu      sync.Mutex
	handle  *handle       // guarded by mu; nil once closed or faulty
	fault   error         // guarded by mu; why no call may succeed any more
	changed chan struct{} // guarded by mu
	waiting *received     // guarded by mu; nil if no copy waits to be installed

	retired sync.WaitGroup // handles that are still being drained
}

// Open opens the catalog in dir and creates it if there is none. A directory
// must be open at most once, in one process. It refuses a catalog that a newer
// program has written.
func Open(ctx context.Context, dir string, opts Options) (*DB, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	name, isNew, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	if err := removeLeftovers(dir, name, log); err != nil {
		return nil, err
	}
	h, err := openHandle(ctx, filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	db := &DB{dir: dir, log: log, handle: h, changed: make(chan struct{}), syncDir: syncPath}
	if db.state, err = loadState(h.writer); err != nil {
		return nil, errors.Join(err, h.close())
	}
	db.level.Store(uint64(db.state.level))
	if isNew {
		if err := db.name(h.dir); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	return db, nil
}

// prepare makes dir, if it is not there, and returns the name of the directory
// in use or of a new one.
func prepare(dir string) (name string, isNew bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", false, fmt.Errorf("catalog: %w", err)
	}
	if name, err = current(dir); err != nil {
		return "", false, err
	}
	if name != "" {
		// The process before may have ended between switching to another
		// catalog and making that durable. It is, before the other one is
		// removed.
		return name, false, syncPath(dir)
	}
	name = dbPrefix + "1"
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil { // of a first start that was cut short
		return "", false, fmt.Errorf("catalog: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
		return "", false, fmt.Errorf("catalog: %w", err)
	}
	return name, true, nil
}

// name names the directory of a new catalog, once all on the way to its
// database is durable: the files in it, its own name, and that of db.dir.
func (db *DB) name(dir string) error {
	for _, path := range []string{dir, db.dir, filepath.Dir(filepath.Dir(dir))} {
		if err := db.syncDir(path); err != nil {
			return err
		}
	}
	_, err := db.setCurrent(filepath.Base(dir))
	return err
}

// Close waits for the views that are running and closes the catalog. Calls
// after it fail.
func (db *DB) Close() error {
	db.writing.Lock()
	db.mu.Lock()
	h := db.handle
	db.handle = nil
	db.mu.Unlock()
	db.writing.Unlock() // a copy that is being made is a user, and needs it to end
	defer db.retired.Wait()
	if h == nil {
		return nil
	}
	return h.close()
}

var errClosed = bundle.Errorf(bundle.KindUnavailable, "the catalog is closed: this node is shutting down")

// use returns the handle in use; the caller releases it.
func (db *DB) use() (*handle, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.fault != nil {
		return nil, db.fault
	}
	if db.handle == nil {
		return nil, errClosed
	}
	db.handle.users.Add(1)
	return db.handle, nil
}

// Changed returns a channel that is closed when the next batch was applied or
// another catalog was installed. Ask for it before looking, so as to miss
// nothing.
func (db *DB) Changed() <-chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.changed
}

func (db *DB) broadcast() {
	db.mu.Lock()
	defer db.mu.Unlock()
	close(db.changed)
	db.changed = make(chan struct{})
}

// Size returns how many bytes the catalog takes on disk.
func (db *DB) Size() (bytes int64, err error) {
	h, err := db.use()
	if err != nil {
		return 0, err
	}
	defer h.users.Done()
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(filepath.Join(h.dir, dbFile) + suffix) // opens nothing
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, fmt.Errorf("catalog: %w", err)
		}
		if err == nil {
			bytes += info.Size()
		}
	}
	return bytes, nil
}

// current returns the name of the directory in use, "" in a new catalog.
func current(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, currentFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("catalog: %w", err)
	}
	name := strings.TrimSpace(string(b))
	if _, err := number(name); err != nil {
		return "", fmt.Errorf("catalog: %s names %q, which is no directory of a catalog; restore the file from a backup",
			filepath.Join(dir, currentFile), name)
	}
	if _, err := os.Stat(filepath.Join(dir, name, dbFile)); err != nil {
		return "", fmt.Errorf("catalog: the database that %s names is missing; restore this node from a backup or let it join anew: %w",
			filepath.Join(dir, currentFile), err)
	}
	return name, nil
}

// number returns the n of db-<n>.
func number(name string) (uint64, error) {
	digits, ok := strings.CutPrefix(name, dbPrefix)
	if !ok {
		return 0, fmt.Errorf("catalog: %q is no directory of a catalog", name)
	}
	return strconv.ParseUint(digits, 10, 63)
}

// setCurrent makes name the directory in use, durably. If it reports an error
// and true, the switch was made, but may not survive a loss of power.
func (db *DB) setCurrent(name string) (switched bool, err error) {
	temp := filepath.Join(db.dir, tempPrefix+currentFile)
	if err := writeDurably(temp, []byte(name+"\n")); err != nil {
		return false, err
	}
	if err := os.Rename(temp, filepath.Join(db.dir, currentFile)); err != nil {
		return false, fmt.Errorf("catalog: %w", err)
	}
	return true, db.syncDir(db.dir)
}

func writeDurably(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("catalog: write %s: %w", path, err)
	}
	return nil
}

// syncPath makes a file or directory durable. It must never be given the
// database file of an open catalog: closing any descriptor of that file drops
// the locks SQLite holds on it.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("catalog: sync %s: %w", path, err)
	}
	return nil
}

// removeLeftovers removes what an interrupted Receive or Install left behind.
func removeLeftovers(dir, keep string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	for _, e := range entries {
		_, notDB := number(e.Name())
		if e.Name() == keep || notDB != nil && !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		log.Info("removing what an interrupted copy of the catalog left behind", "path", filepath.Join(dir, e.Name()))
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	return nil
}
