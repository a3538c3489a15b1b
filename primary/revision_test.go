package primary

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// TestChangesAtARevisionHappenOnlyThere makes every change of a draft at the
// revision it was seen at: it happens there, and nowhere else.
func TestChangesAtARevisionHappenOnlyThere(t *testing.T) {
	ctx := context.Background()
	for name, change := range map[string]func(s *site, d catalog.Draft, revision uint64) error{
		"commit": func(s *site, d catalog.Draft, revision uint64) error {
			_, err := s.Commit(ctx, d.ID, CommitOptions{IfRevision: revision})
			return err
		},
		"rebase": func(s *site, d catalog.Draft, revision uint64) error {
			_, err := s.Rebase(ctx, d.ID, revision)
			return err
		},
		"put": func(s *site, d catalog.Draft, revision uint64) error {
			_, err := s.PutFile(ctx, d.ID, revision, "put", strings.NewReader("x"), 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b, d := s.bundle(t)
			s.patch(t, d.ID, set("a", "1", "b", "1"))
			other := s.draft(t, b.ID, "other")
			s.patch(t, other.ID, set("a", "1", "c", "1")) // the same a, so that rebase has something to forget
			s.commit(t, other.ID)
			now, err := look(ctx, s.Primary, d.ID, (*catalog.View).Draft)
			if err != nil {
				t.Fatal(err)
			}
			for _, revision := range []uint64{now.Revision - 1, now.Revision + 1} {
				s.log.took()
				if err := change(s, d, revision); !bundle.IsKind(err, bundle.KindPrecondition) {
					t.Errorf("at revision %d of %d: %v", revision, now.Revision, err)
				}
				if took := s.log.took(); len(took) != 0 {
					t.Errorf("a refused change proposed %v", took)
				}
			}
			if err := change(s, d, now.Revision); err != nil {
				t.Fatal(err)
			}
			after, err := look(ctx, s.Primary, d.ID, (*catalog.View).Draft)
			if err != nil || after.Revision == now.Revision {
				t.Errorf("nothing happened at the right revision: %v", err)
			}
		})
	}
}

// TestACommitAtARevisionDoesNotFollowTheDraft changes the draft on another node
// while its commit is under way: what was not seen is not committed.
func TestACommitAtARevisionDoesNotFollowTheDraft(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	s.patch(t, d.ID, set("a", "1"))
	now, err := look(context.Background(), s.Primary, d.ID, (*catalog.View).Draft)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if _, ok := c.Body.(catalog.CommitVersion); ok {
			once.Do(func() {
				r, err := s.log.apply(catalog.NewCommand(time.Now(), catalog.PatchDraft{Draft: d.ID, Files: []catalog.FileOp{{Path: "a", Delete: true}}}))
				if err != nil || r.Err != nil {
					t.Error(err, r.Err)
				}
			})
		}
		return nil, nil
	}
	if _, err := s.Commit(context.Background(), d.ID, CommitOptions{IfRevision: now.Revision}); !bundle.IsKind(err, bundle.KindPrecondition) {
		t.Errorf("the commit ends with %v", err)
	}
}
