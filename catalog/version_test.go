package catalog

import (
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestCommitMakesAVersionAndItsRecord(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	s.must(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a.txt", "hello")}, Blobs: []bundle.Located{packed("p", "hello", 40)}})
	files := read(s, func(v *View) ([]OverlayFile, error) { f, _, err := v.Overlay(draft); return f, err })
	if len(files) != 1 || files[0].Path != "a.txt" {
		t.Fatal(files)
	}
	r := s.commit(draft)
	if r.Number != 1 {
		t.Fatal(r)
	}
	vs := read(s, func(v *View) ([]Paged[Version], error) { return v.Versions(b, Page{}) })
	if len(vs) != 1 || vs[0].Row.ChangeDescription != "changed" || vs[0].Row.Redistribute != "peers" || vs[0].Row.Alias.IsZero() {
		t.Fatalf("%+v", vs)
	}
	rs := read(s, func(v *View) ([]Record, error) { return v.Records(0, 0) })
	if len(rs) != 3 || rs[2].Subject != b {
		t.Fatalf("%+v", rs)
	}
	all := read(s, func(v *View) ([]Paged[Bundle], error) { return v.Bundles(BundleFilter{Search: "ONE"}, Page{}) })
	if len(all) != 1 || all[0].Row.Head != 1 {
		t.Fatalf("%+v", all)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	before := s.digest()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if s.digest() != before {
		t.Fatal("a reopened catalog differs")
	}
}
