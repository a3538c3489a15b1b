package apitest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// refusal is an error of a call that must be refused.
type refusal struct {
	what string
	err  error
	kind bundle.Kind
	text string // of the error; "" if it may be any
}

func (s *suite) hold(refusals []refusal) {
	s.t.Helper()
	for _, r := range refusals {
		s.kind(r.what, r.err, r.kind)
		if r.err != nil && r.text != "" && r.err.Error() != r.text {
			s.t.Errorf("%s:\n got %s\nwant %s", r.what, r.err, r.text)
		}
	}
}

// second returns the error of a call with a result.
func second[T any](_ T, err error) error { return err }

func (s *suite) refusals() {
	ctx := s.ctx()
	c, none, long := s.collection().ID, bundle.NewID(), strings.Repeat("ü", 181)
	b, d := s.published("a", "1", "dir/b", "2")
	change := func(c api.BundleChange) error { return second(s.s.UpdateBundle(ctx, b.ID, c)) }
	s.hold([]refusal{
		{"no title", second(s.s.CreateCollection(ctx, " \t ")), bundle.KindInvalid, "title: This field may not be blank."},
		{"a long title", second(s.s.CreateCollection(ctx, long)), bundle.KindInvalid, "title: Ensure this field has no more than 180 characters."},
		{"an empty bundle", second(s.s.CreateBundle(ctx, api.NewBundle{Collection: c})), bundle.KindInvalid,
			"slug: This field may not be blank.; title: This field may not be blank."},
		{"a bad slug", second(s.s.CreateBundle(ctx, api.NewBundle{Collection: c, Title: "t", Slug: "a b"})), bundle.KindInvalid,
			"slug: Enter a valid “slug” consisting of Unicode letters, numbers, underscores, or hyphens."},
		{"no such collection", second(s.s.CreateBundle(ctx, api.NewBundle{Collection: none, Title: "t", Slug: "s"})), bundle.KindInvalid,
			fmt.Sprintf("collection_uuid: Object with uuid=%s does not exist.", none)},
		{"move nowhere", change(api.BundleChange{Collection: &none}), bundle.KindInvalid,
			fmt.Sprintf("collection_uuid: Object with uuid=%s does not exist.", none)},
		{"take the title away", change(api.BundleChange{Title: new(string)}), bundle.KindInvalid, "title: This field may not be blank."},
		{"no such bundle", second(s.s.UpdateBundle(ctx, none, api.BundleChange{})), bundle.KindNotFound, "Not found."},
		{"too many bundles", last(s.s.Bundles(ctx, api.BundleFilter{IDs: slices.Repeat([]bundle.ID{none}, api.MaxFilterIDs+1)})), bundle.KindInvalid,
			"uuid: Ask for at most 10000 at once."},
		{"draft of nothing", second(s.s.CreateDraft(ctx, none, "x")), bundle.KindInvalid,
			fmt.Sprintf("bundle_uuid: Object with uuid=%s does not exist.", none)},
		{"draft without a name", second(s.s.CreateDraft(ctx, b.ID, " ")), bundle.KindInvalid, "name: This field may not be blank."},
		{"draft with the same name", second(s.s.CreateDraft(ctx, b.ID, d.Name)), bundle.KindInvalid,
			"The fields bundle_uuid, name must make a unique set."},
		{"no such version", second(s.s.Version(ctx, b.ID, 2)), bundle.KindNotFound, "Not found."},
		{"version 0", second(s.s.Version(ctx, b.ID, 0)), bundle.KindNotFound, "Not found."},
		{"describe no version", second(s.s.DescribeVersion(ctx, b.ID, 2, "x")), bundle.KindNotFound, "Not found."},
		{"a long description", second(s.s.DescribeVersion(ctx, b.ID, 1, strings.Repeat("x", 1001))), bundle.KindInvalid,
			"change_description: Ensure this field has no more than 1000 characters."},
		{"redistribute to some", second(s.s.CommitDraft(ctx, d.ID, api.Commit{Redistribute: "some"})), bundle.KindInvalid,
			"redistribute: Choose one of none, peers, any."},
		{"commit nothing", second(s.s.CommitDraft(ctx, d.ID, api.Commit{})), bundle.KindInvalid, "Draft has no changes to commit."},
		{"commit no draft", second(s.s.CommitDraft(ctx, none, api.Commit{})), bundle.KindNotFound, "Not found."},
		{"rebase no draft", second(s.s.RebaseDraft(ctx, none, 0)), bundle.KindNotFound, "Not found."},
		{"open no file", second(s.s.OpenVersionFile(ctx, b.ID, 1, "x", api.Range{})), bundle.KindNotFound, `There is no file "x" here.`},
	})
	s.refusedPatches(b, d)
}

func (s *suite) refusedPatches(b api.Bundle, d api.Draft) {
	before, none := s.draft(d.ID), bundle.NewID()
	patch := func(p api.Patch) error { return second(s.s.PatchDraft(s.ctx(), d.ID, p)) }
	file := func(path string) error {
		return patch(api.Patch{Files: map[string]api.FileEdit{"good": {}, path: {Content: []byte("x")}}})
	}
	link := func(to bundle.ID, n uint64) error {
		return patch(api.Patch{Links: map[string]api.LinkEdit{"l": {Bundle: to, Version: n}}})
	}
	missing := func(to bundle.ID, n uint64) string {
		return fmt.Sprintf("BundleVersion (%s, %d) referenced in Link l does not exist.", to, n)
	}
	var unknown bundle.Digest
	unknown[0] = 1
	s.hold([]refusal{
		{"a path that leads out", file("../x"), bundle.KindInvalid, `"../x" is not a valid file name`},
		{"a path below a file", file("a/x"), bundle.KindInvalid, `"a/x" is not a valid file name`},
		{"a file where a folder is", file("dir"), bundle.KindInvalid, `"dir" is not a valid file name`},
		{"the empty path", file(""), bundle.KindInvalid, `"" is not a valid file name`},
		{"put to a bad path", second(s.s.PutDraftFile(s.ctx(), d.ID, `a\b`, strings.NewReader("x"), 1)), bundle.KindInvalid, `"a\b" is not a valid file name`},
		{"bytes that are not here", patch(api.Patch{Files: map[string]api.FileEdit{"x": {Stored: unknown}}}), bundle.KindBlobGone,
			fmt.Sprintf("The content %s of file x is not stored here: send it again.", unknown)},
		{"a link to no bundle", link(none, 1), bundle.KindInvalid, missing(none, 1)},
		{"a link to no version", link(b.ID, 0), bundle.KindInvalid, missing(b.ID, 0)},
		{"a link to itself", link(b.ID, 1), bundle.KindInvalid, "Link cycle detected: Cannot create draft."},
		{"a patch of no draft", second(s.s.PatchDraft(s.ctx(), none, api.Patch{})), bundle.KindNotFound, "Not found."},
	})
	after := s.draft(d.ID)
	if after.Revision != before.Revision || paths(after.Staged.Files) != paths(before.Staged.Files) {
		s.t.Errorf("the refused patches left %+v", after.Staged)
	}
}

// RunCopy holds store to what the contract says about copies: copied is a bundle of
// another instance, called primary here, whose version 1 is here with a file
// "a" at least.
func RunCopy(t *testing.T, store api.Store, copied bundle.ID, primary string) {
	s := &suite{t, store}
	b, err := store.Bundle(s.ctx(), copied)
	s.must(err)
	if !b.ReadOnly || b.Primary != primary || b.Newest() == 0 || len(b.Drafts) != 0 {
		t.Errorf("the copy is %+v", b)
	}
	v, err := store.Version(s.ctx(), copied, 1)
	s.must(err)
	if !v.ReadOnly || v.Primary != primary || v.Snapshot.Files["a"].Hash != bundle.HashOf([]byte(s.file(copied, 1, "a"))) {
		t.Errorf("its version is %+v", v)
	}
	c, err := store.Collection(s.ctx(), b.Collection)
	s.must(err)
	if !c.ReadOnly || c.Primary != primary {
		t.Errorf("its collection is %+v", c)
	}
	of := func(what string, id bundle.ID) string {
		return fmt.Sprintf("%s %s is a read-only copy; its primary is %s", what, id, primary)
	}
	ofBundle, ofCollection := of("Bundle", copied), of("Collection", c.ID)
	refusals := []refusal{
		{"change", second(store.UpdateBundle(s.ctx(), copied, api.BundleChange{})), bundle.KindReadOnly, ofBundle},
		{"delete", store.DeleteBundle(s.ctx(), copied), bundle.KindReadOnly, ofBundle},
		{"draft", second(store.CreateDraft(s.ctx(), copied, "mischief")), bundle.KindReadOnly, ofBundle},
		{"describe", second(store.DescribeVersion(s.ctx(), copied, 1, "x")), bundle.KindReadOnly, ofBundle},
		{"rename the collection", second(store.UpdateCollection(s.ctx(), c.ID, "x")), bundle.KindReadOnly, ofCollection},
		{"delete the collection", store.DeleteCollection(s.ctx(), c.ID), bundle.KindReadOnly, ofCollection},
		{"add to the collection", second(store.CreateBundle(s.ctx(), api.NewBundle{Collection: c.ID, Title: "t", Slug: "s"})),
			bundle.KindReadOnly, ofCollection},
	}
	s.hold(refusals)
	for _, r := range refusals {
		if e, ok := errors.AsType[*bundle.Error](r.err); !ok || e.Fields["primary"] != primary || e.Fields["primary_url"] == "" {
			t.Errorf("%s: the refusal does not say where the primary is: %#v", r.what, r.err)
		}
	}
	fork, err := store.ForkBundle(s.ctx(), copied, api.Fork{Collection: s.collection().ID})
	s.must(err)
	if fork.ReadOnly || fork.Primary == primary {
		t.Errorf("the fork of a copy is %+v", fork)
	}
	equal(s, "its content", s.file(fork.ID, 1, "a"), s.file(copied, 1, "a"))
}
