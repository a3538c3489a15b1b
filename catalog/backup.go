package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// A copy is a header, the database file, and a trailer:
//
//	header   "BSCAT001", applied index, applied term, length of the file
//	trailer  SHA-256 of everything before it
//
// with numbers as 8 bytes, big-endian.
const (
	copyMagic  = "BSCAT001"
	copyHeader = len(copyMagic) + 3*8
)

// Backup writes a consistent copy of the catalog to w, for [DB.Install]: the
// state at a position that is not before the one applied when Backup was
// called. Applying goes on meanwhile. The copy needs as much room again in the
// catalog's directory until Backup returns.
func (db *DB) Backup(ctx context.Context, w io.Writer) (err error) {
	temp, err := os.MkdirTemp(db.dir, tempPrefix+"backup-")
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if err := db.copyTo(ctx, temp); err != nil {
		return err
	}
	index, term, err := inspect(ctx, temp)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(temp, dbFile)) // closed everywhere else
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	header := []byte(copyMagic)
	for _, n := range []uint64{index, term, uint64(info.Size())} {
		header = binary.BigEndian.AppendUint64(header, n)
	}
	if _, err := out.Write(header); err != nil {
		return err
	}
	if n, err := io.Copy(out, reading{ctx, f}); err != nil || n != info.Size() {
		return errors.Join(fmt.Errorf("catalog: copied %d of %d bytes", n, info.Size()), err)
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// backuper is the driver's connection.
type backuper interface {
	NewBackup(destination string) (*sqlite.Backup, error)
}

// copyTo copies the database into dir in one step: in one read transaction.
func (db *DB) copyTo(ctx context.Context, dir string) error {
	h, err := db.use()
	if err != nil {
		return err
	}
	defer h.users.Done()
	s, err := h.reader(ctx)
	if err != nil {
		return err
	}
	defer h.put(s, false)
	return s.conn.Raw(func(conn any) error {
		b, ok := conn.(backuper)
		if !ok {
			return fmt.Errorf("catalog: the driver's %T makes no backups", conn)
		}
		backup, err := b.NewBackup(dsn(dir, "synchronous(OFF)")) // Install syncs what is kept
		if err != nil {
			return fmt.Errorf("catalog: begin a backup: %w", err)
		}
		more, err := backup.Step(-1)
		if err == nil && more {
			err = errors.New("it did not end in one step")
		}
		if err := errors.Join(err, backup.Finish()); err != nil {
			return fmt.Errorf("catalog: copy the database: %w", err)
		}
		return nil
	})
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
	if _, err := h.writer.get(`PRAGMA quick_check(1)`, nil, &verdict); err != nil {
		return 0, 0, err
	}
	if verdict != "ok" {
		return 0, 0, fmt.Errorf("catalog: the copy is damaged: %s", verdict)
	}
	st, err := loadState(h.writer)
	return st.appliedIndex, st.appliedTerm, err
}

// Install replaces the catalog by a copy that [DB.Backup] wrote. It reads r to
// its end, checks the copy, makes it durable and only then switches to it; an
// error before that, or a crash, leaves the catalog as it was. Views that are
// running end on the old one.
//
// If the switch was made and cannot be made durable, nobody knows which of the
// two catalogs the next start finds, so nothing may be built on either: that is
// a fault, and every call after it fails with it. The next Open goes on with the
// one it finds, which is whole.
func (db *DB) Install(ctx context.Context, r io.Reader) error {
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
	name, err := nextName(filepath.Base(old.dir))
	if err != nil {
		return err
	}
	dir := filepath.Join(db.dir, name)
	h, st, err := db.receive(ctx, dir, r)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
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

// nextName returns the name of the directory after that called name.
func nextName(name string) (string, error) {
	n, err := number(name)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d", dbPrefix, n+1), nil
}

// receive writes a copy into dir, checks it and opens it.
func (db *DB) receive(ctx context.Context, dir string, r io.Reader) (*handle, state, error) {
	if err := os.RemoveAll(dir); err != nil { // of an Install that failed
		return nil, state{}, fmt.Errorf("catalog: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, state{}, fmt.Errorf("catalog: %w", err)
	}
	index, term, err := receiveFile(ctx, filepath.Join(dir, dbFile), r)
	if err != nil {
		return nil, state{}, err
	}
	// Checking may migrate the copy; all of it is folded into the file then.
	gotIndex, gotTerm, err := inspect(ctx, dir)
	if err != nil {
		return nil, state{}, err
	}
	if gotIndex != index || gotTerm != term {
		return nil, state{}, fmt.Errorf("catalog: the copy says it is of entry %d in term %d and holds entry %d in term %d",
			index, term, gotIndex, gotTerm)
	}
	for _, path := range []string{filepath.Join(dir, dbFile), dir, db.dir} {
		if err := syncPath(path); err != nil { // nobody has the database open yet
			return nil, state{}, err
		}
	}
	h, err := openHandle(ctx, dir)
	if err != nil {
		return nil, state{}, err
	}
	st, err := loadState(h.writer)
	if err != nil {
		return nil, state{}, errors.Join(err, h.close())
	}
	return h, st, nil
}

// receiveFile writes the database file of a copy and verifies its checksum.
func receiveFile(ctx context.Context, path string, r io.Reader) (index, term uint64, err error) {
	sum := sha256.New()
	in := io.TeeReader(reading{ctx, r}, sum)
	header := make([]byte, copyHeader)
	if _, err := io.ReadFull(in, header); err != nil {
		return 0, 0, fmt.Errorf("catalog: the copy's header: %w", err)
	}
	if string(header[:len(copyMagic)]) != copyMagic {
		return 0, 0, errors.New("catalog: this is no copy of a catalog, or one of another version of blockstored")
	}
	numbers := header[len(copyMagic):]
	index, term = binary.BigEndian.Uint64(numbers), binary.BigEndian.Uint64(numbers[8:])
	size := binary.BigEndian.Uint64(numbers[16:])
	if size > 1<<50 {
		return 0, 0, fmt.Errorf("catalog: a copy that says it has %d bytes", size)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, 0, fmt.Errorf("catalog: %w", err)
	}
	_, err = io.CopyN(f, in, int64(size))
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, 0, fmt.Errorf("catalog: receive the copy: %w", err)
	}
	return index, term, checkTrailer(reading{ctx, r}, sum)
}

// checkTrailer reads the trailer and insists that nothing follows it.
func checkTrailer(r io.Reader, sum hash.Hash) error {
	trailer := make([]byte, sum.Size())
	if _, err := io.ReadFull(r, trailer); err != nil {
		return fmt.Errorf("catalog: the copy's trailer: %w", err)
	}
	if string(trailer) != string(sum.Sum(nil)) {
		return errors.New("catalog: the copy was damaged on its way; fetch it again")
	}
	if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("catalog: the copy goes on after its trailer"), err)
	}
	return nil
}

// reading is a reader that ends with its context.
type reading struct {
	ctx context.Context
	io.Reader
}

// Read implements [io.Reader].
func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
