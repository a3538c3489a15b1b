package catalog

import (
	"slices"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestBorrowersAreThoseWhoLinkHereInPages(t *testing.T) {
	s := newSite(t)
	lib, libDraft := s.bundleIn("lib")
	s.commit(libDraft)
	s.commit(libDraft)
	one, oneDraft := s.bundleIn("one")
	two, twoDraft := s.bundleIn("two")
	gone, goneDraft := s.bundleIn("gone")
	reached := func(number uint64, direct bool) Dep {
		return Dep{bundle.VersionRef{Bundle: lib, Number: number}, direct}
	}
	s.commit(twoDraft, reached(2, true), reached(1, false))
	s.commit(oneDraft, reached(1, true))
	s.commit(oneDraft, reached(1, true))
	s.commit(goneDraft, reached(1, true))
	s.must(DeleteBundle{ID: gone})

	want := []Borrower{
		{bundle.VersionRef{Bundle: one, Number: 1}, 1, true},
		{bundle.VersionRef{Bundle: one, Number: 2}, 1, true},
		{bundle.VersionRef{Bundle: two, Number: 1}, 1, false},
		{bundle.VersionRef{Bundle: two, Number: 1}, 2, true},
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []Borrower
		for after := (Borrower{}); ; after = got[len(got)-1] {
			page := read(s, func(v *View) ([]Borrower, error) { return v.Borrowers(lib, after, limit) })
			if got = append(got, page...); len(page) < limit {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
	if got := read(s, func(v *View) ([]Borrower, error) { return v.Borrowers(one, Borrower{}, 10) }); len(got) != 0 {
		t.Error(got)
	}
}
