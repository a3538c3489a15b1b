package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

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
		Links: []Link{{Name: "self", Direct: Dependency{self, 3, Hash20{1}}}, {Name: "zero", Direct: Dependency{ID{8}, 0, Hash20{2}}}, {Name: "round", Direct: Dependency{ID{8}, 1, Hash20{2}}, Indirect: []Dependency{{self, 2, Hash20{1}}}}, {Name: "ok", Direct: Dependency{ID{9}, 1, Hash20{3}}}},
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

// cborModes are those of a complete CBOR library, strict and deterministic. It
// must agree with the small reader and writer here in both directions.
func cborModes(t fatal) (cbor.DecMode, cbor.EncMode) {
	t.Helper()
	dec, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	return dec, enc
}

func strictCBOR(t fatal, dec cbor.DecMode, enc cbor.EncMode, b []byte) {
	t.Helper()
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
	dec, enc := cborModes(t)
	for _, s := range []*Snapshot{{}, tenThousand(), {Links: someLinks(300)}, markedSnapshot(ID{7})} {
		_, pages, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			strictCBOR(t, dec, enc, p.Bytes)
		}
	}
}

func FuzzManifestPage(f *testing.F) {
	dec, enc := cborModes(f)
	leaf := newPage(0, []item{{path: "a", count: 1}, {path: "b", count: 1, bytes: 1 << 40}})
	f.Add(leaf.Bytes)
	f.Add(newPage(1, []item{{"a", leaf.Digest, 2, 1 << 40}, {"c", leaf.Digest, 300, 70_000}}).Bytes)
	for _, s := range []*Snapshot{{}, {Links: someLinks(3)}, markedSnapshot(ID{7})} {
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
		strictCBOR(t, dec, enc, b)
		children, err := PageChildren(b)
		if err != nil || p.level == 0 && children != nil || p.level > 0 && len(children) != len(p.items) {
			t.Fatal(children, err)
		}
	})
}
