package bundle

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readGolden(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%x, want\n%x", name, got, want)
	}
}

func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pageStore keeps pages in memory and counts what is read.
type pageStore struct {
	pages map[Digest][]byte
	reads int // pages
	calls int
}

func newPageStore() *pageStore { return &pageStore{pages: map[Digest][]byte{}} }

func (s *pageStore) put(pages []Page) {
	for _, p := range pages {
		s.pages[p.Digest] = p.Bytes
	}
}

func (s *pageStore) fetch(_ context.Context, ds []Digest) ([][]byte, error) {
	s.calls++
	if len(ds) > FetchBatch {
		return nil, fmt.Errorf("%d pages in one batch", len(ds))
	}
	out := make([][]byte, len(ds))
	for i, d := range ds {
		b, ok := s.pages[d]
		if !ok {
			return nil, Errorf(KindNotFound, "no page %s", d)
		}
		s.reads++
		out[i] = b
	}
	return out, nil
}

type fatal interface {
	Helper()
	Fatal(...any)
}

// save encodes s into the store and opens it.
func (s *pageStore) save(t fatal, snap *Snapshot) *Manifest {
	t.Helper()
	root, pages, err := Encode(snap)
	if err != nil {
		t.Fatal(err)
	}
	if pages[len(pages)-1].Digest != root {
		t.Fatal("the root is not the last page")
	}
	s.put(pages)
	return s.open(t, root)
}

func (s *pageStore) open(t fatal, root Digest) *Manifest {
	t.Helper()
	m, err := Open(context.Background(), root, s.fetch)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// someFiles makes n files. Wide ones have paths so long that few fit a page,
// so that few make a high tree.
func someFiles(r *rand.Rand, n int, wide bool) map[string]File {
	files := map[string]File{}
	for range n {
		f := someFile(r, r.IntN(4*n+1), wide)
		files[f.Path] = f
	}
	return files
}

func someFile(r *rand.Rand, i int, wide bool) File {
	p := fmt.Sprintf("%02d/file %05d.html", i%7, i)
	if wide {
		p += strings.Repeat("~", 3900)
	}
	return File{p, DigestOf([]byte{byte(r.Uint32()), byte(r.Uint32())}), r.Int64N(1 << 40)}
}

func toSnapshot(files map[string]File, links []Link) *Snapshot {
	s := &Snapshot{Links: links}
	for _, f := range files {
		s.Files = append(s.Files, f)
	}
	s.Sort()
	return s
}

func someLinks(n int) []Link {
	var links []Link
	for i := range n {
		l := Link{Name: fmt.Sprintf("link %03d", i), Direct: Dependency{Bundle: ID{1, byte(i)}, Version: uint64(i + 1), Snapshot: HashOf([]byte{byte(i)})}}
		for j := range i % 3 {
			l.Indirect = append(l.Indirect, Dependency{Bundle: ID{2, byte(j)}, Version: 300, Snapshot: Hash20{byte(j)}})
		}
		links = append(links, l)
	}
	return links
}

func rngGen() *rapid.Generator[*rand.Rand] {
	return rapid.Custom(func(t *rapid.T) *rand.Rand {
		return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	})
}

// filesGen draws sizes around where a tree gains and loses levels.
func filesGen(r *rand.Rand, wide bool) *rapid.Generator[map[string]File] {
	return rapid.Custom(func(t *rapid.T) map[string]File {
		return someFiles(r, rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(100, 500), rapid.IntRange(0, 1200)).Draw(t, "n"), wide)
	})
}

func TestManifestReturnsWhatWasEncoded(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		r, wide := rngGen().Draw(t, "rng"), rapid.Bool().Draw(t, "wide")
		want := toSnapshot(filesGen(r, wide).Draw(t, "files"), someLinks(rapid.IntRange(0, 9).Draw(t, "links")))
		st := newPageStore()
		m := st.save(t, want)
		got, err := m.Snapshot(ctx, st.fetch)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Files, want.Files) || !slices.EqualFunc(got.Links, want.Links, func(a, b Link) bool {
			return a.Name == b.Name && a.Direct == b.Direct && slices.Equal(a.Indirect, b.Indirect)
		}) {
			t.Fatal("it came back changed")
		}
		var sum int64
		for _, f := range want.Files {
			sum += f.Size
		}
		if m.NumFiles() != len(want.Files) || m.Bytes() != sum {
			t.Fatalf("%d files of %d bytes", m.NumFiles(), m.Bytes())
		}
		all, err := m.Pages(ctx, st.fetch)
		if err != nil || len(all) != len(st.pages) {
			t.Fatalf("Pages names %d of %d: %v", len(all), len(st.pages), err)
		}
		if got := descend(t, st, m.Digest()); len(got) != len(all) {
			t.Fatalf("PageChildren leads to %d pages of %d", len(got), len(all))
		}
		for range 20 {
			probe := someFile(r, r.IntN(2000), wide).Path
			i, found := slices.BinarySearchFunc(want.Files, probe, func(f File, p string) int { return strings.Compare(f.Path, p) })
			f, ok, err := m.Lookup(ctx, st.fetch, probe)
			if err != nil || ok != found || ok && f != want.Files[i] {
				t.Fatalf("Lookup %q: %v, %v, %v", probe, f, ok, err)
			}
			f, ok, err = m.Seek(ctx, st.fetch, probe)
			if err != nil || ok != (i < len(want.Files)) || ok && f != want.Files[i] {
				t.Fatalf("Seek %q: %v, %v, %v", probe, f, ok, err)
			}
		}
	})
}

// descend collects pages as a subscriber does.
func descend(t *rapid.T, st *pageStore, d Digest) []Digest {
	children, err := PageChildren(st.pages[d])
	if err != nil {
		t.Fatal(err)
	}
	all := []Digest{d}
	for _, c := range children {
		all = append(all, descend(t, st, c)...)
	}
	return all
}

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

func TestEncodeAndEditRefuseWhatIsNotCanonical(t *testing.T) {
	dep := Dependency{Bundle: ID{1}, Version: 1}
	for name, s := range map[string]Snapshot{
		"unsorted":        {Files: []File{{Path: "b"}, {Path: "a"}}},
		"twice":           {Files: []File{{Path: "a"}, {Path: "a"}}},
		"empty path":      {Files: []File{{}}},
		"not UTF-8":       {Files: []File{{Path: "a\xff"}}},
		"too long":        {Files: []File{{Path: strings.Repeat("a", 4097)}}},
		"negative":        {Files: []File{{Path: "a", Size: -1}}},
		"links unsorted":  {Links: []Link{{Name: "b"}, {Name: "a"}}},
		"link twice":      {Links: []Link{{Name: "a"}, {Name: "a"}}},
		"link not UTF-8":  {Links: []Link{{Name: "\xff"}}},
		"version":         {Links: []Link{{Direct: Dependency{Version: 1 << 63}}}},
		"indirect twice":  {Links: []Link{{Indirect: []Dependency{dep, dep}}}},
		"indirect orders": {Links: []Link{{Indirect: []Dependency{dep, {Bundle: ID{0, 1}}}}}},
	} {
		if _, _, err := Encode(&s); !IsKind(err, KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		var changes []Change
		for _, f := range s.Files {
			changes = append(changes, Change{f.Path, &f})
		}
		if _, _, err := Edit(context.Background(), nil, nil, changes, s.Links); !IsKind(err, KindInvalid) {
			t.Errorf("%s, edited: %v", name, err)
		}
	}
	huge := Snapshot{Files: []File{{Path: "a", Size: 1<<63 - 1}, {Path: "b", Size: 1}}}
	if _, _, err := Encode(&huge); !IsKind(err, KindTooLarge) {
		t.Error(err)
	}
	if _, _, err := Edit(context.Background(), nil, nil, []Change{{Path: "a", File: &File{Path: "b"}}}, nil); !IsKind(err, KindInvalid) {
		t.Error(err)
	}
}

func TestSortMakesASnapshotEncodable(t *testing.T) {
	d1, d2 := Dependency{Bundle: ID{1}, Version: 2}, Dependency{Bundle: ID{1}, Version: 1}
	s := Snapshot{Files: []File{{Path: "b"}, {Path: "a"}}, Links: []Link{{Name: "z"}, {Name: "y", Indirect: []Dependency{d1, d2, d1}}}}
	s.Sort()
	if _, _, err := Encode(&s); err != nil || len(s.Links[0].Indirect) != 2 {
		t.Error(err)
	}
}

func TestOpenAndWalkRefuseOtherBytes(t *testing.T) {
	ctx := context.Background()
	st := newPageStore()
	s := tenThousand()
	m := st.save(t, s)
	all, err := m.Pages(ctx, st.fetch)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Digest{all[0], all[1], all[len(all)-1]} {
		good := st.pages[d]
		bad := bytes.Clone(good)
		bad[len(bad)/2]++
		st.pages[d] = bad
		m2, err := Open(ctx, all[0], st.fetch)
		if err == nil {
			err = m2.Verify(ctx, st.fetch)
		}
		if !IsKind(err, KindCorrupt) {
			t.Errorf("page %s altered: %v", d, err)
		}
		st.pages[d] = good
	}
	if _, err := Open(ctx, all[len(all)-1], st.fetch); !IsKind(err, KindInvalid) {
		t.Errorf("a leaf opened as a root: %v", err)
	}
	stop := errors.New("stop")
	if err := m.Walk(ctx, st.fetch, func(File) error { return stop }); err != stop {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := m.Verify(gone, st.fetch); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A tree that is sound but cut in another place is another name for the same
// content, and is refused.
func TestVerifyRefusesASecondManifestOfTheSameContent(t *testing.T) {
	ctx := context.Background()
	var items []item
	for _, f := range tenThousand().Files[:1000] {
		items = append(items, fileItem(f))
	}
	build := func(cuts ...int) error {
		st := newPageStore()
		var refs []item
		for start := 0; len(cuts) > 0; cuts = cuts[1:] {
			p := newPage(0, items[start:cuts[0]])
			ref, err := refTo(p.Digest, items[start:cuts[0]])
			if err != nil {
				t.Fatal(err)
			}
			st.put([]Page{p})
			refs, start = append(refs, ref), cuts[0]
		}
		b, err := encodeRoot(1, refs, nil)
		if err != nil {
			t.Fatal(err)
		}
		st.pages[DigestOf(b)] = b
		m, err := Open(ctx, DigestOf(b), st.fetch)
		if err != nil {
			return err
		}
		return m.Verify(ctx, st.fetch)
	}
	var right []int
	c := cutter{}
	for i, it := range items {
		if c.add(it.path) && i > 0 {
			right = append(right, i)
		}
	}
	right = append(right, len(items))
	if err := build(right...); err != nil {
		t.Fatal(err)
	}
	joined := slices.Delete(slices.Clone(right), 1, 2)
	split := slices.Sorted(slices.Values(append(slices.Clone(right), right[0]/2)))
	moved := slices.Clone(right)
	moved[0]--
	for name, cuts := range map[string][]int{"joined": joined, "split": split, "moved": moved} {
		if err := build(cuts...); !IsKind(err, KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	items = items[:20]
	if err := build(20); !IsKind(err, KindInvalid) {
		t.Errorf("a level too many: %v", err)
	}
}

func TestImportsThatBreakTodaysRulesAreReadableAndMarked(t *testing.T) {
	self := ID{7}
	s := markedSnapshot(self)
	st := newPageStore()
	got, err := st.save(t, s).Snapshot(context.Background(), st.fetch)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range got.Files {
		if f.Marked() != (f.Path != "ok") || f != s.Files[i] {
			t.Errorf("%q: marked %v", f.Path, f.Marked())
		}
	}
	for _, l := range got.Links {
		if l.Marked(self) != (l.Name != "ok") {
			t.Errorf("link %q: marked %v", l.Name, l.Marked(self))
		}
	}
}

func markedSnapshot(self ID) *Snapshot {
	s := &Snapshot{
		Files: []File{{"./k", DigestOf(nil), 0}, {`a\b`, DigestOf([]byte("1")), 1}, {"a/./b", DigestOf([]byte("22")), 2}, {"dir/", Digest{}, 3}, {"nul\x00", Digest{}, 1 << 40}, {"ok", Digest{}, 5}},
		Links: []Link{{Name: "self", Direct: Dependency{self, 3, Hash20{1}}}, {Name: "zero", Direct: Dependency{ID{8}, 0, Hash20{2}}}, {Name: "ok", Direct: Dependency{ID{9}, 1, Hash20{3}}}},
	}
	s.Sort()
	return s
}

func TestManifestGolden(t *testing.T) {
	inline := toSnapshot(map[string]File{"a": {"a", DigestOf([]byte("initial version")), 15}, "b/ü": {"b/ü", DigestOf(nil), 0}}, nil)
	tree := &Snapshot{Files: tenThousand().Files[:300]}
	for name, s := range map[string]*Snapshot{
		"manifest-empty.bin": {}, "manifest-inline.bin": inline, "manifest-tree.bin": tree,
		"manifest-links.bin": {Links: someLinks(3)}, "manifest-marked.bin": markedSnapshot(ID{7}),
	} {
		_, pages, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte // a tree's pages one after the other
		for _, p := range pages {
			all = append(all, p.Bytes...)
		}
		golden(t, name, all)
	}
	// The shape of a high tree is pinned by its digest alone.
	root, _, err := Encode(tenThousand())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "manifest-10000.txt", []byte(root.String()+"\n"))
}

func TestPagesStayUnderTheFramesLimit(t *testing.T) {
	s := &Snapshot{}
	for i := range 1500 { // the heaviest items there are
		s.Files = append(s.Files, File{fmt.Sprintf("%04d%s", i, strings.Repeat("~", maxName-4)), Digest{}, 1<<52 - 1})
	}
	_, pages, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if len(p.Bytes) > pageWeight+32 {
			t.Errorf("a page of %d bytes", len(p.Bytes))
		}
	}
}

// A complete CBOR library, strict and deterministic, must agree with the small
// reader and writer here in both directions.
func strictCBOR(t fatal, b []byte) {
	t.Helper()
	dec, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := dec.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	again, err := enc.Marshal(v)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatal("not the core deterministic encoding", err)
	}
}

func TestPagesAreDeterministicCBOR(t *testing.T) {
	for _, s := range []*Snapshot{{}, tenThousand(), {Links: someLinks(300)}, markedSnapshot(ID{7})} {
		_, pages, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			strictCBOR(t, p.Bytes)
		}
	}
}

func FuzzManifestPage(f *testing.F) {
	for _, s := range []*Snapshot{{}, {Files: tenThousand().Files[:200]}, {Links: someLinks(4)}, markedSnapshot(ID{7})} {
		_, pages, err := Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range pages {
			f.Add(p.Bytes)
		}
	}
	f.Add([]byte{0x83, 1, 0, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x86, 1, 0, 0, 0, 0x98, 0, 0x80}) // not the shortest form
	f.Add([]byte{0x86, 1, 0, 0, 0, 0x9f, 0xff, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePage(b)
		if err != nil {
			if !IsKind(err, KindInvalid) {
				t.Fatal(err)
			}
			return
		}
		again := encodePage(p.level, p.items)
		if p.root {
			if again, err = encodeRoot(p.level, p.items, p.links); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("two encodings of one page:\n%x\n%x", b, again)
		}
		strictCBOR(t, b)
		children, err := PageChildren(b)
		if err != nil || p.level == 0 && children != nil || p.level > 0 && len(children) != len(p.items) {
			t.Fatal(children, err)
		}
	})
}
