package primary

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestDiffSaysWhatLeadsFromOneVersionToAnother(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	target, work := s.bundle(t)
	s.patch(t, work.ID, set("x", "1"))
	s.commit(t, work.ID)
	s.patch(t, work.ID, set("x", "2"))
	s.commit(t, work.ID)

	b, d := s.bundle(t)
	s.patch(t, d.ID, set("a", "1", "b", "1", "c", "1"))
	s.patch(t, d.ID, linkTo("kept", target.ID, 1))
	s.patch(t, d.ID, linkTo("moved", target.ID, 1))
	s.patch(t, d.ID, linkTo("gone", target.ID, 1))
	s.commit(t, d.ID)
	s.patch(t, d.ID, set("a", "", "b", "2", "d", "1"))
	s.patch(t, d.ID, linkTo("moved", target.ID, 2))
	s.patch(t, d.ID, linkTo("new", target.ID, 2))
	s.patch(t, d.ID, Patch{Links: []LinkEdit{{Name: "gone", Delete: true}}})
	s.commit(t, d.ID)

	show := func(from, to uint64) string {
		t.Helper()
		diff, err := s.Diff(ctx, b.ID, from, to)
		if err != nil {
			t.Fatal(err)
		}
		files := func(fs []FileInfo) (out []string) {
			for _, f := range fs {
				if f.Hash.IsZero() {
					t.Errorf("%s has no hash", f.Path)
				}
				out = append(out, f.Path)
			}
			return out
		}
		links := func(ls []bundle.Link) (out []string) {
			for _, l := range ls {
				out = append(out, fmt.Sprint(l.Name, l.Direct.Version))
			}
			return out
		}
		return fmt.Sprint(files(diff.Files.Added), files(diff.Files.Changed), files(diff.Files.Deleted),
			links(diff.Links.Added), links(diff.Links.Changed), links(diff.Links.Deleted))
	}
	for _, c := range []struct {
		from, to uint64
		want     string
	}{
		{1, 2, "[d] [b] [a] [new2] [moved2] [gone1]"},
		{2, 1, "[a] [b] [d] [gone1] [moved1] [new2]"},
		{1, 1, "[] [] [] [] [] []"},
	} {
		if got := show(c.from, c.to); got != c.want {
			t.Errorf("%d to %d: %s, want %s", c.from, c.to, got, c.want)
		}
	}
	for _, pair := range [][2]uint64{{1, 3}, {3, 1}, {0, 1}} {
		if _, err := s.Diff(ctx, b.ID, pair[0], pair[1]); !bundle.IsKind(err, bundle.KindNotFound) {
			t.Errorf("%v: %v", pair, err)
		}
	}
}

func TestDiffOfALargeBundleReadsFewPages(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	b, d := s.bundle(t)
	var p Patch
	for i := range 20_000 {
		p.Files = append(p.Files, FileEdit{Path: fmt.Sprintf("unit/%05d.xml", i), Content: []byte("same")})
	}
	s.patch(t, d.ID, p)
	s.commit(t, d.ID)
	s.patch(t, d.ID, set("unit/10000.xml", "other"))
	s.commit(t, d.ID)

	// Another process, with nothing in its caches.
	fresh := New(Config{Proposer: s.log, Catalog: s.db, Store: s.Primary.store, Contents: s.Primary.contents})
	var read atomic.Int64
	fresh.pages = newWeighted[bundle.Digest](1, func([]byte) int { read.Add(1); return 2 })
	diff, err := fresh.Diff(ctx, b.ID, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(diff.Files.Changed) != 1 || len(diff.Files.Added)+len(diff.Files.Deleted) != 0 {
		t.Errorf("%+v", diff.Files)
	}
	all, err := s.manifestPages(ctx, bundle.VersionRef{Bundle: b.ID, Number: 2})
	if err != nil {
		t.Fatal(err)
	}
	if n := int(read.Load()); n > len(all)/4 {
		t.Errorf("read %d pages; a version has %d", n, len(all))
	}
}

// manifestPages returns the digests of a version's pages.
func (s *site) manifestPages(ctx context.Context, ref bundle.VersionRef) ([]bundle.Digest, error) {
	_, m, err := s.Snapshot(ctx, ref)
	if err != nil {
		return nil, err
	}
	return m.Pages(ctx, s.Fetch)
}
