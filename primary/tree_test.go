package primary

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// TestFilesAndFoldersClashWhateverTheTree compares the targeted look-ups, on
// pages and on a list, with the rule over the whole set of paths.
func TestFilesAndFoldersClashWhateverTheTree(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "a-", "ab"})
	path := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(segment, 1, 3).Draw(t, "segments"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		var kept []string
		for _, p := range rapid.SliceOf(path).Draw(t, "base") {
			with := append(slices.Clone(kept), p)
			slices.Sort(with)
			if with = slices.Compact(with); bundle.CheckPathSet(with) == nil {
				kept = with
			}
		}
		var ops []catalog.FileOp
		shown := slices.Clone(kept)
		for _, p := range rapid.SliceOfDistinct(rapid.OneOf(path, rapid.SampledFrom(append(kept, "x"))), rapid.ID[string]).Draw(t, "deleted") {
			ops = append(ops, catalog.FileOp{Path: p, Delete: true})
			shown = slices.DeleteFunc(shown, func(s string) bool { return s == p })
		}
		added := path.Draw(t, "added")
		ops = slices.DeleteFunc(ops, func(op catalog.FileOp) bool { return op.Path == added })
		ops = append(ops, catalog.FileOp{Path: added})
		sortOps(ops)
		shown = append(shown, added)
		slices.Sort(shown)
		shown = slices.Compact(shown)
		want := bundle.CheckPathSet(shown) != nil

		list, pages := trees(t, kept)
		for _, tree := range []tree{list, pages} {
			got, err := newClashes(layered{tree, ops}).at(ctx, added)
			if err != nil || got != want {
				t.Fatalf("%T: %q in %q with %v clashes: %v, %v; want %v", tree, added, kept, ops, got, err, want)
			}
		}
	})
}

func trees(t *rapid.T, paths []string) (listing, paged) {
	var l listing
	s := &bundle.Snapshot{}
	for _, p := range paths {
		f := bundle.File{Path: p, Digest: bundle.DigestOf([]byte(p)), Size: int64(len(p))}
		s.Files = append(s.Files, f)
		l = append(l, FileInfo{File: f})
	}
	root, pages, err := bundle.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(_ context.Context, ds []bundle.Digest) (out [][]byte, err error) {
		for _, d := range ds {
			i := slices.IndexFunc(pages, func(p bundle.Page) bool { return p.Digest == d })
			if i < 0 {
				return nil, fmt.Errorf("no page %s", d)
			}
			out = append(out, pages[i].Bytes)
		}
		return out, nil
	}
	m, err := bundle.Open(context.Background(), root, fetch)
	if err != nil {
		t.Fatal(err)
	}
	return l, paged{m, fetch}
}

func TestAWeightedCacheKeepsWhatWasUsedLast(t *testing.T) {
	c := newWeighted[string](10, func(v string) int { return len(v) })
	c.add("a", "1234")
	c.add("b", "1234")
	c.add("a", "123456789") // there already
	if _, ok := c.get("a"); !ok || c.sum != 8 {
		t.Fatalf("a is there: %v, all weigh %d", ok, c.sum)
	}
	c.add("c", "1234")
	c.add("heavy", "12345678901")
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "heavy": false} {
		if _, ok := c.get(key); ok != want {
			t.Errorf("%s is there: %v", key, ok)
		}
	}
	if c.sum != 8 {
		t.Errorf("all weigh %d", c.sum)
	}
}

func TestAGateLetsOnePassForEachID(t *testing.T) {
	var g gate
	ctx, cancel := context.WithCancel(context.Background())
	a, b := bundle.NewID(), bundle.NewID()
	leaveA, err := g.enter(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	leaveB, err := g.enter(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan error)
	go func() {
		leave, err := g.enter(ctx, a)
		if err == nil {
			leave()
		}
		entered <- err
	}()
	leaveB()
	leaveA()
	if err := <-entered; err != nil {
		t.Error(err)
	}
	leave, err := g.enter(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, err := g.enter(ctx, a); entered <- err }()
	cancel()
	if err := <-entered; err == nil {
		t.Error("entered after the context ended")
	}
	leave()
	if len(g.slots) != 0 {
		t.Errorf("%d slots are left", len(g.slots))
	}
}

func TestAFolderEndsOnlyWithItsLastFile(t *testing.T) {
	ctx := context.Background()
	var base listing
	for _, p := range []string{"ab/a", "ab/b"} {
		base = append(base, FileInfo{File: bundle.File{Path: p}})
	}
	ops := []catalog.FileOp{{Path: "ab"}, {Path: "ab/a", Delete: true}}
	if clash, err := newClashes(layered{base, ops}).at(ctx, "ab"); err != nil || !clash {
		t.Errorf("ab beside ab/b: %v, %v", clash, err)
	}
	ops = append(ops, catalog.FileOp{Path: "ab/b", Delete: true})
	if clash, err := newClashes(layered{base, ops}).at(ctx, "ab"); err != nil || clash {
		t.Errorf("ab instead of its files: %v, %v", clash, err)
	}
}
