package catalog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func copyOf(t testing.TB, db *DB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy")
	if err := db.Copy(context.Background(), path, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// install receives and installs a copy.
func install(db *DB, content []byte) error {
	if _, _, err := db.Receive(context.Background(), bytes.NewReader(content)); err != nil {
		return err
	}
	return db.Install(context.Background())
}

func dumpOf(t testing.TB, db *DB) bundle.Digest {
	t.Helper()
	var d bundle.Digest
	if err := db.View(context.Background(), func(v *View) (err error) { d, err = v.DumpDigest(); return err }); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestI11AnInstalledCopyGoesOnLikeTheOriginal(t *testing.T) {
	s, other := newSite(t), open(t)
	_, draft := s.bundleIn("one")
	s.commit(draft)
	if err := s.SetConfiguration(s.index+1, 1, []byte("members")); err != nil {
		t.Fatal(err)
	}
	s.index++
	changed := other.Changed()
	var seen Counts
	err := other.DB.View(context.Background(), func(v *View) error {
		// The view is older than the copy and stays what it was.
		if err := install(other.DB, copyOf(t, s.DB)); err != nil {
			return err
		}
		var err error
		seen, err = v.Counts()
		return err
	})
	if err != nil || seen.Versions != 0 {
		t.Fatal(seen, err)
	}
	<-changed
	if dumpOf(t, other.DB) != dumpOf(t, s.DB) {
		t.Fatal("the installed copy differs")
	}
	if index, conf, err := other.Configuration(); err != nil || index != s.index || string(conf) != "members" {
		t.Fatal(index, conf, err)
	}
	before := len(s.log)
	s.bundleIn("two")
	if _, err := other.Apply(s.log[before:]); err != nil {
		t.Fatal(err)
	}
	if dumpOf(t, other.DB) != dumpOf(t, s.DB) {
		t.Fatal("the copies went different ways")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	other.reopen()
	if dumpOf(t, other.DB) != dumpOf(t, s.DB) {
		t.Fatal("the copy did not survive a restart")
	}
	dirs, err := filepath.Glob(filepath.Join(other.dir, "*"))
	if err != nil || len(dirs) != 2 {
		t.Fatal("something was left behind:", dirs, err)
	}
}

func TestADamagedCopyLeavesTheOldState(t *testing.T) {
	s, other := newSite(t), newSite(t)
	_, draft := s.bundleIn("one")
	s.commit(draft)
	good, before := copyOf(t, s.DB), dumpOf(t, other.DB)
	for name, r := range map[string]io.Reader{
		"cut in half":    bytes.NewReader(good[:len(good)/2]),
		"empty pages":    io.MultiReader(bytes.NewReader(good[:len(good)/2]), bytes.NewReader(make([]byte, len(good)-len(good)/2))),
		"a failing read": io.MultiReader(bytes.NewReader(good[:1000]), failing{}),
		"something else": strings.NewReader(strings.Repeat("what is this", 1000)),
	} {
		if _, _, err := other.Receive(context.Background(), r); err == nil {
			t.Errorf("%s: it was received", name)
		}
		if err := other.Install(context.Background()); !bundle.IsKind(err, bundle.KindNotFound) {
			t.Errorf("%s: it can be installed: %v", name, err)
		}
		if dumpOf(t, other.DB) != before {
			t.Errorf("%s: the state changed", name)
		}
	}
	if err := install(other.DB, good); err != nil {
		t.Fatal(err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line is dead") }

func TestACrashBeforeTheSwitchLeavesTheOldState(t *testing.T) {
	s := newSite(t)
	s.bundleIn("one")
	before := dumpOf(t, s.DB)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// What a crash leaves behind while a copy is received or made.
	for _, dir := range []string{"db-2", "tmp-received-1"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, dir, dbFile), []byte("half a database"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, tempPrefix+currentFile), []byte("db-"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if dumpOf(t, s.DB) != before {
		t.Fatal("the state changed")
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(left) != 2 {
		t.Fatal("left behind:", left, err)
	}
}

func TestASwitchThatIsNotDurableIsAFault(t *testing.T) {
	source := newSite(t)
	source.bundleIn("new")
	s := newSite(t)
	s.bundleIn("old")
	want, power := dumpOf(t, source.DB), errors.New("the disk does not answer")
	s.syncDir = func(string) error { return power }
	if err := install(s.DB, copyOf(t, source.DB)); !errors.Is(err, power) {
		t.Fatalf("install: %v", err)
	}
	_, _, err := s.Configuration()
	for what, err := range map[string]error{
		"a view":            s.View(context.Background(), func(*View) error { return nil }),
		"a configuration":   err,
		"another":           s.SetConfiguration(100, 1, nil),
		"making it durable": s.Sync(),
	} {
		if !errors.Is(err, power) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reopen() // nothing was lost in this case
	if dumpOf(t, s.DB) != want {
		t.Error("CURRENT does not name the copy")
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(left) != 2 {
		t.Error("left behind:", left, err)
	}
}

func TestAMissingDatabaseIsNotMadeAnew(t *testing.T) {
	s := newSite(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "db-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), s.dir, Options{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Fatal(err)
	}
}

func TestANewerCatalogIsRefusedByName(t *testing.T) {
	s := newSite(t)
	if err := s.handle.writer.run(`PRAGMA user_version = 99`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), s.dir, Options{}); err == nil || !strings.Contains(err.Error(), "newer blockstored (schema 99") {
		t.Fatal(err)
	}
}

// An operator's shell that opens and closes the database must not drop the
// locks of the running program, nor fold away its write-ahead log.
func TestAnOperatorsShellLosesNothing(t *testing.T) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("there is no sqlite3 shell here")
	}
	s := newSite(t)
	_, draft := s.bundleIn("one")
	for range 3 {
		s.commit(draft)
		out, err := exec.Command(shell, filepath.Join(s.dir, "db-1", dbFile), "SELECT count(*) FROM versions").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	before := dumpOf(t, s.DB)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if dumpOf(t, s.DB) != before {
		t.Fatal("something was lost")
	}
}

func TestAClosedCatalogSaysSo(t *testing.T) {
	s := newSite(t)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.DB.View(context.Background(), func(*View) error { return nil }); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	if _, err := s.Apply(nil); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
}

// A copy is made in steps, between which commands are applied: it holds what was
// applied up to its position, and the rest of the log leads on from there.
func TestACopyMadeUnderWritesIsOfOneMoment(t *testing.T) {
	s := newSite(t)
	_, draft := s.bundleIn("one")
	s.grow()
	path := filepath.Join(t.TempDir(), "copy")
	begun, before := len(s.log), 0
	err := s.Copy(context.Background(), path, func(done, total int64) {
		if before++; done >= total || done < 0 {
			t.Errorf("%d of %d bytes after step %d, and there are more", done, total, before)
		}
		s.commit(draft) // pages that were copied and pages that were not
	})
	if err != nil {
		t.Fatal(err)
	}
	if before < 2 {
		t.Fatalf("it took %d steps", before)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s.commit(draft)
	other := open(t)
	index, _, err := other.Receive(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Install(context.Background()); err != nil {
		t.Fatal(err)
	}
	if first, last := s.log[begun-1].Index, s.log[len(s.log)-2].Index; index < first || index > last {
		t.Errorf("the copy is of entry %d, made between %d and %d", index, first, last)
	}
	for _, e := range s.log {
		if e.Index > index {
			if _, err := other.Apply([]Entry{e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if dumpOf(t, other.DB) != dumpOf(t, s.DB) {
		t.Error("the copy and the log after it lead elsewhere")
	}
}

// A copy ends with its context, and when the catalog is closed or replaced.
func TestACopyEnds(t *testing.T) {
	why := errors.New("nobody wants it any more")
	for what, end := range map[string]func(s *site, cancel context.CancelCauseFunc) error{
		"with its context":        func(_ *site, cancel context.CancelCauseFunc) error { cancel(why); return nil },
		"with the catalog":        func(s *site, _ context.CancelCauseFunc) error { go s.Close(); <-s.closing(); return nil },
		"with another in its way": func(s *site, _ context.CancelCauseFunc) error { return s.Install(context.Background()) },
	} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			s.grow()
			if _, _, err := s.Receive(context.Background(), bytes.NewReader(copyOf(t, s.DB))); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			ended := false
			err := s.Copy(ctx, filepath.Join(t.TempDir(), "copy"), func(int64, int64) {
				if !ended {
					ended = true
					if err := end(s, cancel); err != nil {
						t.Error(err)
					}
				}
			})
			if !errors.Is(err, why) && !errors.Is(err, errReplaced) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// grow makes the catalog larger than some steps of a copy.
func (s *site) grow() {
	s.Helper()
	for i := range 8 {
		s.must(PutSecret{Name: strconv.Itoa(i), Sealed: make([]byte, 2*stepPages*pageSize-4<<10)})
	}
}

// closing is closed once Close has begun.
func (s *site) closing() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			h, err := s.use()
			if err != nil {
				return
			}
			h.users.Done()
			runtime.Gosched()
		}
	}()
	return done
}
