package catalog

import (
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestForgottenEditsAreGoneAndStagedOnesAreNot(t *testing.T) {
	s := newSite(t)
	target, made := s.bundleIn("target")
	s.commit(made)
	alias := read(s, func(v *View) (Version, error) {
		return v.Version(bundle.VersionRef{Bundle: target, Number: 1})
	}).Alias
	_, draft := s.bundleIn("one")
	link := LinkOp{Link: bundle.Link{Name: "l", Direct: bundle.Dependency{Bundle: target, Version: 1, Snapshot: alias}}}
	s.must(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a0", "x"), fileOp("z", "x")}, Links: []LinkOp{link}, Blobs: []bundle.Located{blobOf("x")}})
	s.must(stage(draft, "done", "a"))
	r := s.must(PatchDraft{Draft: draft, Patch: idOf("done")})
	s.must(stage(draft, "in progress", "a"))
	s.refused(ForgetEdits{Draft: draft, Revision: r.Revision - 1, Files: []string{"z"}}, bundle.KindPrecondition, "")
	s.refused(ForgetEdits{Draft: idOf("none"), Revision: 1}, bundle.KindNotFound, "")
	s.must(ForgetEdits{Draft: draft, Revision: r.Revision, Files: []string{"a0", "a1", "a2", "never"}, Links: []string{"l", "never"}})
	files, links, err := overlay(s, draft)
	if err != nil || len(files) != 1 || files[0].Path != "z" || len(links) != 0 {
		t.Fatalf("%+v, %+v, %v", files, links, err)
	}
	s.must(PatchDraft{Draft: draft, Patch: idOf("in progress")})
	if n := s.shown(draft); n != 4 {
		t.Errorf("%d files, want 4", n)
	}
}

func overlay(s *site, draft bundle.ID) (files []OverlayFile, links []OverlayLink, err error) {
	err = s.DB.View(s.Context(), func(v *View) error {
		files, links, err = v.Overlay(draft)
		return err
	})
	return files, links, err
}
