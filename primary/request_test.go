package primary

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/storage"
)

func TestARepeatedRequestHasOneEffectAndOneAnswer(t *testing.T) {
	s := newSite(t)
	n := byte(0)
	request := func() context.Context {
		n++
		return WithRequest(context.Background(), catalog.RequestID{n})
	}
	ctx := request()
	b1, err1 := s.CreateBundle(ctx, NewBundle{Collection: s.coll, Slug: "a", Title: "A"})
	b2, err2 := s.CreateBundle(ctx, NewBundle{Collection: s.coll, Slug: "a", Title: "A"})
	if err1 != nil || err2 != nil || b1 != b2 {
		t.Fatalf("created %v and %v, %v %v", b1.ID, b2.ID, err1, err2)
	}
	d := s.draft(t, b1.ID, "work")

	ctx = request()
	patch := set("a", "1")
	patch.IfRevision = d.Revision
	p1, err1 := s.PatchDraft(ctx, d.ID, patch)
	p2, err2 := s.PatchDraft(ctx, d.ID, patch)
	if err1 != nil || err2 != nil || p1 != p2 {
		t.Fatalf("patched to %+v and %+v, %v %v", p1, p2, err1, err2)
	}

	ctx = request()
	v1, err1 := s.Commit(ctx, d.ID, CommitOptions{})
	v2, err2 := s.Commit(ctx, d.ID, CommitOptions{})
	if err1 != nil || err2 != nil || v1 != v2 || v1.Number != 1 {
		t.Fatalf("committed %+v and %+v, %v %v", v1, v2, err1, err2)
	}
}

func TestARepeatedCommitFindsItsAnswerBehindRefusals(t *testing.T) {
	s := newSite(t)
	b, d := s.bundle(t)
	other := s.draft(t, b.ID, "other")
	s.patch(t, d.ID, set("a", "1"))
	s.patch(t, other.ID, set("b", "1"))
	var once sync.Once
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if commit, ok := c.Body.(catalog.CommitVersion); ok && commit.Draft == d.ID {
			once.Do(func() { s.commitElsewhere(t, other.ID) })
		}
		return nil, nil
	}
	ctx := WithRequest(context.Background(), catalog.RequestID{7})
	v1, err1 := s.Commit(ctx, d.ID, CommitOptions{})
	v2, err2 := s.Commit(ctx, d.ID, CommitOptions{})
	if err1 != nil || err2 != nil || v1 != v2 || v1.Number != 2 {
		t.Fatalf("committed %+v and %+v, %v %v", v1, v2, err1, err2)
	}
}

func TestARepeatedCommitIsAnsweredAfterItsDraftIsGone(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	s.patch(t, d.ID, set("a", "1"))
	ctx := WithRequest(context.Background(), catalog.RequestID{7})
	v1, err1 := s.Commit(ctx, d.ID, CommitOptions{})
	if err := s.DeleteDraft(context.Background(), d.ID, 0); err != nil {
		t.Fatal(err)
	}
	v2, err2 := s.Commit(ctx, d.ID, CommitOptions{})
	if err1 != nil || err2 != nil || v1 != v2 || v1.Number != 1 {
		t.Fatalf("committed %+v and %+v, %v %v", v1, v2, err1, err2)
	}
}

func TestRepeatedChangesOfADraftAreAnsweredAfterItIsGone(t *testing.T) {
	s := newSite(t)
	b, one := s.bundle(t)
	other := s.draft(t, b.ID, "other")
	s.patch(t, other.ID, set("b", "2"))
	s.commit(t, other.ID) // so that there is something to rebase on
	calls := []func(ctx context.Context) (catalog.Draft, error){
		func(ctx context.Context) (catalog.Draft, error) { return s.PatchDraft(ctx, one.ID, set("a", "1")) },
		func(ctx context.Context) (catalog.Draft, error) {
			return s.PutFile(ctx, one.ID, 0, "c", strings.NewReader("3"), -1)
		},
		func(ctx context.Context) (catalog.Draft, error) { return s.Rebase(ctx, one.ID, 0) },
	}
	var first []catalog.Draft
	for i, call := range calls {
		d, err := call(WithRequest(context.Background(), catalog.RequestID{byte(i + 1)}))
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, d)
	}
	if err := s.DeleteDraft(context.Background(), one.ID, 0); err != nil {
		t.Fatal(err)
	}
	for i, call := range calls {
		d, err := call(WithRequest(context.Background(), catalog.RequestID{byte(i + 1)}))
		if err != nil || d.ID != one.ID || d.Revision != first[i].Revision || d.Updated != first[i].Updated {
			t.Errorf("call %d: answered %+v, then %+v, %v", i, first[i], d, err)
		}
	}
	if _, err := s.PatchDraft(context.Background(), one.ID, set("a", "1")); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("another call: %v", err)
	}
}

// commitElsewhere commits as another node would: past this one's locks.
func (s *site) commitElsewhere(t *testing.T, draft bundle.ID) {
	t.Helper()
	node := New(Config{Proposer: s.log, Catalog: s.db, Store: s.store, Contents: storage.NewContents(s.store, s.db)})
	if _, err := node.Commit(context.Background(), draft, CommitOptions{}); err != nil {
		t.Error(err)
	}
}

// The proposer has tried for as long as that was of use: who asked is told, and not
// kept waiting for as long again.
func TestAnUnknownOutcomeIsToldAndARepeatedCallFindsIt(t *testing.T) {
	s := newSite(t)
	tries := 0
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if tries++; tries > 1 {
			return nil, nil
		}
		if _, err := s.log.apply(c); err != nil { // it took effect, and the answer was lost
			return nil, err
		}
		return nil, bundle.Errorf(bundle.KindUnavailable, "the leader was lost").With("outcome", "unknown")
	}
	ctx := WithRequest(context.Background(), catalog.RequestID{7})
	if _, err := s.CreateCollection(ctx, NewCollection{Title: "Once"}); field(err, "outcome") != "unknown" || tries != 1 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	c, err := s.CreateCollection(ctx, NewCollection{Title: "Once"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := look(context.Background(), s.Primary, catalog.Page{}, (*catalog.View).Collections)
	if err != nil || len(all) != 2 || all[1].Row.ID != c.ID {
		t.Errorf("collections are %v, %v", all, err)
	}
}

func TestADraftDeletedAtOnceWasMadeAllTheSame(t *testing.T) {
	s := newSite(t)
	b, _ := s.bundle(t)
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		r, err := s.log.apply(c)
		if err == nil {
			_, err = s.log.apply(catalog.NewCommand(time.Now(), catalog.DeleteDraft{ID: c.Body.(catalog.CreateDraft).ID}))
		}
		return &r, err
	}
	d, err := s.CreateDraft(context.Background(), NewDraft{Bundle: b.ID, Name: "short-lived"})
	if err != nil || d.ID == (bundle.ID{}) || d.Bundle != b.ID || d.Name != "short-lived" || d.Revision == 0 || d.Created == 0 {
		t.Errorf("made %+v, %v", d, err)
	}
}

func TestABlobGoneIsStoredAgain(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	refusals := 0
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if c.Body.CommandKind() != catalog.KindPatchDraft && c.Body.CommandKind() != catalog.KindCommitVersion {
			return nil, nil
		}
		if refusals++; refusals%2 == 1 {
			return &catalog.Result{Err: bundle.Errorf(bundle.KindBlobGone, "condemned")}, nil
		}
		return nil, nil
	}
	s.driver.objects.Store(0)
	s.patch(t, d.ID, set("a", "1", "b", "2"))
	if n := s.driver.objects.Swap(0); n != 2 {
		t.Errorf("the patch wrote %d objects", n)
	}
	v := s.commit(t, d.ID)
	if n := s.driver.objects.Load(); n < 1 || v.Number != 1 {
		t.Errorf("the commit wrote %d objects", n)
	}
}

func TestABlobThatStaysGoneIsAnError(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		return &catalog.Result{Err: bundle.Errorf(bundle.KindBlobGone, "condemned")}, nil
	}
	if _, err := s.PatchDraft(context.Background(), d.ID, set("a", "1")); !bundle.IsKind(err, bundle.KindBlobGone) {
		t.Errorf("patch: %v", err)
	}
	s.log.before = nil
	s.patch(t, d.ID, set("a", "1"))
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		return &catalog.Result{Err: bundle.Errorf(bundle.KindBlobGone, "condemned")}, nil
	}
	if _, err := s.Commit(context.Background(), d.ID, CommitOptions{}); !bundle.IsKind(err, bundle.KindBlobGone) {
		t.Errorf("commit: %v", err)
	}
}

// Apply cannot see a draft's base, so what keeps two patches from making a file
// and a folder of one name is that each names the revision it was checked at.
func TestPatchesThatRaceCannotMakeAFileAFolder(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, d := s.bundle(t)
	node := New(Config{Proposer: s.log, Catalog: s.db, Store: s.store, Contents: storage.NewContents(s.store, s.db)})
	s.log.before = func(catalog.Command) (*catalog.Result, error) {
		s.log.before = nil
		if _, err := node.PatchDraft(ctx, d.ID, set("a/b", "1")); err != nil {
			t.Error(err)
		}
		return nil, nil
	}
	_, err := s.PatchDraft(ctx, d.ID, set("a", "1"))
	if want := `"a" is not a valid file name`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := s.view(t, d.ID); len(got) != 1 || got["a/b"] == "" {
		t.Errorf("the draft shows %v", got)
	}
}

// TestI2ConcurrentCommits drives four drafts of one bundle from sixteen
// goroutines on two nodes that share nothing but catalog and store.
func TestI2ConcurrentCommits(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	b, _ := s.bundle(t)
	watch := &stopwatch{}
	nodes := []*Primary{s.Primary, New(Config{
		Proposer: s.log, Catalog: s.db, Store: s.store, Contents: storage.NewContents(s.store, s.db), Metrics: watch,
	})}
	var drafts []catalog.Draft
	for i := range 4 {
		drafts = append(drafts, s.draft(t, b.ID, fmt.Sprint("draft ", i)))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	numbers := make(map[uint64]int)
	for g := range 16 {
		wg.Go(func() {
			node, d := nodes[g%2], drafts[g%4]
			for i := range 6 {
				if _, err := node.PatchDraft(ctx, d.ID, set(fmt.Sprintf("dir%d/file%d", g, i), fmt.Sprint(g, i))); err != nil {
					t.Error(err)
					return
				}
				v, err := node.Commit(ctx, d.ID, CommitOptions{})
				switch {
				case err == nil:
					mu.Lock()
					numbers[v.Number]++
					mu.Unlock()
				case field(err, "reason") != "no_changes": // another goroutine committed it along
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	bundleRow, err := look(ctx, s.Primary, b.ID, (*catalog.View).Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(numbers)) != bundleRow.Head || watch.commits.Load() == 0 {
		t.Errorf("%d numbers up to %d", len(numbers), bundleRow.Head)
	}
	for n := uint64(1); n <= bundleRow.Head; n++ {
		if numbers[n] != 1 {
			t.Errorf("version %d was answered %d times", n, numbers[n])
		}
	}
	got := s.Primary
	files, err := got.Files(ctx, bundle.VersionRef{Bundle: b.ID, Number: bundleRow.Head})
	if err != nil || len(files) != 16*6 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}
