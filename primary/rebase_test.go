package primary

import (
	"context"
	"fmt"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// idleDraft makes a draft of version 1, which has x, that says of x and of the link
// what that version does, and a second draft.
func idleDraft(t *testing.T, s *site, target bundle.ID) (draft, other bundle.ID) {
	t.Helper()
	b, d := s.bundle(t)
	s.patch(t, d.ID, set("x", "1"))
	s.commit(t, d.ID)
	other = s.draft(t, b.ID, "other").ID
	s.patch(t, d.ID, set("x", "1", "y", "mine"))
	s.patch(t, d.ID, Patch{Links: []LinkEdit{{Name: "l", Delete: true}}})
	s.patch(t, other, set("x", "2"))
	s.patch(t, other, linkTo("l", target, 1))
	s.commit(t, other)
	return d.ID, other
}

func TestWhatADraftDidNotChangeNeverConflictsAfterARebase(t *testing.T) {
	s := newSite(t)
	target, made := s.bundle(t)
	s.patch(t, made.ID, set("a", "1"))
	s.commit(t, made.ID)
	draft, other := idleDraft(t, s, target.ID)
	// The bundle moves on just before the base of the draft would.
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if _, ok := c.Body.(catalog.RebaseDraft); ok {
			s.log.before = nil
			s.patch(t, other, set("x", "3"))
			s.commit(t, other)
		}
		return nil, nil
	}
	if _, err := s.Rebase(context.Background(), draft, 0); err != nil {
		t.Fatal(err)
	}
	if got := s.view(t, draft); fmt.Sprint(got) != "map[x:3 y:mine]" {
		t.Errorf("the draft shows %v", got)
	}
}

func TestADraftIsRebasedOntoALinkToADeletedBundle(t *testing.T) {
	s := newSite(t)
	target, made := s.bundle(t)
	s.patch(t, made.ID, set("a", "1"))
	s.commit(t, made.ID)
	draft, _ := idleDraft(t, s, target.ID)
	if err := s.DeleteBundle(context.Background(), target.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rebase(context.Background(), draft, 0); err != nil {
		t.Fatal(err)
	}
	v, err := s.DraftView(context.Background(), draft)
	if err != nil || len(v.Links) != 1 || v.Links[0].Modified || v.Links[0].Direct.Bundle != target.ID {
		t.Errorf("the draft shows the links %+v, %v", v.Links, err)
	}
	s.commit(t, draft)
}

func TestARebaseForgetsMoreThanOneCommandHolds(t *testing.T) {
	s := newSite(t)
	b, d := s.bundle(t)
	var once, twice Patch
	for i := range 3000 {
		path := fmt.Sprintf("a/rather/long/name/of/a/folder/as/courses/have/them/and/then/%0100d", i)
		once.Files = append(once.Files, FileEdit{Path: path, Content: []byte("1")})
		twice.Files = append(twice.Files, FileEdit{Path: path, Content: []byte("2")})
	}
	s.patch(t, d.ID, once)
	s.commit(t, d.ID)
	other := s.draft(t, b.ID, "other")
	s.patch(t, d.ID, once)
	s.patch(t, other.ID, twice)
	s.commit(t, other.ID)
	if _, err := s.Rebase(context.Background(), d.ID, 0); err != nil {
		t.Fatal(err)
	}
	v, err := s.DraftView(context.Background(), d.ID)
	if err != nil || len(v.Files) != 3000 {
		t.Fatalf("%d files, %v", len(v.Files), err)
	}
	for _, f := range v.Files {
		if f.Modified || f.Digest != bundle.DigestOf([]byte("2")) {
			t.Fatalf("%+v", f)
		}
	}
}
