package cluster

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/blockstored/blockstored/catalog"
)

// book is the smallest state machine that keeps the contract: a list of lines
// in SQLite, with the position in the transaction of the state, and a CURRENT
// file that chooses the folder. Hooks let tests fail or delay it.
type book struct {
	dir string

	mu      sync.Mutex
	db      *sql.DB
	applied int // entries applied by this process
	synced  uint64
	install int // copies installed by this process

	beforeApply, beforeSync, beforeCopy, beforeSwitch func() error
}

var _ StateMachine = (*book)(nil)

func openBook(t testing.TB, dir string) *book {
	t.Helper()
	b := &book{dir: dir}
	if err := b.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close(t) })
	return b
}

func (b *book) close(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.db.Close(); err != nil {
		t.Error(err)
	}
}

func (b *book) open() error {
	current, err := os.ReadFile(filepath.Join(b.dir, "CURRENT"))
	if errors.Is(err, os.ErrNotExist) {
		current = []byte("g1")
		if err = os.MkdirAll(filepath.Join(b.dir, "g1"), 0o700); err == nil {
			err = os.WriteFile(filepath.Join(b.dir, "CURRENT"), current, 0o600)
		}
	}
	if err != nil {
		return err
	}
	path := filepath.Join(b.dir, string(current), "book.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`
		CREATE TABLE IF NOT EXISTS line (idx INTEGER PRIMARY KEY, text BLOB NOT NULL);
		CREATE TABLE IF NOT EXISTS pos (one INTEGER PRIMARY KEY CHECK (one = 1), idx, term, conf_idx, conf);
		INSERT OR IGNORE INTO pos VALUES (1, 0, 0, 0, NULL);`)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	b.db = db
	return nil
}

func (b *book) Apply(entries []catalog.Entry) ([]catalog.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.beforeApply != nil {
		if err := b.beforeApply(); err != nil {
			return nil, err
		}
	}
	tx, err := b.db.Begin()
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	out := make([]catalog.Result, len(entries))
	for i, e := range entries {
		if _, err := tx.Exec(`INSERT INTO line VALUES (?, ?)`, e.Index, e.Data); err != nil {
			return nil, fmt.Errorf("entry %d applied twice? %w", e.Index, err)
		}
		out[i] = catalog.Result{Index: e.Index}
	}
	last := entries[len(entries)-1]
	if _, err := tx.Exec(`UPDATE pos SET idx = ?, term = ?`, last.Index, last.Term); err != nil {
		return nil, err
	}
	b.applied += len(entries)
	return out, tx.Commit()
}

func (b *book) SetConfiguration(index, term uint64, conf []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.db.Exec(`UPDATE pos SET idx = ?, term = ?, conf_idx = ?, conf = ?`, index, term, index, conf)
	return err
}

func (b *book) Applied() (index, term uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.db.QueryRow(`SELECT idx, term FROM pos`).Scan(&index, &term)
	return index, term, err
}

func (b *book) Configuration() (index uint64, conf []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.db.QueryRow(`SELECT conf_idx, conf FROM pos`).Scan(&index, &conf)
	return index, conf, err
}

// Levels never change: a book takes any bytes.
func (b *book) Levels() (inForce, highest uint64) { return 1, 1 }

func (b *book) Sync() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.beforeSync != nil {
		if err := b.beforeSync(); err != nil {
			return err
		}
	}
	var busy, log, moved int
	if err := b.db.QueryRow(`PRAGMA wal_checkpoint(FULL)`).Scan(&busy, &log, &moved); err != nil || busy != 0 {
		return fmt.Errorf("checkpoint: busy %d, %w", busy, err)
	}
	return b.db.QueryRow(`SELECT idx FROM pos`).Scan(&b.synced)
}

func (b *book) Size() (int64, error) { return 1 << 20, nil }

func (b *book) Copy(ctx context.Context, path string, _ func(done, total int64)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.beforeCopy != nil {
		if err := b.beforeCopy(); err != nil {
			return err
		}
	}
	_, err := b.db.ExecContext(ctx, `VACUUM INTO ?`, path)
	return err
}

func (b *book) Receive(_ context.Context, r io.Reader) (index, term uint64, err error) {
	path := filepath.Join(b.dir, "received.db")
	file, err := os.Create(path)
	if err != nil {
		return 0, 0, err
	}
	_, err = io.Copy(file, r)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return 0, 0, errors.Join(err, os.Remove(path))
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return 0, 0, err
	}
	err = db.QueryRow(`SELECT idx, term FROM pos`).Scan(&index, &term)
	return index, term, errors.Join(err, db.Close())
}

func (b *book) Discard() error { return os.Remove(filepath.Join(b.dir, "received.db")) }

func (b *book) Install(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.install++
	name := fmt.Sprintf("g%d", b.install+1)
	for {
		if _, err := os.Stat(filepath.Join(b.dir, name)); errors.Is(err, os.ErrNotExist) {
			break
		}
		name += "x"
	}
	if err := os.Mkdir(filepath.Join(b.dir, name), 0o700); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(b.dir, "received.db"), filepath.Join(b.dir, name, "book.db")); err != nil {
		return err
	}
	if b.beforeSwitch != nil {
		if err := b.beforeSwitch(); err != nil {
			return err
		}
	}
	next := filepath.Join(b.dir, "CURRENT.tmp")
	if err := os.WriteFile(next, []byte(name), 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(b.dir, "CURRENT")); err != nil {
		return err
	}
	return errors.Join(b.db.Close(), b.open())
}

// lines returns the text, one command a line, in the order of the log.
func (b *book) lines(t testing.TB) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	rows, err := b.db.Query(`SELECT text FROM line ORDER BY idx`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var text strings.Builder
	for rows.Next() {
		var s []byte
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s\n", s)
	}
	return text.String()
}

func (b *book) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}
