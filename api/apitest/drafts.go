package apitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func (s *suite) life() {
	b, d := s.draftOf()
	if d.Bundle != b.ID || d.Name != "work" {
		s.t.Errorf("made %+v", d)
	}
	empty, err := s.s.Draft(s.ctx(), d.ID)
	s.must(err)
	if empty.Staged.Base != nil || empty.Staged.Files == nil || len(empty.Staged.Files)+len(empty.Staged.Links) != 0 ||
		empty.Staged.CreatedAt.IsZero() || !empty.Staged.CreatedAt.Equal(empty.Staged.UpdatedAt) {
		s.t.Errorf("an empty draft shows %+v", empty.Staged)
	}
	s.patch(d.ID, "a", "one", "dir/b c?#%", "two", "empty", "")
	one, err := s.s.CommitDraft(s.ctx(), d.ID, api.Commit{ChangeDescription: " first ", License: "CC0"})
	s.must(err)
	_, err = s.s.PatchDraft(s.ctx(), d.ID, api.Patch{Files: map[string]api.FileEdit{
		"a": {Content: []byte("uno")}, "empty": {Delete: true}, "not there": {Delete: true},
	}})
	s.must(err)
	staged, err := s.s.Draft(s.ctx(), d.ID)
	s.must(err)
	if f := staged.Staged.Files; paths(f) != "a dir/b c?#%" || !f["a"].Modified || f["dir/b c?#%"].Modified ||
		f["a"].Hash != bundle.HashOf([]byte("uno")) || f["a"].Size != 3 || f["a"].URL == "" || staged.Staged.Base == nil {
		s.t.Errorf("the draft shows %+v", staged.Staged)
	}
	two := s.commit(d.ID)
	if one != 1 || two != 2 {
		s.t.Errorf("versions %d and %d", one, two)
	}
	_, err = s.s.CommitDraft(s.ctx(), d.ID, api.Commit{})
	s.kind("commit a draft without changes", err, bundle.KindInvalid)

	v, err := s.s.Version(s.ctx(), b.ID, 1)
	s.must(err)
	if v.Bundle != b.ID || v.Number != 1 || v.ChangeDescription != "first" || paths(v.Snapshot.Files) != "a dir/b c?#% empty" ||
		v.Snapshot.CreatedAt.IsZero() || v.Snapshot.Hash.IsZero() || v.Snapshot.Links == nil || v.Snapshot.Files["a"].URL == "" {
		s.t.Errorf("version %+v", v)
	}
	after, err := s.s.Version(s.ctx(), b.ID, 2)
	s.must(err)
	equal(s, "base of the draft before", *staged.Staged.Base, v.Snapshot.Hash)
	equal(s, "files of version 2", paths(after.Snapshot.Files), "a dir/b c?#%")
	for n, want := range map[uint64]string{1: "one", 2: "uno"} {
		equal(s, fmt.Sprint("a of version ", n), s.file(b.ID, n, "a"), want)
	}
	equal(s, "a path to be escaped", s.file(b.ID, 2, "dir/b c?#%"), "two")
	s.described(b, v)
}

func (s *suite) described(b api.Bundle, v api.Version) {
	changed, err := s.s.DescribeVersion(s.ctx(), b.ID, 1, " the very first ")
	s.must(err)
	v.ChangeDescription, v.Snapshot = "the very first", api.Snapshot{}
	if changed.ChangeDescription != v.ChangeDescription || changed.Snapshot.Files != nil {
		s.t.Errorf("described %+v", changed)
	}
	var descriptions []string
	for _, f := range []api.VersionFilter{{Bundle: b.ID}, {Collection: b.Collection}} {
		for _, one := range all(s, s.s.Versions(s.ctx(), f)) {
			descriptions = append(descriptions, fmt.Sprint(one.Number, one.ChangeDescription))
			if one.Bundle != b.ID || one.Primary != v.Primary || one.Snapshot.Files != nil {
				s.t.Errorf("listed %+v", one)
			}
		}
	}
	equal(s, "versions by bundle and by collection", strings.Join(descriptions, ","), "1the very first,2,1the very first,2")
	if got := all(s, s.s.Versions(s.ctx(), api.VersionFilter{Bundle: bundle.NewID()})); len(got) != 0 {
		s.t.Errorf("versions of an unknown bundle: %v", got)
	}
}

func (s *suite) files() {
	b, d := s.published("a", "1", "b", "2")
	large := strings.Repeat("0123456789", 100_000)
	s.put(d.ID, "large", large, int64(len(large)))
	s.put(d.ID, "dir/new one", "3", -1)
	told := s.put(d.ID, "empty", "", 0)
	equal(s, "revision that a put told", told, s.draft(d.ID).Revision)
	for range 2 {
		told, err := s.s.DeleteDraftFile(s.ctx(), d.ID, "b")
		equal(s, "revision that a deletion told", must(s, told, err), s.draft(d.ID).Revision)
	}
	for path, want := range map[string]string{"a": "1", "large": large, "dir/new one": "3", "empty": ""} {
		if got := s.read(s.s.OpenDraftFile(s.ctx(), d.ID, path, api.Range{})); got != want {
			s.t.Errorf("%s of the draft is %.20q", path, got)
		}
	}
	_, err := s.s.OpenDraftFile(s.ctx(), d.ID, "b", api.Range{})
	s.kind("open what the draft deleted", err, bundle.KindNotFound)
	equal(s, "b of version 1", s.file(b.ID, 1, "b"), "2")
	found := slices.ContainsFunc(all(s, s.s.Drafts(s.ctx())), func(one api.Draft) bool {
		return one.ID == d.ID && one.Bundle == b.ID && one.Name == d.Name && one.Staged.Files == nil
	})
	if !found {
		s.t.Error("the list of drafts lacks it")
	}
	s.must(s.s.DeleteDraft(s.ctx(), d.ID))
	_, err = s.s.Draft(s.ctx(), d.ID)
	s.kind("read a deleted draft", err, bundle.KindNotFound)
	s.kind("delete it twice", s.s.DeleteDraft(s.ctx(), d.ID), bundle.KindNotFound)
	_, err = s.s.PutDraftFile(s.ctx(), d.ID, "a", strings.NewReader("x"), 1)
	s.kind("put a file into a deleted draft", err, bundle.KindNotFound)
}

// put streams a file into a draft and returns the revision that was told.
func (s *suite) put(draft bundle.ID, path, content string, size int64) uint64 {
	s.t.Helper()
	revision, err := s.s.PutDraftFile(s.ctx(), draft, path, strings.NewReader(content), size)
	return must(s, revision, err)
}

func (s *suite) links() {
	base, _ := s.published("b", "base")
	lib, libDraft := s.published("l", "library")
	s.link(libDraft.ID, "base", base.ID, 1)
	equal(s, "version with a link", s.commit(libDraft.ID), 2)
	user, userDraft := s.draftOf()
	s.link(userDraft.ID, "lib", lib.ID, 2)
	shown, err := s.s.Draft(s.ctx(), userDraft.ID)
	s.must(err)
	l := shown.Staged.Links["lib"]
	if !l.Modified || l.Direct.Bundle != lib.ID || l.Direct.Version != 2 || len(l.Indirect) != 1 || l.Indirect[0].Bundle != base.ID {
		s.t.Errorf("the draft shows %+v", l)
	}
	s.commit(userDraft.ID)
	v, err := s.s.Version(s.ctx(), user.ID, 1)
	s.must(err)
	target, err := s.s.Version(s.ctx(), lib.ID, 2)
	s.must(err)
	equal(s, "direct dependency", v.Snapshot.Links["lib"].Direct,
		api.Dependency{Bundle: lib.ID, Version: 2, Snapshot: target.Snapshot.Hash})

	want := []api.Borrower{{Bundle: lib.ID, Version: 2, Target: 1, Direct: true}, {Bundle: user.ID, Version: 1, Target: 1}}
	if got := all(s, s.s.Borrowers(s.ctx(), base.ID)); !slices.Equal(got, want) {
		s.t.Errorf("borrowers %v, want %v", got, want)
	}
	if got := all(s, s.s.Borrowers(s.ctx(), user.ID)); len(got) != 0 {
		s.t.Errorf("borrowers of what nobody links to: %v", got)
	}
	s.kind("borrowers of an unknown bundle", last(s.s.Borrowers(s.ctx(), bundle.NewID())), bundle.KindNotFound)

	_, err = s.s.PatchDraft(s.ctx(), userDraft.ID, api.Patch{Links: map[string]api.LinkEdit{"lib": {Delete: true}}})
	s.must(err)
	shown, err = s.s.Draft(s.ctx(), userDraft.ID)
	s.must(err)
	equal(s, "links after one was deleted", paths(shown.Staged.Links), "")
}

func (s *suite) conflicts() {
	b, mine := s.published("a", "0", "b", "0")
	theirs, err := s.s.CreateDraft(s.ctx(), b.ID, "theirs")
	s.must(err)
	s.patch(mine.ID, "a", "mine", "c", "mine")
	s.patch(theirs.ID, "a", "theirs", "b", "theirs")
	s.commit(theirs.ID)
	before, err := s.s.Draft(s.ctx(), mine.ID)
	s.must(err)
	_, commit := s.s.CommitDraft(s.ctx(), mine.ID, api.Commit{})
	_, rebase := s.s.RebaseDraft(s.ctx(), mine.ID, 0)
	for what, err := range map[string]error{"commit": commit, "rebase": rebase} {
		s.kind(what, err, bundle.KindConflict)
		c, ok := errors.AsType[*api.ConflictError](err)
		if !ok || !slices.Equal(c.Conflicts, []api.Conflict{{Path: "a", Kind: "changed"}}) {
			s.t.Errorf("%s: %#v", what, err)
		}
		equal(s, what, fmt.Sprint(err), `Draft work and version 2 both changed file "a": make the draft agree with that version there, or drop the change, and try again.`)
	}
	after, err := s.s.Draft(s.ctx(), mine.ID)
	s.must(err)
	equal(s, "revision after conflicts", after.Revision, before.Revision)

	s.patch(mine.ID, "a", "theirs")
	rebased, err := s.s.RebaseDraft(s.ctx(), mine.ID, 0)
	s.must(err)
	if rebased.Staged.Files["b"].Hash != bundle.HashOf([]byte("theirs")) || rebased.Staged.Files["b"].Modified {
		s.t.Errorf("the rebased draft shows %+v", rebased.Staged)
	}
	equal(s, "version after the conflict", s.commit(mine.ID), 3)
	equal(s, "c of version 3", s.file(b.ID, 3, "c"), "mine")
}

func (s *suite) repeats() {
	once := api.WithIdempotencyKey(s.ctx(), bundle.NewID().String())
	first, err := s.s.CreateCollection(once, "Once")
	s.must(err)
	again, err := s.s.CreateCollection(once, "Once")
	s.must(err)
	equal(s, "collection made again", again.ID, first.ID)

	b, d := s.published("a", "0")
	edit := api.Patch{Files: map[string]api.FileEdit{"a": {Content: []byte("1")}}, IfRevision: s.draft(d.ID).Revision}
	one, err := s.s.PatchDraft(once, d.ID, edit)
	s.must(err)
	two, err := s.s.PatchDraft(once, d.ID, edit)
	s.must(err)
	equal(s, "revision after the same patch", two, one)
	for range 2 {
		n, err := s.s.CommitDraft(once, d.ID, api.Commit{})
		equal(s, "version of the same commit", must(s, n, err), 2)
	}
	got, err := s.s.Bundle(s.ctx(), b.ID)
	s.must(err)
	equal(s, "newest version", got.Newest(), 2)
	s.repeatsOfWhatIsGone(once, b, d)
	other, err := s.s.CreateCollection(api.WithIdempotencyKey(once, "another "+bundle.NewID().String()), "Once")
	s.must(err)
	if other.ID == first.ID {
		s.t.Error("another key made the same collection")
	}
	_, err = s.s.CreateCollection(api.WithIdempotencyKey(once, strings.Repeat("k", api.MaxIdempotencyKey+1)), "Once")
	s.kind("a key that is too long", err, bundle.KindInvalid)
}

func (s *suite) draft(id bundle.ID) api.Draft {
	s.t.Helper()
	d, err := s.s.Draft(s.ctx(), id)
	return must(s, d, err)
}

// repeatsOfWhatIsGone deletes all that it works on, and repeats what it did.
func (s *suite) repeatsOfWhatIsGone(once context.Context, b api.Bundle, d api.Draft) {
	other, err := s.s.CreateDraft(s.ctx(), b.ID, "other")
	s.must(err)
	s.patch(other.ID, "b", "to be rebased on")
	s.commit(other.ID)
	rebased, err := s.s.RebaseDraft(once, d.ID, s.draft(d.ID).Revision)
	s.must(err)
	for range 2 {
		s.must(s.s.DeleteDraft(once, d.ID))
	}
	again, err := s.s.RebaseDraft(once, d.ID, 0)
	if s.must(err); again.ID != rebased.ID || again.Revision != 0 || again.Staged.Files != nil {
		s.t.Errorf("rebased again: %+v", again)
	}
	for range 2 {
		s.must(s.s.DeleteBundle(once, b.ID))
	}
	for range 2 {
		s.must(s.s.DeleteCollection(once, b.Collection))
	}
}
