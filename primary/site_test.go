package primary

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// applied is a Proposer that applies at once: the log of one node without its
// disk.
type applied struct {
	db *catalog.DB

	mu    sync.Mutex
	index uint64
	kinds []catalog.Kind // of what was proposed

	// before, if set, sees each command first and may answer instead.
	before func(catalog.Command) (*catalog.Result, error)
}

func (a *applied) Propose(_ context.Context, cmd catalog.Command) (catalog.Result, error) {
	if a.before != nil {
		if r, err := a.before(cmd); r != nil || err != nil {
			if r == nil {
				r = &catalog.Result{}
			}
			return *r, err
		}
	}
	return a.apply(cmd)
}

func (a *applied) apply(cmd catalog.Command) (catalog.Result, error) {
	b, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index++
	a.kinds = append(a.kinds, cmd.Body.CommandKind())
	rs, err := a.db.Apply([]catalog.Entry{{Index: a.index, Term: 1, Data: b}})
	if err != nil {
		return catalog.Result{}, err
	}
	return rs[0], nil
}

// took returns the kinds proposed since the last call.
func (a *applied) took() []catalog.Kind {
	a.mu.Lock()
	defer a.mu.Unlock()
	kinds := a.kinds
	a.kinds = nil
	return kinds
}

// counted counts the objects written to a driver.
type counted struct {
	storage.Driver
	objects, bytes atomic.Int64
}

func (d *counted) Create(ctx context.Context, hint int64) (storage.Upload, error) {
	u, err := d.Driver.Create(ctx, hint)
	return &countedUpload{u, d, 0}, err
}

type countedUpload struct {
	storage.Upload
	d *counted
	n int64
}

func (u *countedUpload) Write(b []byte) (int, error) {
	n, err := u.Upload.Write(b)
	u.n += int64(n)
	return n, err
}

func (u *countedUpload) Commit(ctx context.Context, key string, digest bundle.Digest) error {
	u.d.objects.Add(1)
	u.d.bytes.Add(u.n)
	return u.Upload.Commit(ctx, key, digest)
}

// site is an instance's keeping and writing parts, on a disk of its own.
type site struct {
	*Primary
	log    *applied
	driver *counted
	db     *catalog.DB
	coll   bundle.ID
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newSite(t *testing.T) *site {
	t.Helper()
	ctx := context.Background()
	folder := t.TempDir()
	driver, err := dir.Open(folder + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(ctx, folder+"/catalog", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{db: db, log: &applied{db: db}, driver: &counted{Driver: driver}}
	store := storage.New(storage.Config{Driver: s.driver})
	t.Cleanup(func() {
		for _, close := range []func() error{store.Close, db.Close, driver.Close} {
			if err := close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.Primary = New(Config{Proposer: s.log, Catalog: db, Store: store, Contents: storage.NewContents(store, db)})
	_, err = s.propose(ctx, 0, catalog.InitInstance{
		Instance: bundle.NewID(), Name: "north", Descriptor: []byte("descriptor"), Generation: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateCollection(ctx, NewCollection{Title: "Course"})
	if err != nil {
		t.Fatal(err)
	}
	s.coll = c.ID
	s.log.took()
	return s
}

// bundle makes a bundle and a draft of it.
func (s *site) bundle(t tester) (catalog.Bundle, catalog.Draft) {
	t.Helper()
	b, err := s.CreateBundle(context.Background(), NewBundle{Collection: s.coll, Slug: "unit", Title: "Unit"})
	if err != nil {
		t.Fatal(err)
	}
	return b, s.draft(t, b.ID, "work")
}

func (s *site) draft(t tester, b bundle.ID, name string) catalog.Draft {
	t.Helper()
	d, err := s.CreateDraft(context.Background(), NewDraft{Bundle: b, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// set is a patch of files; "" deletes.
func set(pathsAndContents ...string) Patch {
	var p Patch
	for pair := range slices.Chunk(pathsAndContents, 2) {
		p.Files = append(p.Files, FileEdit{Path: pair[0], Content: []byte(pair[1]), Delete: pair[1] == ""})
	}
	return p
}

func linkTo(name string, b bundle.ID, version int64) Patch {
	return Patch{Links: []LinkEdit{{Name: name, Bundle: b, Version: version}}}
}

func (s *site) patch(t tester, draft bundle.ID, p Patch) {
	t.Helper()
	if _, err := s.PatchDraft(context.Background(), draft, p); err != nil {
		t.Fatal(err)
	}
}

func (s *site) commit(t tester, draft bundle.ID) catalog.Version {
	t.Helper()
	v, err := s.Commit(context.Background(), draft, CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// contents returns a version's files, read back from storage.
func (s *site) contents(t tester, ref bundle.VersionRef) map[string]string {
	t.Helper()
	ctx := context.Background()
	files, err := s.Files(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, f := range files {
		r, info, err := s.OpenFile(ctx, ref, f.Path, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Path] = string(readAll(t, r))
		if want := bundle.HashOf([]byte(out[f.Path])); info.Hash != want || info != f {
			t.Fatalf("%s is listed as %+v, opened as %+v, and hashes to %s", f.Path, f, info, want)
		}
	}
	return out
}

// view returns what a draft shows.
func (s *site) view(t tester, draft bundle.ID) map[string]string {
	t.Helper()
	ctx := context.Background()
	v, err := s.DraftView(ctx, draft)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, f := range v.Files {
		r, one, err := s.OpenDraftFile(ctx, draft, f.Path, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if one != f {
			t.Fatalf("%s is %+v in the view and %+v alone", f.Path, f, one)
		}
		out[f.Path] = string(readAll(t, r))
	}
	return out
}

func readAll(t tester, r io.ReadCloser) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// stopwatch is a clock and a Metrics.
type stopwatch struct{ commits atomic.Int64 }

func (w *stopwatch) Commit(time.Duration) { w.commits.Add(1) }
