package primary

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestPatchRefusesWithTheTextsOfTheAPI(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	other, otherDraft := s.bundle(t)
	s.patch(t, otherDraft.ID, set("x", "1"))
	s.commit(t, otherDraft.ID)
	b, d := s.bundle(t)
	s.patch(t, d.ID, set("dir/file", "1", "plain", "2"))
	s.commit(t, d.ID)
	s.patch(t, otherDraft.ID, linkTo("back", b.ID, 1))
	s.commit(t, otherDraft.ID) // version 2 of other depends on b

	missing := func(version string) string {
		return "BundleVersion (" + other.ID.String() + ", " + version + ") referenced in Link x does not exist."
	}
	cycle := "Link cycle detected: Cannot create draft."
	badName := func(p string) string { return `"` + p + `" is not a valid file name` }
	cases := []struct {
		name  string
		patch Patch
		want  string
	}{
		{"parent segment", set("../x", "1"), badName("../x")},
		{"absolute", set("/x", "1"), badName("/x")},
		{"doubled slash", set("a//b", "1"), badName("a//b")},
		{"empty", set("", "1"), badName("")},
		{"dot", set("./k", "1"), badName("./k")},
		{"folder", set("dir/", "1"), badName("dir/")},
		{"backslash", set(`a\b`, "1"), badName(`a\b`)},
		{"NUL", set("a\x00b", "1"), badName("a\x00b")},
		{"too long", set(strings.Repeat("a/", 250)+"b", "1"), badName(strings.Repeat("a/", 250) + "b")},
		{"deleting what is no path", set("../x", ""), badName("../x")},
		{"file under a file", set("plain/x", "1"), badName("plain/x")},
		{"file deep under a file", set("plain/x/y/z", "1"), badName("plain/x/y/z")},
		{"file where a folder is", set("dir", "1"), badName("dir")},
		{"file and folder in one patch", set("n", "1", "n/m", "1"), badName("n")},
		{"only the first problem", set("ok", "1", "../1", "1", "../2", "1"), badName("../1")},
		{"files before links", Patch{Files: set("../x", "1").Files, Links: linkTo("x", other.ID, 9).Links}, badName("../x")},
		{"missing version", linkTo("x", other.ID, 9), missing("9")},
		{"version zero", linkTo("x", other.ID, 0), missing("0")},
		{"negative version", linkTo("x", other.ID, -1), missing("-1")},
		{"link to itself", linkTo("x", b.ID, 1), cycle},
		{"link cycle", linkTo("x", other.ID, 2), cycle},
	}
	before := s.view(t, d.ID)
	row, err := look(ctx, s.Primary, d.ID, (*catalog.View).Draft)
	if err != nil {
		t.Fatal(err)
	}
	objects := s.driver.objects.Load()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.PatchDraft(ctx, d.ID, c.patch)
			if !bundle.IsKind(err, bundle.KindInvalid) || err.Error() != c.want {
				t.Fatalf("got %v (%v), want %q", err, bundle.KindOf(err), c.want)
			}
		})
	}
	if got := s.driver.objects.Load(); got != objects {
		t.Errorf("refused patches wrote %d objects", got-objects)
	}
	now, err := look(ctx, s.Primary, d.ID, (*catalog.View).Draft)
	if err != nil || now != row {
		t.Errorf("refused patches changed the draft from %+v to %+v (%v)", row, now, err)
	}
	if got := s.view(t, d.ID); !maps.Equal(got, before) {
		t.Errorf("the draft shows %v, not %v", got, before)
	}
	t.Run("linking to an older version without links", func(t *testing.T) {
		s.patch(t, d.ID, linkTo("x", other.ID, 1))
	})
}

func TestPatchJudgesItselfBeforeItsDraft(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	nobody := bundle.NewID()
	if _, err := s.PatchDraft(ctx, nobody, set("../x", "1")); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("a bad file for a missing draft: %v", err)
	}
	if _, err := s.PatchDraft(ctx, nobody, linkTo("x", nobody, 1)); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("a bad link for a missing draft: %v", err)
	}
	if _, err := s.PatchDraft(ctx, nobody, set("x", "1")); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("a missing draft: %v", err)
	}
	for name, call := range map[string]func() error{
		"commit":   func() error { _, err := s.Commit(ctx, nobody, CommitOptions{}); return err },
		"rebase":   func() error { _, err := s.Rebase(ctx, nobody, 0); return err },
		"delete":   func() error { return s.DeleteDraft(ctx, nobody, 0) },
		"view":     func() error { _, err := s.DraftView(ctx, nobody); return err },
		"put file": func() error { _, err := s.PutFile(ctx, nobody, 0, "x", strings.NewReader(""), 0); return err },
	} {
		if err := call(); !bundle.IsKind(err, bundle.KindNotFound) {
			t.Errorf("%s of a missing draft: %v", name, err)
		}
	}
}

func TestDraftsOfADeletedBundleAreGone(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	b, d := s.bundle(t)
	s.patch(t, d.ID, set("x", "1"))
	if err := s.DeleteBundle(ctx, b.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PatchDraft(ctx, d.ID, set("x", "2")); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("patch: %v", err)
	}
	if _, err := s.Commit(ctx, d.ID, CommitOptions{}); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("commit: %v", err)
	}
}

func TestALinkToADeletedBundleIsRefusedAndAnOldOneStays(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	target, td := s.bundle(t)
	s.patch(t, td.ID, set("x", "1"))
	s.commit(t, td.ID)
	_, d := s.bundle(t)
	s.patch(t, d.ID, linkTo("old", target.ID, 1))
	if err := s.DeleteBundle(ctx, target.ID); err != nil {
		t.Fatal(err)
	}
	_, err := s.PatchDraft(ctx, d.ID, linkTo("new", target.ID, 1))
	if want := "BundleVersion (" + target.ID.String() + ", 1) referenced in Link new does not exist."; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	v := s.commit(t, d.ID)
	if _, m, err := s.Snapshot(ctx, v.VersionRef); err != nil || len(m.Links()) != 1 {
		t.Errorf("the version with the old link: %v", err)
	}
}

func TestCommitWithoutChangesIsRefused(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	_, d := s.bundle(t)
	refused := func(when string) {
		t.Helper()
		_, err := s.Commit(ctx, d.ID, CommitOptions{})
		if !bundle.IsKind(err, bundle.KindInvalid) || err.Error() != "Draft has no changes to commit." {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("a new draft of an empty bundle")
	s.patch(t, d.ID, set("gone", ""))
	refused("a draft that deletes what is not there")
	s.patch(t, d.ID, set("x", "1"))
	s.commit(t, d.ID)
	refused("a draft just committed")
	s.patch(t, d.ID, set("x", "1"))
	refused("a draft that sets what its base has")
	s.patch(t, d.ID, set("x", "2"))
	s.commit(t, d.ID)
}

func TestTextsAreChecked(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	b, _ := s.bundle(t)
	long := strings.Repeat("é", maxTitle+1)
	bad := "no spaces"
	cases := map[string]struct {
		err  func() error
		want map[string]string
	}{
		"blank collection": {
			func() error { _, err := s.CreateCollection(ctx, NewCollection{Title: " "}); return err },
			map[string]string{"title": "This field may not be blank."},
		},
		"all fields of a bundle": {
			func() error {
				_, err := s.CreateBundle(ctx, NewBundle{Collection: s.coll, Slug: "a b", Title: long, Description: "\x00"})
				return err
			},
			map[string]string{
				"slug":        "Enter a valid “slug” consisting of Unicode letters, numbers, underscores, or hyphens.",
				"title":       "Ensure this field has no more than 180 characters.",
				"description": "Null characters are not allowed.",
			},
		},
		"one field of a bundle": {
			func() error { _, err := s.UpdateBundle(ctx, b.ID, BundleChange{Slug: &bad}); return err },
			map[string]string{"slug": "Enter a valid “slug” consisting of Unicode letters, numbers, underscores, or hyphens."},
		},
		"long slug": {
			func() error {
				_, err := s.CreateBundle(ctx, NewBundle{Collection: s.coll, Slug: strings.Repeat("s", 51), Title: "x"})
				return err
			},
			map[string]string{"slug": "Ensure this field has no more than 50 characters."},
		},
		"redistribute": {
			func() error { _, err := s.Commit(ctx, b.ID, CommitOptions{Redistribute: "all"}); return err },
			map[string]string{"redistribute": "Choose one of none, peers, any."},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, ok := errors.AsType[*bundle.Error](c.err())
			if !ok || e.Kind != bundle.KindInvalid || !maps.Equal(e.Fields, c.want) {
				t.Fatalf("got %+v, want %v", e, c.want)
			}
		})
	}
	for _, slug := range []string{"a-b_C", "été", "½²", "٣", "中文"} {
		if _, err := s.CreateBundle(ctx, NewBundle{Collection: s.coll, Slug: slug, Title: "x"}); err != nil {
			t.Errorf("slug %q: %v", slug, err)
		}
	}
}

func TestADraftNameIsUniqueInItsBundle(t *testing.T) {
	s := newSite(t)
	b, d := s.bundle(t)
	_, err := s.CreateDraft(context.Background(), NewDraft{Bundle: b.ID, Name: d.Name})
	if !bundle.IsKind(err, bundle.KindInvalid) || field(err, "reason") != "unique" {
		t.Errorf("a second draft of the name: %v", err)
	}
	if err := s.DeleteDraft(context.Background(), d.ID, 0); err != nil {
		t.Fatal(err)
	}
	s.draft(t, b.ID, d.Name)
}
