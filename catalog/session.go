package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// session is one connection of its own with the statements it has prepared.
// One goroutine uses it at a time.
//
// Statements run without a caller's context: the driver would start a goroutine
// for each. Scans that may be long look at the context between rows instead.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func newSession(ctx context.Context, pool *sql.DB) (*session, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalog: open a connection: %w", err)
	}
	return &session{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

func (s *session) close() error {
	var errs []error
	for _, stmt := range s.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// discard ends the session and its connection, with the transaction that may be
// open on it. close would hand the connection back to the pool as it is.
func (s *session) discard() {
	for _, stmt := range s.stmts {
		_ = stmt.Close() // nothing is lost with it
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// stmt returns the prepared statement of a text. Texts are constants of this
// package, so the map stays small.
func (s *session) stmt(text string) (*sql.Stmt, error) {
	if stmt, ok := s.stmts[text]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, fmt.Errorf("catalog: prepare %q: %w", text, err)
	}
	s.stmts[text] = stmt
	return stmt, nil
}

// exec runs a statement and returns how many rows it changed.
func (s *session) exec(text string, args ...any) (int64, error) {
	stmt, err := s.stmt(text)
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, fmt.Errorf("catalog: %q: %w", text, err)
	}
	return res.RowsAffected()
}

// run is exec for those who do not count rows.
func (s *session) run(text string, args ...any) error {
	_, err := s.exec(text, args...)
	return err
}

// get scans the one row of a query into dest and reports whether there was one.
func (s *session) get(text string, args []any, dest ...any) (bool, error) {
	stmt, err := s.stmt(text)
	if err != nil {
		return false, err
	}
	err = stmt.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("catalog: %q: %w", text, err)
	}
	return true, nil
}

// scanner is a row being read.
type scanner interface{ Scan(dest ...any) error }

// each calls fn for every row of a query until fn says stop or fails.
func (s *session) each(text string, args []any, fn func(scanner) (more bool, err error)) error {
	stmt, err := s.stmt(text)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), args...)
	if err != nil {
		return fmt.Errorf("catalog: %q: %w", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		more, err := fn(rows)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("catalog: %q: %w", text, err)
	}
	return nil
}

// collect returns the rows of a query as fn reads them.
func collect[T any](s *session, text string, args []any, fn func(scanner) (T, error)) ([]T, error) {
	var out []T
	err := s.each(text, args, func(row scanner) (bool, error) {
		t, err := fn(row)
		out = append(out, t)
		return true, err
	})
	return out, err
}

// blob scans a blob of exactly len(dst) bytes, NULL and the empty one as zeros.
type blob struct{ dst []byte }

// Scan implements [sql.Scanner].
func (b blob) Scan(src any) error {
	clear(b.dst)
	if src == nil {
		return nil
	}
	v, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("a %T where a blob belongs", src)
	}
	if len(v) != 0 && len(v) != len(b.dst) {
		return fmt.Errorf("a blob of %d bytes where %d belong", len(v), len(b.dst))
	}
	copy(b.dst, v)
	return nil
}

// orEmpty keeps a nil slice from becoming NULL.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
