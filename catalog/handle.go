package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// maxReaders bounds how many views run at once; further ones wait.
const maxReaders = 16

// handle is one database directory that is open: a connection that writes and
// some that read.
type handle struct {
	dir    string
	pool   *sql.DB // read-only connections
	write  *sql.DB // the one that writes
	writer *session

	slots   chan struct{} // one token a running view
	mu      sync.Mutex
	readers []*session // idle; guarded by mu

	users sync.WaitGroup
}

// dsn returns the data source name of the database at path.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{
		"busy_timeout(10000)", // an operator's shell may hold a lock for a moment
		"foreign_keys(0)",
		"temp_store(2)",
	}, pragmas...)}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

func openHandle(ctx context.Context, dir string) (_ *handle, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	h := &handle{dir: dir, slots: make(chan struct{}, maxReaders)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	h.write, err = sql.Open("sqlite", dsn(dbIn(dir), "journal_mode(WAL)", "synchronous(NORMAL)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)", "cache_size(-65536)"))
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	h.write.SetMaxOpenConns(1)
	if h.writer, err = newSession(ctx, h.write); err != nil {
		return nil, err
	}
	if err := migrate(h.writer); err != nil {
		return nil, err
	}
	h.pool, err = sql.Open("sqlite", dsn(dbIn(dir), "query_only(1)", "cache_size(-4096)"))
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	h.pool.SetMaxOpenConns(maxReaders)
	h.pool.SetMaxIdleConns(maxReaders)
	return h, nil
}

// close waits for the users and closes everything.
func (h *handle) close() error {
	h.users.Wait()
	var errs []error
	for _, s := range h.readers {
		errs = append(errs, s.close())
	}
	if h.pool != nil {
		errs = append(errs, h.pool.Close())
	}
	if h.writer != nil { // last, so that it folds the WAL into the database
		errs = append(errs, h.writer.close())
	}
	if h.write != nil {
		errs = append(errs, h.write.Close())
	}
	return errors.Join(errs...)
}

// reader returns a session that reads; put takes it back.
func (h *handle) reader(ctx context.Context) (*session, error) {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.mu.Lock()
	if n := len(h.readers); n > 0 {
		s := h.readers[n-1]
		h.readers = h.readers[:n-1]
		h.mu.Unlock()
		return s, nil
	}
	h.mu.Unlock()
	s, err := newSession(ctx, h.pool)
	if err != nil {
		<-h.slots
		return nil, err
	}
	return s, nil
}

// put takes a session back; broken ones are closed.
func (h *handle) put(s *session, broken bool) {
	if broken {
		s.discard()
	} else {
		h.mu.Lock()
		h.readers = append(h.readers, s)
		h.mu.Unlock()
	}
	<-h.slots
}
