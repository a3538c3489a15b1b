package primary

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// forkable makes a bundle of one version with a file and a link.
func (s *site) forkable(t *testing.T) bundle.VersionRef {
	t.Helper()
	target, work := s.bundle(t)
	s.patch(t, work.ID, set("x", "1"))
	s.commit(t, work.ID)
	b, d := s.bundle(t)
	s.patch(t, d.ID, set("a", "1", "dir/b", "2"))
	s.patch(t, d.ID, linkTo("uses", target.ID, 1))
	_, err := s.Commit(context.Background(), d.ID, CommitOptions{License: "CC-BY-4.0", Attribution: "Ann", Redistribute: "peers"})
	if err != nil {
		t.Fatal(err)
	}
	return bundle.VersionRef{Bundle: b.ID, Number: 1}
}

func TestAForkHasTheContentAndNamesItsOrigin(t *testing.T) {
	s, ctx := newSite(t), context.Background()
	of := s.forkable(t)
	objects := s.driver.objects.Load()
	b, err := s.Fork(ctx, of, NewBundle{Collection: s.coll, Slug: "mine", Title: "Mine"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Head != 1 || b.ID == of.Bundle || b.Title != "Mine" {
		t.Errorf("%+v", b)
	}
	was, _, err := s.Snapshot(ctx, of)
	if err != nil {
		t.Fatal(err)
	}
	is, m, err := s.Snapshot(ctx, bundle.VersionRef{Bundle: b.ID, Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	if is.Manifest != was.Manifest || is.Files != was.Files || is.Bytes != was.Bytes || is.Alias != was.Alias || len(m.Links()) != 1 {
		t.Errorf("%+v, want %+v", is, was)
	}
	if is.License != "CC-BY-4.0" || is.Attribution != "Ann" || is.Redistribute != "peers" || !strings.Contains(is.ChangeDescription, of.Bundle.String()) {
		t.Errorf("%+v", is)
	}
	deps, err := look(ctx, s.Primary, is.VersionRef, (*catalog.View).Deps)
	if err != nil || len(deps) != 1 {
		t.Error(deps, err)
	}
	if n := s.driver.objects.Load(); n != objects {
		t.Errorf("stored %d objects", n-objects)
	}
	d := s.draft(t, b.ID, "fork") // the name is free again, and the fork goes its own way
	s.patch(t, d.ID, set("a", "3"))
	if v := s.commit(t, d.ID); v.Number != 2 {
		t.Error(v)
	}
	if _, err := s.Fork(ctx, bundle.VersionRef{Bundle: of.Bundle, Number: 2}, NewBundle{Collection: s.coll, Slug: "x", Title: "x"}); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Error(err)
	}
}

func TestAForkThatFailsIsWithdrawnOrCompletedByTheSameRequest(t *testing.T) {
	s := newSite(t)
	of, broken := s.forkable(t), errors.New("unplugged")
	fail := func(cmd catalog.Command) (*catalog.Result, error) {
		if cmd.Body.CommandKind() == catalog.KindCommitVersion {
			return nil, broken
		}
		return nil, nil
	}
	n := NewBundle{ID: bundle.NewID(), Collection: s.coll, Slug: "mine", Title: "Mine"}
	s.log.before = fail
	if _, err := s.Fork(context.Background(), of, n); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := look(t.Context(), s.Primary, n.ID, (*catalog.View).Bundle); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("half a fork stays: %v", err)
	}

	ctx := WithRequest(context.Background(), catalog.RequestID{7})
	n.ID = bundle.ID{}
	if _, err := s.Fork(ctx, of, n); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	s.log.before = nil
	first, err := s.Fork(ctx, of, n)
	if err != nil || first.Head != 1 {
		t.Fatal(first, err)
	}
	again, err := s.Fork(ctx, of, n)
	if err != nil || again.ID != first.ID || again.Head != 1 {
		t.Error(again, err)
	}
}
