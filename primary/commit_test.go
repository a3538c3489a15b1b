package primary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestACycleIsTwoObjectsAndTwoCommands(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	first := Patch{}
	for i := range 100 {
		first.Files = append(first.Files, FileEdit{Path: fmt.Sprintf("unit/%03d.xml", i), Content: []byte(strings.Repeat(fmt.Sprint(i), 300))})
	}
	s.log.took()
	s.driver.objects.Store(0)
	for i, patch := range []Patch{first, set("unit/050.xml", strings.Repeat("new", 300)), set("unit/051.xml", "", "a", "1", "b", "2")} {
		s.patch(t, d.ID, patch)
		s.commit(t, d.ID)
		want := []catalog.Kind{catalog.KindPatchDraft, catalog.KindCommitVersion}
		if i == 0 {
			want = append([]catalog.Kind{}, want...)
		}
		if got := s.log.took(); !slices.Equal(got, want) {
			t.Errorf("cycle %d proposed %v", i, got)
		}
		if got := s.driver.objects.Swap(0); got != 2 {
			t.Errorf("cycle %d wrote %d objects", i, got)
		}
	}
}

func TestContentThatIsHereIsNotStoredAgain(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	s.patch(t, d.ID, set("a", "the same"))
	s.driver.objects.Store(0)
	s.patch(t, d.ID, set("b", "the same", "c", "the same"))
	if n := s.driver.objects.Load(); n != 0 {
		t.Errorf("%d objects were written", n)
	}
	v := s.commit(t, d.ID)
	want := map[string]string{"a": "the same", "b": "the same", "c": "the same"}
	if got := s.contents(t, v.VersionRef); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestAnEditOfALargeBundleWritesFewPages(t *testing.T) {
	s := newSite(t)
	_, d := s.bundle(t)
	const files = 10_000
	var p Patch
	for i := range files {
		p.Files = append(p.Files, FileEdit{Path: fmt.Sprintf("src/%03d/file%05d.go", i/40, i), Content: fmt.Appendf(nil, "package p%d", i)})
	}
	s.log.took()
	s.patch(t, d.ID, p)
	if kinds := s.log.took(); len(kinds) < 2 || kinds[0] != catalog.KindStagePatch || kinds[len(kinds)-1] != catalog.KindPatchDraft {
		t.Errorf("a large patch was proposed as %v", kinds)
	}
	v := s.commit(t, d.ID)
	if v.Files != files {
		t.Fatalf("version 1 has %d files", v.Files)
	}
	_, m, err := s.Snapshot(context.Background(), v.VersionRef)
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Pages(context.Background(), s.Fetch)
	if err != nil {
		t.Fatal(err)
	}
	s.log.took()
	s.driver.bytes.Store(0)
	s.patch(t, d.ID, set("src/100/file04000.go", "package edited"))
	var commit catalog.CommitVersion
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if b, ok := c.Body.(catalog.CommitVersion); ok {
			commit = b
		}
		return nil, nil
	}
	v = s.commit(t, d.ID)
	if n := len(commit.Blobs); n == 0 || n > 5 {
		t.Errorf("one edit wrote %d of %d pages", n, len(all))
	}
	if kinds := s.log.took(); len(kinds) != 2 {
		t.Errorf("a cycle proposed %v", kinds)
	}
	if v.Files != files || v.Number != 2 {
		t.Errorf("version %d has %d files", v.Number, v.Files)
	}
}

func TestALargePatchIsWholeOrNothing(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, d := s.bundle(t)
	var p Patch
	for i := range 9_000 {
		p.Files = append(p.Files, FileEdit{Path: fmt.Sprintf("f%05d", i), Content: fmt.Append(nil, i)})
	}
	s.log.before = func(c catalog.Command) (*catalog.Result, error) {
		if c.Body.CommandKind() == catalog.KindPatchDraft {
			return nil, bundle.Errorf(bundle.KindUnavailable, "no leader")
		}
		return nil, nil
	}
	if _, err := s.PatchDraft(ctx, d.ID, p); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Fatal(err)
	}
	if v := s.view(t, d.ID); len(v) != 0 {
		t.Fatalf("%d files of a patch that failed are visible", len(v))
	}
	s.log.before = nil
	s.patch(t, d.ID, p)
	view, err := s.DraftView(ctx, d.ID)
	if err != nil || len(view.Files) != len(p.Files) {
		t.Fatalf("%d files are visible, %v", len(view.Files), err)
	}
}

func TestCommitsOfTwoDraftsAreBothKept(t *testing.T) {
	s := newSite(t)
	b, d := s.bundle(t)
	s.patch(t, d.ID, set("a", "1", "b", "1", "dir/x", "1"))
	s.commit(t, d.ID)
	other := s.draft(t, b.ID, "other")
	s.patch(t, d.ID, set("a", "2", "new", "1", "dir/x", ""))
	s.patch(t, other.ID, set("b", "2", "dir/y", "1"))
	s.commit(t, d.ID)
	v := s.commit(t, other.ID)
	want := map[string]string{"a": "2", "b": "2", "new": "1", "dir/y": "1"}
	if got := s.contents(t, v.VersionRef); v.Number != 3 || !maps.Equal(got, want) {
		t.Errorf("version %d holds %v", v.Number, got)
	}
	if got := s.view(t, other.ID); !maps.Equal(got, want) {
		t.Errorf("the draft shows %v", got)
	}
}

func TestCommitAndRebaseReportConflicts(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	target, td := s.bundle(t)
	for i := range 2 {
		s.patch(t, td.ID, set("x", fmt.Sprint(i)))
		s.commit(t, td.ID)
	}
	base := set("a", "0", "b", "0", "keep", "0")
	both := func(p Patch, l Patch) Patch { return Patch{Files: p.Files, Links: l.Links} }
	unlink := Patch{Links: []LinkEdit{{Name: "l", Delete: true}}}
	cases := []struct {
		name         string
		theirs, mine Patch
		want         []Conflict // nil: both are kept
	}{
		{"other paths", set("a", "1"), set("b", "1"), nil},
		{"same content", set("a", "1"), set("a", "1"), nil},
		{"both deleted", set("a", ""), set("a", ""), nil},
		{"mine is the base's", set("a", "1"), set("a", "0", "b", "1"), nil},
		{"mine is a deletion of nothing", set("n", "1"), set("n", "", "b", "1"), nil},
		{"both changed", set("a", "1"), set("a", "2"), []Conflict{{Path: "a", Kind: ConflictChanged}}},
		{"both added", set("n", "1"), set("n", "2"), []Conflict{{Path: "n", Kind: ConflictChanged}}},
		{"I deleted what they changed", set("a", "1"), set("a", ""), []Conflict{{Path: "a", Kind: ConflictDeleted}}},
		{"they deleted what I changed", set("a", ""), set("a", "1"), []Conflict{{Path: "a", Kind: ConflictDeleted}}},
		{"I add under their file", set("n", "1"), set("n/m", "1"), []Conflict{{Path: "n/m", Kind: ConflictFolder}}},
		{"I add a file over their folder", set("n/m", "1"), set("n", "1"), []Conflict{{Path: "n", Kind: ConflictFolder}}},
		{"they deleted, I add under it", set("a", ""), set("a", "", "a/b", "1"), nil},
		{"they made it a folder, so did I", set("a", "", "a/b", "1"), set("a", "", "a/c", "1"), nil},
		{"two conflicts, by path", set("b", "1", "a", "1"), set("b", "2", "a", "2"), []Conflict{{Path: "a", Kind: ConflictChanged}, {Path: "b", Kind: ConflictChanged}}},
		{"same link", linkTo("l", target.ID, 1), linkTo("l", target.ID, 1), nil},
		{"both linked", linkTo("l", target.ID, 1), linkTo("l", target.ID, 2), []Conflict{{Link: "l", Kind: ConflictChanged}}},
		{"file before link", both(set("a", "1"), linkTo("l", target.ID, 1)), both(set("a", "2"), linkTo("l", target.ID, 2)),
			[]Conflict{{Path: "a", Kind: ConflictChanged}, {Link: "l", Kind: ConflictChanged}}},
		{"unlinking nothing", linkTo("l", target.ID, 1), both(set("b", "1"), unlink), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, d := s.bundle(t)
			s.patch(t, d.ID, base)
			s.commit(t, d.ID)
			mine, again := s.draft(t, b.ID, "mine"), s.draft(t, b.ID, "again")
			s.patch(t, mine.ID, c.mine)
			s.patch(t, again.ID, c.mine)
			s.patch(t, d.ID, c.theirs)
			s.commit(t, d.ID)
			before, err := look(ctx, s.Primary, mine.ID, (*catalog.View).Draft)
			if err != nil {
				t.Fatal(err)
			}
			_, rebased := s.Rebase(ctx, again.ID, 0)
			v, committed := s.Commit(ctx, mine.ID, CommitOptions{})
			for _, err := range []error{rebased, committed} {
				var got []Conflict
				if ce, ok := errors.AsType[*ConflictError](err); ok && bundle.IsKind(err, bundle.KindConflict) {
					got = ce.Conflicts
				} else if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, c.want) {
					t.Fatalf("conflicts are %v, want %v", got, c.want)
				}
			}
			if c.want != nil {
				after, err := look(ctx, s.Primary, mine.ID, (*catalog.View).Draft)
				if err != nil || after != before {
					t.Errorf("a refused commit changed the draft: %+v, %v", after, err)
				}
				return
			}
			if got, want := s.view(t, again.ID), s.contents(t, v.VersionRef); !maps.Equal(got, want) {
				t.Errorf("rebased it shows %v, committed %v", got, want)
			}
		})
	}
}

func TestLinksHaveTheirClosure(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	var chain []catalog.Bundle
	var dep []bundle.Dependency
	for i := range 3 {
		b, d := s.bundle(t)
		s.patch(t, d.ID, set("x", fmt.Sprint(i)))
		if i > 0 {
			s.patch(t, d.ID, linkTo("next", chain[i-1].ID, 1))
			s.patch(t, d.ID, linkTo("next", chain[i-1].ID, 1)) // again is no change
		}
		v := s.commit(t, d.ID)
		chain = append(chain, b)
		dep = append(dep, bundle.Dependency{Bundle: b.ID, Version: 1, Snapshot: v.Alias})
	}
	_, d := s.bundle(t)
	s.patch(t, d.ID, Patch{Links: []LinkEdit{
		{Name: "z", Bundle: chain[2].ID, Version: 1}, {Name: "a", Bundle: chain[1].ID, Version: 1}, {Name: "not", Delete: true},
	}})
	view, err := s.DraftView(ctx, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	indirect := []bundle.Dependency{dep[0], dep[1]}
	slices.SortFunc(indirect, bundle.Dependency.Compare)
	want := []bundle.Link{{Name: "a", Direct: dep[1], Indirect: dep[:1]}, {Name: "z", Direct: dep[2], Indirect: indirect}}
	if len(view.Links) != len(want) {
		t.Fatalf("links are %+v", view.Links)
	}
	for i, l := range view.Links {
		if l.Name != want[i].Name || l.Direct != want[i].Direct || !slices.Equal(l.Indirect, want[i].Indirect) || !l.Modified {
			t.Errorf("link %d is %+v, want %+v", i, l, want[i])
		}
	}
	v := s.commit(t, d.ID)
	deps, err := look(ctx, s.Primary, v.VersionRef, (*catalog.View).Deps)
	if err != nil {
		t.Fatal(err)
	}
	directs := 0
	for _, dep := range deps {
		if dep.Direct {
			directs++
		}
	}
	if len(deps) != 3 || directs != 2 {
		t.Errorf("dependencies are %+v", deps)
	}
	if view, err = s.DraftView(ctx, d.ID); err != nil || view.Links[0].Modified {
		t.Errorf("after the commit a link is still modified: %v", err)
	}
}

func TestModifiedMeansInTheOverlay(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, d := s.bundle(t)
	s.patch(t, d.ID, set("same", "1", "other", "1", "deleted", "1"))
	v := s.commit(t, d.ID)
	s.patch(t, d.ID, set("same", "1", "deleted", "", "added", "1"))
	view, err := s.DraftView(ctx, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, f := range view.Files {
		got[f.Path] = f.Modified
	}
	if want := map[string]bool{"same": true, "other": false, "added": true}; !maps.Equal(got, want) {
		t.Errorf("modified is %v", got)
	}
	if view.Base == nil || view.Base.VersionRef != v.VersionRef {
		t.Errorf("the base is %+v", view.Base)
	}
	if _, err := s.DraftFile(ctx, d.ID, "deleted"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("a deleted file: %v", err)
	}
}

func TestEveryPatchMovesTheDraftOn(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, d := s.bundle(t)
	last := d
	for range 3 {
		now, err := s.PatchDraft(ctx, d.ID, Patch{})
		if err != nil {
			t.Fatal(err)
		}
		stored, err := look(ctx, s.Primary, d.ID, (*catalog.View).Draft)
		if err != nil || stored != now {
			t.Fatalf("returned %+v, stored %+v, %v", now, stored, err)
		}
		if now.Revision <= last.Revision || now.Updated <= last.Updated {
			t.Errorf("from %+v to %+v", last, now)
		}
		last = now
	}
	if _, err := s.PatchDraft(ctx, d.ID, Patch{IfRevision: last.Revision - 1}); !bundle.IsKind(err, bundle.KindPrecondition) {
		t.Errorf("an old revision: %v", err)
	}
	if _, err := s.PatchDraft(ctx, d.ID, Patch{IfRevision: last.Revision}); err != nil {
		t.Error(err)
	}
}

func TestBulkUploadThenPatchByDigest(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, d := s.bundle(t)
	small, large := []byte("small"), bytes.Repeat([]byte("large "), 200_000)
	blobs := []bundle.Digest{bundle.DigestOf(small), bundle.DigestOf(large)}
	missing, err := s.MissingBlobs(ctx, blobs)
	if err != nil || len(missing) != 2 {
		t.Fatalf("missing are %v, %v", missing, err)
	}
	patch := Patch{Files: []FileEdit{{Path: "s", Stored: blobs[0]}, {Path: "l", Stored: blobs[1]}}}
	if _, err := s.PatchDraft(ctx, d.ID, patch); !bundle.IsKind(err, bundle.KindBlobGone) {
		t.Errorf("content that was not sent: %v", err)
	}
	if _, err := s.StoreFrames(ctx, []bundle.Frame{bundle.MakeFrame(small)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StoreBlob(ctx, bytes.NewReader(large), blobs[0], -1); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Errorf("other bytes than promised: %v", err)
	}
	if _, err := s.StoreBlob(ctx, bytes.NewReader(large), blobs[1], int64(len(large))); err != nil {
		t.Fatal(err)
	}
	if missing, err = s.MissingBlobs(ctx, blobs); err != nil || len(missing) != 0 {
		t.Fatalf("missing are %v, %v", missing, err)
	}
	s.patch(t, d.ID, patch)
	if _, err := s.PutFile(ctx, d.ID, 0, "streamed", bytes.NewReader(large), -1); err != nil {
		t.Fatal(err)
	}
	v := s.commit(t, d.ID)
	want := map[string]string{"s": string(small), "l": string(large), "streamed": string(large)}
	if got := s.contents(t, v.VersionRef); !maps.Equal(got, want) || v.Bytes != int64(len(small)+2*len(large)) {
		t.Errorf("version of %d bytes holds %d files", v.Bytes, len(got))
	}
	r, f, err := s.OpenFile(ctx, v.VersionRef, "l", 6, 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(readAll(t, r)); got != "large" || f.Size != int64(len(large)) {
		t.Errorf("a range reads %q", got)
	}
	if _, err := s.PutFile(ctx, d.ID, 0, "s/x", bytes.NewReader(small), -1); err == nil || err.Error() != `"s/x" is not a valid file name` {
		t.Errorf("a file under a file: %v", err)
	}
}
