package catalog

import (
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// purged applies Purge as of days later until nothing is left to remove.
func (s *site) purged(days int64) {
	s.Helper()
	for {
		c := s.command(Purge{Limit: 7})
		c.Time += days * 24 * hour
		r := s.apply(c)[0]
		if r.Err != nil {
			s.Fatal(r.Err)
		}
		if r.Number == 0 {
			return
		}
	}
}

func TestI7WhatADraftLinksToOutlivesItsBundle(t *testing.T) {
	s := newSite(t)
	target, draft := s.bundleIn("target")
	for range 2 {
		s.must(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a", "1")}, Blobs: []bundle.Located{blobOf("1")}})
		s.commit(draft)
	}
	_, other := s.bundleIn("other")
	alias := read(s, func(v *View) (Version, error) {
		return v.Version(bundle.VersionRef{Bundle: target, Number: 2})
	}).Alias
	s.must(PatchDraft{Draft: other, Links: []LinkOp{{Link: bundle.Link{
		Name: "dep", Direct: bundle.Dependency{Bundle: target, Version: 2, Snapshot: alias},
	}}}})
	s.must(DeleteBundle{ID: target})
	s.purged(31)
	numbers := func() (out []int64) {
		s.view(func(v *View) (err error) {
			out, err = collect(v.session, `SELECT num FROM versions v JOIN bundles b ON b.id = v.bundle WHERE b.uuid = ?`,
				[]any{target[:]}, func(row scanner) (n int64, err error) { return n, row.Scan(&n) })
			return err
		})
		return out
	}
	if got := numbers(); len(got) != 1 || got[0] != 2 {
		t.Fatalf("versions %v of the deleted bundle are left, want the one a draft links to", got)
	}
}
