package operator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell returns the sqlite3 shell, or ends the test.
func shell(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("sqlite3")
	if err == nil {
		return path
	}
	if os.Getenv("BLOCKSTORED_TEST_NOSKIP") == "1" {
		t.Fatal(err)
	}
	t.Skip("the sqlite3 shell is not installed:", err)
	return ""
}

// inspect opens the catalog with the shell, runs statements and closes it.
func inspect(t *testing.T, s *site.Site, statements ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Data(), "catalog", "db-*", "*.sqlite"))
	if err != nil || len(found) != 1 {
		t.Fatalf("catalogs: %q, %v", found, err)
	}
	out, err := exec.CommandContext(t.Context(), shell(t), append([]string{found[0]}, statements...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// restart kills the instance without warning and starts it again.
func restart(t *testing.T, s *site.Site, whileDown func()) {
	t.Helper()
	s.Kill()
	whileDown()
	if _, err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// writer publishes versions of one bundle and knows what each must hold.
type writer struct {
	site       *site.Site
	collection string
	bundle     string
	versions   []site.Tree
}

func (w *writer) publish(t *testing.T) {
	t.Helper()
	n := len(w.versions) + 1
	files := map[string][]byte{"n.txt": fmt.Appendf(nil, "%d", n), fmt.Sprintf("f%d.txt", n): []byte(strings.Repeat("x", 1000*n))}
	dir := t.TempDir()
	if err := site.WriteTree(dir, files); err != nil {
		t.Fatal(err)
	}
	p, err := w.site.Publish(t.Context(), dir, w.collection, w.bundle, "Bundle", "")
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != n {
		t.Fatalf("published version %d, not %d", p.Version, n)
	}
	w.bundle, w.versions = p.Bundle, append(w.versions, site.TreeOf(files))
}

// verify reads every version back.
func (w *writer) verify(t *testing.T) {
	t.Helper()
	api, err := w.site.API(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := api.Newest(t.Context(), w.bundle); err != nil || n != len(w.versions) {
		t.Fatalf("newest version %d, %v; published %d", n, err, len(w.versions))
	}
	for k, want := range w.versions {
		files, err := api.Fetch(t.Context(), site.Listed{Bundle: w.bundle, Version: k + 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := site.TreeOf(files).Compare(want); err != nil {
			t.Errorf("version %d: %v", k+1, err)
		}
	}
}

func TestLookingIntoTheCatalogWithTheShellLosesNothing(t *testing.T) {
	shell(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := sitetest.Program(t)
	s, err := site.New(ctx, site.Config{Program: program, Dir: t.TempDir(), Name: "north"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	w := &writer{site: s}
	if w.collection, err = s.CreateCollection(ctx, "Collection"); err != nil {
		t.Fatal(err)
	}
	nothing := func() {}

	w.publish(t)
	if got := inspect(t, s, "PRAGMA quick_check", "SELECT count(*) > 0 FROM sqlite_master"); got != "ok\n1" {
		t.Fatalf("live catalog: %q", got)
	}
	w.publish(t)
	restart(t, s, nothing)
	w.verify(t)

	// The shell may even move the write-ahead log's content, as its own closing does.
	w.publish(t)
	inspect(t, s, "PRAGMA wal_checkpoint(TRUNCATE)")
	w.publish(t)
	restart(t, s, nothing)
	w.verify(t)

	// While nobody has it open, the shell's closing removes the log.
	w.publish(t)
	restart(t, s, func() { inspect(t, s, "PRAGMA quick_check") })
	w.verify(t)
	w.publish(t)
	restart(t, s, nothing)
	w.verify(t)
}
