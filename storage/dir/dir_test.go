package dir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
	"github.com/blockstored/blockstored/storage/storagetest"
)

func open(t *testing.T, path string) *dir.Driver {
	t.Helper()
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func begin(t *testing.T, d storage.Driver, body string) storage.Upload {
	t.Helper()
	u, err := d.Create(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestConformance(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Driver { return open(t, filepath.Join(t.TempDir(), "new", "store")) })
}

func TestConformanceOnAReopenedFolder(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		path := t.TempDir()
		if err := open(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, path)
	})
}

func TestObjectsSurviveReopening(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := begin(t, d, "body").Commit(t.Context(), "ab/cd", bundle.DigestOf([]byte("body"))); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	defer d.Close()
	if info, err := d.Stat(t.Context(), "ab/cd"); err != nil || info.Size != 4 {
		t.Errorf("after reopening: %+v, %v", info, err)
	}
}

func TestOpenSweepsOnlyWhatTheDeadLeft(t *testing.T) {
	path := t.TempDir()
	alive := open(t, path)
	defer alive.Close()
	u := begin(t, alive, "in progress")
	dead := filepath.Join(path, ".tmp", "0dead")
	if err := os.MkdirAll(dead, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".lock", "half-written"} {
		if err := os.WriteFile(filepath.Join(dead, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := open(t, path)
	defer second.Close()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("a dead program's temporary folder is still there: %v", err)
	}
	if err := u.Commit(t.Context(), "aa/x", bundle.DigestOf([]byte("in progress"))); err != nil {
		t.Errorf("a living program's upload was disturbed: %v", err)
	}
}

func TestFinishedUploadsLeaveNoTemporaryFile(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	defer d.Close()
	for _, key := range []string{"aa/x", "aa/x", "bb/y"} {
		if err := begin(t, d, "body").Commit(t.Context(), key, bundle.DigestOf([]byte("body"))); err != nil {
			t.Fatal(err)
		}
	}
	bad := begin(t, d, "body")
	if err := bad.Commit(t.Context(), "cc/z", bundle.DigestOf([]byte("other"))); err == nil {
		t.Fatal("a wrong digest was committed")
	}
	if err := bad.Abort(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(path, ".tmp", "*", "*-*"))
	if err != nil || len(files) > 0 {
		t.Errorf("temporary files left: %q, %v", files, err)
	}
}

func TestOfTwoProgramsOneWinsASmallObject(t *testing.T) {
	path := t.TempDir()
	tag := ""
	drivers := []*dir.Driver{open(t, path), open(t, path)}
	for _, d := range drivers {
		defer d.Close()
	}
	for round := range 10 {
		var wins atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := drivers[i%2].WriteSmall(t.Context(), "claim", fmt.Appendf(nil, "%d %d", round, i), tag)
				if err == nil {
					wins.Add(1)
				} else if !bundle.IsKind(err, bundle.KindConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d: %d winners", round, wins.Load())
		}
		var err error
		if _, tag, err = drivers[0].ReadSmall(t.Context(), "claim"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForeignFilesAreNotListed(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	defer d.Close()
	for _, name := range []string{"lost+found", ".DS_Store", "a_b"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	err := d.List(t.Context(), "", func(o storage.ObjectInfo) error {
		t.Errorf("listed %q", o.Key)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := d.Get(t.Context(), "link", 0, -1); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("a symbolic link was followed: %v", err)
	}
}

func TestOpenRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := dir.Open(path); err == nil {
		d.Close()
		t.Error("Open of a file succeeded")
	}
}
