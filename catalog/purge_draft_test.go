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

func TestPurgeableSaysWhetherPurgeHasWork(t *testing.T) {
	s := newSite(t)
	_, draft := s.bundleIn("one")
	b, _ := s.bundleIn("two")
	at := func(days int64) bool {
		now := read(s, (*View).Instance).Created + days*24*hour
		return read(s, func(v *View) (bool, error) { return v.Purgeable(now) })
	}
	if at(0) || !at(2) {
		t.Error("the results of requests are kept for a day and no longer")
	}
	s.commit(draft)
	if !at(0) {
		t.Error("a committed overlay may go at once")
	}
	s.purged(0)
	s.must(DeleteBundle{ID: b})
	if at(0) {
		t.Error("a deleted bundle stays for a while")
	}
	s.purged(2)
	if at(3) || !at(31) {
		t.Error("a deleted bundle goes after thirty days")
	}
	s.purged(31)
	if at(31) {
		t.Error("something is left after all was purged")
	}
}
