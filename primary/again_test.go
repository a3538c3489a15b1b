package primary

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/storage"
)

// meanwhile is a driver that does something before the first object it writes.
type meanwhile struct {
	storage.Driver
	done atomic.Bool
	do   func()
}

func (d *meanwhile) Create(ctx context.Context, hint int64) (storage.Upload, error) {
	if !d.done.Swap(true) {
		d.do()
	}
	return d.Driver.Create(ctx, hint)
}

// TestAChangeRepeatedWhileItIsUnderWayGetsItsAnswer repeats a change of a draft at
// a revision while the first call stores what it brings, as a client does that gave
// up waiting. The call that comes second finds the draft at the revision that the
// other one made, and is answered as that one was.
func TestAChangeRepeatedWhileItIsUnderWayGetsItsAnswer(t *testing.T) {
	large := strings.Repeat("x", bundle.MaxFrameBlob+1) // an object of its own
	for name, change := range map[string]func(ctx context.Context, s *site, d catalog.Draft) (catalog.Draft, error){
		"patch": func(ctx context.Context, s *site, d catalog.Draft) (catalog.Draft, error) {
			p := set("a", large)
			p.IfRevision = d.Revision
			return s.PatchDraft(ctx, d.ID, p)
		},
		"put": func(ctx context.Context, s *site, d catalog.Draft) (catalog.Draft, error) {
			return s.PutFile(ctx, d.ID, d.Revision, "a", strings.NewReader(large), int64(len(large)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			_, d := s.bundle(t)
			ctx := WithRequest(context.Background(), catalog.RequestID{7})
			var first catalog.Draft
			s.driver.Driver = &meanwhile{Driver: s.driver.Driver, do: func() {
				var err error
				if first, err = change(ctx, s, d); err != nil {
					t.Error(err)
				}
			}}
			second, err := change(ctx, s, d)
			if err != nil || second != first || first.Revision != d.Revision+1 {
				t.Errorf("answered %+v, then %+v, %v", first, second, err)
			}
		})
	}
}
