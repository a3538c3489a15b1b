package apitest

import (
	"slices"
	"strings"
	"sync"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func (s *suite) collections() {
	made, err := s.s.CreateCollection(s.ctx(), "  Physics \n")
	s.must(err)
	if made.Title != "Physics" || made.ID == (bundle.ID{}) || made.ReadOnly || made.Primary == "" {
		s.t.Errorf("made %+v", made)
	}
	got, err := s.s.Collection(s.ctx(), made.ID)
	equal(s, "read again", must(s, got, err), made)
	if !slices.Contains(all(s, s.s.Collections(s.ctx())), made) {
		s.t.Error("the list lacks it")
	}
	changed, err := s.s.UpdateCollection(s.ctx(), made.ID, " Physics, 2nd ")
	s.must(err)
	equal(s, "changed", changed.Title, "Physics, 2nd")
	b, err := s.s.CreateBundle(s.ctx(), api.NewBundle{Collection: made.ID, Title: "B", Slug: "b"})
	s.must(err)
	s.must(s.s.DeleteCollection(s.ctx(), made.ID))
	_, err = s.s.Collection(s.ctx(), made.ID)
	s.kind("read a deleted collection", err, bundle.KindNotFound)
	_, err = s.s.Bundle(s.ctx(), b.ID)
	s.kind("read a bundle of a deleted collection", err, bundle.KindNotFound)
	s.kind("delete it twice", s.s.DeleteCollection(s.ctx(), made.ID), bundle.KindNotFound)
	_, err = s.s.UpdateCollection(s.ctx(), made.ID, "x")
	s.kind("change a deleted collection", err, bundle.KindNotFound)
}

func (s *suite) bundles() {
	c, other := s.collection(), s.collection()
	made, err := s.s.CreateBundle(s.ctx(), api.NewBundle{
		Collection: c.ID, Title: " Mechanics ", Slug: "mechanics_1-ü", Description: " Force ",
	})
	s.must(err)
	if made.Title != "Mechanics" || made.Description != "Force" || made.Collection != c.ID || made.Revision == 0 ||
		made.Versions == nil || len(made.Versions) != 0 || made.Drafts == nil || len(made.Drafts) != 0 || made.Newest() != 0 {
		s.t.Errorf("made %+v", made)
	}
	title, none := "Statics", ""
	changed, err := s.s.UpdateBundle(s.ctx(), made.ID, api.BundleChange{Title: &title, Description: &none, Collection: &other.ID})
	s.must(err)
	if changed.Title != title || changed.Slug != made.Slug || changed.Description != "" || changed.Collection != other.ID || changed.Revision <= made.Revision {
		s.t.Errorf("changed %+v", changed)
	}
	same, err := s.s.UpdateBundle(s.ctx(), made.ID, api.BundleChange{})
	s.must(err)
	equal(s, "revision after no change", same.Revision, changed.Revision)

	d, err := s.s.CreateDraft(s.ctx(), made.ID, "work")
	s.must(err)
	s.patch(d.ID, "a", "1")
	s.commit(d.ID)
	got, err := s.s.Bundle(s.ctx(), made.ID)
	s.must(err)
	if got.Drafts["work"] != d.ID || !slices.Equal(got.Versions, []uint64{1}) || got.Newest() != 1 {
		s.t.Errorf("with a draft and a version: %+v", got)
	}
	s.must(s.s.DeleteBundle(s.ctx(), made.ID))
	_, err = s.s.Bundle(s.ctx(), made.ID)
	s.kind("read a deleted bundle", err, bundle.KindNotFound)
	s.kind("delete it twice", s.s.DeleteBundle(s.ctx(), made.ID), bundle.KindNotFound)
	_, err = s.s.Version(s.ctx(), made.ID, 1)
	s.kind("read a version of a deleted bundle", err, bundle.KindNotFound)
	_, err = s.s.Draft(s.ctx(), d.ID)
	s.kind("read a draft of a deleted bundle", err, bundle.KindNotFound)
}

func idsOf(bs ...api.Bundle) (ids []bundle.ID) {
	for _, b := range bs {
		ids = append(ids, b.ID)
	}
	return ids
}

func (s *suite) filters() {
	c, other := s.collection(), s.collection()
	marker := bundle.NewID().String()
	var made []api.Bundle
	for k, n := range []api.NewBundle{
		{Collection: c.ID, Title: "École " + marker, Slug: "a"},
		{Collection: c.ID, Title: "B", Slug: "b", Description: "about ÉCOLE " + marker + " at 100% a_b"},
		{Collection: other.ID, Title: "C", Slug: "c-" + marker},
	} {
		b, err := s.s.CreateBundle(s.ctx(), n)
		made = append(made, must(s, b, err))
		if k == 1 {
			_, err := s.s.CreateDraft(s.ctx(), b.ID, "work")
			s.must(err)
		}
	}
	many := []bundle.ID{made[2].ID, made[0].ID, made[0].ID}
	for range 1200 { // more than an address can hold
		many = append(many, bundle.NewID())
	}
	for _, tt := range []struct {
		what   string
		filter api.BundleFilter
		want   []bundle.ID
	}{
		{"collection", api.BundleFilter{Collection: c.ID}, idsOf(made[0], made[1])},
		{"text", api.BundleFilter{Text: "  " + strings.ToUpper(marker) + " "}, idsOf(made...)},
		{"text and collection", api.BundleFilter{Text: marker, Collection: other.ID}, idsOf(made[2])},
		{"text in another case and composition", api.BundleFilter{Text: "e\u0301cole " + marker}, idsOf(made[0], made[1])},
		{"text with wildcards", api.BundleFilter{Text: marker + " at 100% a_"}, idsOf(made[1])},
		{"ids", api.BundleFilter{IDs: []bundle.ID{made[2].ID, made[0].ID, bundle.NewID()}}, idsOf(made[0], made[2])},
		{"many ids", api.BundleFilter{IDs: many}, idsOf(made[0], made[2])},
		{"many ids and collection", api.BundleFilter{IDs: many, Collection: other.ID}, idsOf(made[2])},
		{"no ids", api.BundleFilter{IDs: []bundle.ID{}}, nil},
		{"an unknown collection", api.BundleFilter{Collection: bundle.NewID()}, nil},
	} {
		got := all(s, s.s.Bundles(s.ctx(), tt.filter))
		if !slices.Equal(idsOf(got...), tt.want) {
			s.t.Errorf("by %s: %v, want %v", tt.what, idsOf(got...), tt.want)
		}
	}
	listed := all(s, s.s.Bundles(s.ctx(), api.BundleFilter{IDs: []bundle.ID{made[1].ID}}))
	whole, err := s.s.Bundle(s.ctx(), made[1].ID)
	s.must(err)
	if len(listed) != 1 || listed[0].Revision != 0 || paths(listed[0].Drafts) != "work" ||
		listed[0].Title != whole.Title || listed[0].Primary != whole.Primary || listed[0].Versions == nil {
		s.t.Errorf("listed %+v, read %+v", listed, whole)
	}
}

func (s *suite) revisions() {
	b, d := s.draftOf()
	title := "Other"
	_, err := s.s.UpdateBundle(s.ctx(), b.ID, api.BundleChange{Title: &title, IfRevision: b.Revision + 7})
	s.kind("change a bundle at another revision", err, bundle.KindPrecondition)
	_, err = s.s.UpdateBundle(s.ctx(), b.ID, api.BundleChange{IfRevision: b.Revision + 7})
	s.kind("change nothing of a bundle at another revision", err, bundle.KindPrecondition)
	changed, err := s.s.UpdateBundle(s.ctx(), b.ID, api.BundleChange{Title: &title, IfRevision: b.Revision})
	s.must(err)
	equal(s, "title", changed.Title, title)

	if d.Revision == 0 {
		s.t.Error("a new draft has no revision")
	}
	edit := func(revision uint64) (uint64, error) {
		return s.s.PatchDraft(s.ctx(), d.ID, api.Patch{Files: map[string]api.FileEdit{"a": {}}, IfRevision: revision})
	}
	_, err = edit(d.Revision + 7)
	s.kind("change a draft at another revision", err, bundle.KindPrecondition)
	next, err := edit(d.Revision)
	s.must(err)
	_, err = edit(d.Revision)
	s.kind("change a draft at a past revision", err, bundle.KindPrecondition)
	got, err := s.s.Draft(s.ctx(), d.ID)
	s.must(err)
	equal(s, "revision that the patch told", next, got.Revision)
	_, err = s.s.RebaseDraft(s.ctx(), d.ID, d.Revision)
	s.kind("rebase a draft at a past revision", err, bundle.KindPrecondition)
	_, err = s.s.RebaseDraft(s.ctx(), d.ID, next)
	s.must(err)
	_, err = s.s.CommitDraft(s.ctx(), d.ID, api.Commit{IfRevision: d.Revision})
	s.kind("commit a draft at a past revision", err, bundle.KindPrecondition)
	_, err = s.s.CommitDraft(s.ctx(), d.ID, api.Commit{IfRevision: s.draft(d.ID).Revision})
	s.must(err)
}

// rows is more than one page of any implementation; makers make them together.
const (
	rows   = 1005
	makers = 16
)

func (s *suite) longLists() {
	c, made := s.rows()
	listed := idsOf(all(s, s.s.Bundles(s.ctx(), api.BundleFilter{Collection: c.ID}))...)
	byText := idsOf(all(s, s.s.Bundles(s.ctx(), api.BundleFilter{Collection: c.ID, Text: "row"}))...)
	if !slices.Equal(listed, byText) {
		s.t.Error("two lists of the same are not the same")
	}
	equal(s, "rows listed", len(listed), rows)
	if made != nil {
		compare := func(a, b bundle.ID) int { return slices.Compare(a[:], b[:]) }
		slices.SortFunc(listed, compare)
		slices.SortFunc(made, compare)
		if !slices.Equal(listed, made) {
			s.t.Error("what is listed is not what was made")
		}
	}
	n := 0
	for _, err := range s.s.Bundles(s.ctx(), api.BundleFilter{Collection: c.ID}) {
		s.must(err)
		if n++; n == 3 { // and a caller may stop anywhere, and ask for more meanwhile
			break
		}
		_, err := s.s.Collection(s.ctx(), c.ID)
		s.must(err)
	}
	equal(s, "rows until the caller stopped", n, 3)
}

// rows returns a collection of that many bundles and, if it had to make them,
// which: an instance on which the suite ran before has it.
func (s *suite) rows() (c api.Collection, made []bundle.ID) {
	s.t.Helper()
	const title = "Rows of the suite"
	for _, c := range all(s, s.s.Collections(s.ctx())) {
		if c.Title == title {
			return c, nil
		}
	}
	c, err := s.s.CreateCollection(s.ctx(), title+", not all yet")
	s.must(err)
	made = make([]bundle.ID, rows)
	var wg sync.WaitGroup
	for k := range makers {
		wg.Go(func() {
			for n := k; n < rows; n += makers {
				b, err := s.s.CreateBundle(s.ctx(), api.NewBundle{Collection: c.ID, Title: "Row", Slug: "row"})
				if err != nil {
					s.t.Error(err)
					return
				}
				made[n] = b.ID
			}
		})
	}
	wg.Wait()
	c, err = s.s.UpdateCollection(s.ctx(), c.ID, title)
	return must(s, c, err), made
}
