package bundle

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEditGivesTheManifestOfTheResultAndOnlyNewPages(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		r, wide := rngGen().Draw(t, "rng"), rapid.Bool().Draw(t, "wide")
		files := filesGen(r, wide).Draw(t, "files")
		st := newPageStore()
		base := st.save(t, toSnapshot(files, nil))
		if len(files) == 0 && rapid.Bool().Draw(t, "nil base") {
			base = nil
		}
		links := someLinks(rapid.IntRange(0, 2).Draw(t, "links"))
		changes := drawChanges(t, r, files, wide)
		had := map[Digest]bool{}
		for d := range st.pages {
			had[d] = base != nil
		}
		root, added, err := Edit(ctx, base, st.fetch, changes, links)
		if err != nil {
			t.Fatal(err)
		}
		want, pages, err := Encode(toSnapshot(files, links))
		if err != nil {
			t.Fatal(err)
		}
		if root != want {
			t.Fatal("the edited manifest is not that of its content")
		}
		var wantNew []Digest
		for _, p := range pages {
			if !had[p.Digest] {
				wantNew = append(wantNew, p.Digest)
			}
		}
		var gotNew []Digest
		for _, p := range added {
			if DigestOf(p.Bytes) != p.Digest {
				t.Fatal("a page's digest is wrong")
			}
			gotNew = append(gotNew, p.Digest)
		}
		if slices.SortFunc(gotNew, cmpDigest); !slices.Equal(gotNew, slices.SortedFunc(slices.Values(wantNew), cmpDigest)) {
			t.Fatalf("%d new pages instead of %d", len(gotNew), len(wantNew))
		}
		st.put(added)
		if err := st.open(t, root).Verify(ctx, st.fetch); err != nil {
			t.Fatal(err)
		}
	})
}

func cmpDigest(a, b Digest) int { return bytes.Compare(a[:], b[:]) }

// The start of a page is where an edit can go wrong: the page before it takes up
// what follows. Each start is deleted alone and together with the next ones.
func TestEditMayDeleteWhatStartsAPage(t *testing.T) {
	ctx := context.Background()
	for n, wide := range map[int]bool{1500: false, 500: true} {
		st := newPageStore()
		all := toSnapshot(someFiles(rand.New(rand.NewPCG(1, 2)), n, wide), nil)
		base := st.save(t, all)
		var starts []int
		c := cutter{}
		for i, f := range all.Files {
			if c.add(f.Path) {
				starts = append(starts, i)
			}
		}
		for k := range starts {
			for _, gone := range [][]int{{k}, {k, k + 1}, {k, k + 2}, {k, k + 1, k + 2, k + 3}} {
				files := slices.Clone(all.Files)
				var changes []Change
				for _, g := range gone {
					if g < len(starts) {
						i := starts[g] - len(changes)
						changes = append(changes, Change{Path: files[i].Path})
						files = slices.Delete(files, i, i+1)
					}
				}
				want, _, err := Encode(&Snapshot{Files: files})
				if err != nil {
					t.Fatal(err)
				}
				if got, _, err := Edit(ctx, base, st.fetch, changes, nil); err != nil || got != want {
					t.Fatalf("wide %v: without the starts of pages %v: %v", wide, gone, err)
				}
			}
		}
	}
}

// drawChanges draws changes and makes them to files.
func drawChanges(t *rapid.T, r *rand.Rand, files map[string]File, wide bool) []Change {
	changes := map[string]Change{}
	span := 4*len(files) + 10
	from, to := r.IntN(span), span // delete a stretch, scatter the rest
	if rapid.Bool().Draw(t, "stretch") {
		to = from + r.IntN(span)
		for _, p := range slices.Sorted(func(yield func(string) bool) {
			for p := range files {
				if !yield(p) {
					return
				}
			}
		})[min(from, len(files)):min(to, len(files))] {
			changes[p] = Change{Path: p}
			delete(files, p)
		}
	}
	for range rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 300)).Draw(t, "changes") {
		f := someFile(r, r.IntN(span), wide)
		if r.IntN(2) == 0 {
			changes[f.Path] = Change{Path: f.Path}
			delete(files, f.Path)
		} else {
			changes[f.Path] = Change{f.Path, &f}
			files[f.Path] = f
		}
	}
	out := make([]Change, 0, len(changes))
	for _, c := range changes {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func TestTheOrderOfEditsLeavesNoTrace(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		r, wide := rngGen().Draw(t, "rng"), rapid.Bool().Draw(t, "wide")
		files := someFiles(r, rapid.IntRange(0, 400).Draw(t, "n"), wide)
		want, _, err := Encode(toSnapshot(files, nil))
		if err != nil {
			t.Fatal(err)
		}
		all := toSnapshot(files, nil).Files
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		st := newPageStore()
		m := st.save(t, &Snapshot{})
		for part := range slices.Chunk(all, max(1, len(all)/7)) {
			var changes []Change
			for _, f := range part {
				changes = append(changes, Change{f.Path, &f})
			}
			slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
			root, pages, err := Edit(ctx, m, st.fetch, changes, nil)
			if err != nil {
				t.Fatal(err)
			}
			st.put(pages)
			m = st.open(t, root)
		}
		if m.Digest() != want {
			t.Fatal("another order gave another manifest")
		}
	})
}

func TestDiffNamesWhatDiffers(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		r, wide := rngGen().Draw(t, "rng"), rapid.Bool().Draw(t, "wide")
		files := filesGen(r, wide).Draw(t, "files")
		st := newPageStore()
		before := toSnapshot(files, nil)
		a := st.save(t, before)
		drawChanges(t, r, files, wide)
		b := st.save(t, toSnapshot(files, nil))
		old := map[string]File{}
		for _, f := range before.Files {
			old[f.Path] = f
		}
		last := ""
		err := Diff(ctx, a, b, st.fetch, func(p string, fa, fb *File) error {
			if p <= last {
				t.Fatalf("%q is out of order", p)
			}
			last = p
			wa, oka := old[p]
			wb, okb := files[p]
			if (fa != nil) != oka || (fb != nil) != okb || oka && *fa != wa || okb && *fb != wb || oka && okb && wa == wb {
				t.Fatalf("%q: %v, %v", p, fa, fb)
			}
			delete(old, p)
			delete(files, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for p, f := range old {
			if files[p] != f {
				t.Fatalf("%q was left out", p)
			}
		}
		if len(old) != len(files) {
			t.Fatal("an added file was left out")
		}
	})
}

func tenThousand() *Snapshot {
	s := &Snapshot{}
	for i := range 10_000 {
		p := fmt.Sprintf("cmd/compile/internal/section%02d/unit%03d/problem_%05d.xml", i/500, i/20, i)
		s.Files = append(s.Files, File{p, DigestOf([]byte(p)), int64(1000 + i)})
	}
	s.Sort()
	return s
}

func TestOneEditOfTenThousandFilesTouchesFewPages(t *testing.T) {
	ctx := context.Background()
	st := newPageStore()
	s := tenThousand()
	m := st.save(t, s)
	most, mostBytes, mostReads, sumBytes := 0, 0, 0, 0
	const rounds = 200
	for i := range rounds {
		f := s.Files[i*37]
		f.Digest[0]++
		changes := []Change{{f.Path, &f}}
		switch i % 4 {
		case 1:
			changes = []Change{{Path: f.Path}}
		case 2:
			f.Path += ".new"
			changes = []Change{{f.Path, &f}}
		}
		st.reads = 0
		root, pages, err := Edit(ctx, m, st.fetch, changes, nil)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, p := range pages {
			size += len(p.Bytes)
		}
		most, mostBytes, mostReads, sumBytes = max(most, len(pages)), max(mostBytes, size), max(mostReads, st.reads), sumBytes+size
		st.put(pages)
		reads := 0
		st.reads = 0
		n := 0
		if err := Diff(ctx, m, st.open(t, root), st.fetch, func(string, *File, *File) error { n++; return nil }); err != nil || n != 1 {
			t.Fatalf("%d differences, %v", n, err)
		}
		if reads = st.reads; reads > 12 {
			t.Errorf("Diff of one file read %d pages", reads)
		}
	}
	t.Logf("%d pages; an edit writes at most %d pages of %d bytes (%d on average) and reads %d", len(st.pages), most, mostBytes, sumBytes/rounds, mostReads)
	if most > 5 || sumBytes/rounds > 40_000 || mostReads > 8 {
		t.Error("one edit touches too much")
	}
	st.reads, st.calls = 0, 0
	if err := m.Verify(ctx, st.fetch); err != nil {
		t.Fatal(err)
	}
	if st.calls > 8 {
		t.Errorf("a walk took %d calls for %d pages", st.calls, st.reads)
	}
}
