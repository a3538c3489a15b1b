package catalog

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

func TestWhatDoesNotExistCannotBeWritten(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	none, title := idOf("none"), "t"
	for _, body := range []Body{
		UpdateCollection{ID: none}, DeleteCollection{ID: none}, UpdateBundle{ID: none}, DeleteBundle{ID: none},
		StagePatch{Draft: none}, PatchDraft{Draft: none}, DeleteDraft{ID: none}, RebaseDraft{ID: none}, CommitVersion{Draft: none},
		DescribeVersion{VersionRef: bundle.VersionRef{Bundle: b, Number: 9}},
	} {
		s.refused(body, bundle.KindNotFound, "Not found.")
	}
	missing := fmt.Sprintf("Object with uuid=%s does not exist.", none)
	for _, tc := range []struct {
		body  Body
		field string
	}{
		{CreateBundle{ID: idOf("new"), Collection: none}, "collection_uuid"},
		{UpdateBundle{ID: b, Collection: &none, Title: &title}, "collection_uuid"},
		{CreateDraft{ID: idOf("new"), Bundle: none}, "bundle_uuid"},
	} {
		if err := s.refused(tc.body, bundle.KindInvalid, missing); err.Fields["field"] != tc.field {
			t.Errorf("%T: %v", tc.body, err.Fields)
		}
	}
	err := s.refused(CreateDraft{ID: idOf("new"), Bundle: b, Name: "studio_draft"}, bundle.KindInvalid,
		"The fields bundle_uuid, name must make a unique set.")
	if err.Fields["reason"] != "unique" {
		t.Error(err.Fields)
	}
	s.refused(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a", "nowhere")}}, bundle.KindBlobGone, "")
	s.refused(PatchDraft{Draft: draft, Patch: none}, bundle.KindNotFound, "")
	s.refused(PatchDraft{Draft: draft, IfRevision: 7}, bundle.KindPrecondition, "")
	s.refused(UpdateBundle{ID: b, IfRevision: 7}, bundle.KindPrecondition, "")
	s.refused(InitInstance{Instance: none, Generation: 1}, bundle.KindConflict, "")
}

func TestUUIDsAreNeverUsedAgain(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	c := idOf("collection one")
	check := func() {
		t.Helper()
		s.refused(CreateCollection{ID: c}, bundle.KindConflict, "")
		s.refused(CreateBundle{ID: b, Collection: idOf("other")}, bundle.KindConflict, "")
	}
	s.must(CreateCollection{ID: idOf("other")})
	s.must(CreateBundle{ID: idOf("b2"), Collection: idOf("other")})
	check()
	s.must(DeleteDraft{ID: draft})
	s.refused(CreateDraft{ID: draft, Bundle: b, Name: "studio_draft"}, bundle.KindConflict, "")
	s.must(CreateDraft{ID: idOf("d2"), Bundle: b, Name: "studio_draft"}) // the name is free again
	s.must(DeleteBundle{ID: b})
	s.must(DeleteCollection{ID: c})
	check()
	late := s.command(Purge{Limit: 1000})
	late.Time += 40 * 24 * hour
	s.apply(late)
	check()
	s.refused(CreateDraft{ID: draft, Bundle: idOf("b2"), Name: "x"}, bundle.KindConflict, "")
}

func TestADeletedCollectionTakesItsBundlesAlong(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	s.commit(draft)
	s.bundleIn("two")
	s.must(DeleteCollection{ID: idOf("collection one")})
	fails(s, bundle.KindNotFound, func(v *View) (Collection, error) { return v.Collection(idOf("collection one")) })
	fails(s, bundle.KindNotFound, func(v *View) (Bundle, error) { return v.Bundle(b) })
	fails(s, bundle.KindNotFound, func(v *View) (Draft, error) { return v.Draft(draft) })
	fails(s, bundle.KindNotFound, func(v *View) (Version, error) { return v.Version(bundle.VersionRef{Bundle: b, Number: 1}) })
	s.refused(PatchDraft{Draft: draft}, bundle.KindNotFound, "Not found.")
	s.refused(CreateDraft{ID: idOf("x"), Bundle: b}, bundle.KindInvalid, "")
	s.view(func(v *View) error {
		for _, f := range []BundleFilter{{}, {Search: "one"}, {IDs: []bundle.ID{b}}, {Collection: idOf("collection one")}} {
			bs, err := v.Bundles(f, Page{})
			if err != nil {
				return err
			}
			for _, got := range bs {
				if got.Row.ID == b {
					t.Errorf("%+v lists it", f)
				}
			}
		}
		counts, err := v.Counts()
		if counts.Collections != 1 || counts.Drafts != 1 || counts.Versions != 0 || counts.Bundles["own"] != 1 {
			t.Errorf("%+v", counts)
		}
		return err
	})
}

func TestLinksMustLeadSomewhereElse(t *testing.T) {
	s := newSite(t)
	target, targetDraft := s.bundleIn("target")
	own, draft := s.bundleIn("own")
	s.commit(targetDraft)
	v := read(s, func(v *View) (Version, error) { return v.Version(bundle.VersionRef{Bundle: target, Number: 1}) })
	link := func(b bundle.ID, number uint64, indirect ...bundle.Dependency) PatchDraft {
		return PatchDraft{Draft: draft, Links: []LinkOp{{Link: bundle.Link{Name: "l", Indirect: indirect,
			Direct: bundle.Dependency{Bundle: b, Version: number, Snapshot: v.Alias}}}}}
	}
	for _, number := range []uint64{0, 2, 1 << 63} {
		s.refused(link(target, number), bundle.KindInvalid,
			fmt.Sprintf("BundleVersion (%s, %d) referenced in Link l does not exist.", target, number))
	}
	s.refused(link(idOf("none"), 1), bundle.KindInvalid,
		fmt.Sprintf("BundleVersion (%s, 1) referenced in Link l does not exist.", idOf("none")))
	s.refused(link(target, 1, bundle.Dependency{Bundle: own, Version: 5}), bundle.KindInvalid, "Link cycle detected: Cannot create draft.")
	wrong := link(target, 1)
	wrong.Links[0].Direct.Snapshot[0]++
	s.refused(wrong, bundle.KindInvalid, "")

	overlay := func() []OverlayLink {
		return read(s, func(v *View) ([]OverlayLink, error) { _, l, err := v.Overlay(draft); return l, err })
	}
	s.must(link(target, 1))
	s.must(link(target, 1)) // setting it again changes nothing of it
	if got := overlay(); len(got) != 1 || got[0].Delete || got[0].Direct.Bundle != target || got[0].Modified == 0 {
		t.Fatalf("%+v", got)
	}
	s.commit(draft, Dep{bundle.VersionRef{Bundle: target, Number: 1}, true})
	if got := overlay(); len(got) != 0 {
		t.Fatalf("the commit left %+v", got)
	}
	for range 2 { // deleting it twice keeps it deleted
		s.must(PatchDraft{Draft: draft, Links: []LinkOp{{Delete: true, Link: bundle.Link{Name: "l"}}}})
		if got := overlay(); len(got) != 1 || !got[0].Delete || got[0].Name != "l" {
			t.Fatalf("%+v", got)
		}
	}
	from := []bundle.VersionRef{{Bundle: own, Number: 1}}
	for _, number := range []uint64{0, 1} {
		ref := bundle.VersionRef{Bundle: target, Number: number}
		if got := read(s, func(v *View) ([]bundle.VersionRef, error) { return v.Dependents(ref) }); !slices.Equal(got, from) {
			t.Errorf("dependents of %v: %v", ref, got)
		}
	}
	if got := read(s, func(v *View) ([]Dep, error) { return v.Deps(from[0]) }); len(got) != 1 || got[0].Bundle != target || !got[0].Direct {
		t.Error(got)
	}
	s.must(DeleteBundle{ID: target})
	s.refused(link(target, 1), bundle.KindInvalid, "")
	s.commit(draft) // links that stand keep standing
}

func TestTheFirstLocationOfABlobStays(t *testing.T) {
	s := newSite(t)
	first, second := packed("pack one", "x", 50), packed("pack two", "x", 90)
	s.must(LocateBlobs{Blobs: []bundle.Located{first, blobOf("own")}})
	s.must(LocateBlobs{Blobs: []bundle.Located{second}})
	found := read(s, func(v *View) (map[bundle.Digest]bundle.Located, error) {
		return v.Blobs([]bundle.Digest{first.Digest, blobOf("own").Digest, {1}})
	})
	if len(found) != 2 || found[first.Digest] != first || found[blobOf("own").Digest] != blobOf("own") {
		t.Errorf("%+v", found)
	}
	missing := read(s, func(v *View) ([]bundle.Digest, error) { return v.MissingBlobs([]bundle.Digest{{1}, first.Digest}) })
	if len(missing) != 1 || missing[0] != (bundle.Digest{1}) {
		t.Error(missing)
	}
	if _, err := s.Locate(context.Background(), []bundle.Digest{first.Digest, {1}}); !bundle.IsKind(err, bundle.KindBlobGone) {
		t.Error(err)
	}
	if c := read(s, (*View).Counts); c.Blobs != 2 {
		t.Error(c)
	}
}

func TestTheLogIsATreeOfAllThatWasPublished(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	for range 20 {
		s.commit(draft)
	}
	title := "new"
	s.must(UpdateBundle{ID: b, Title: &title})
	same := s.must(UpdateBundle{ID: b, Title: &title}) // nothing new, nothing published
	if same.Revision != 2 {
		t.Errorf("%+v", same)
	}
	s.must(DeleteBundle{ID: b})
	size := read(s, (*View).LogSize)
	if size != 24 {
		t.Fatal(size)
	}
	var root tlog.Hash
	s.view(func(v *View) error {
		records, err := v.Records(0, 0)
		if err != nil {
			return err
		}
		last := make(map[bundle.ID]tlog.Hash)
		stored := make(map[int64]tlog.Hash)
		plain := tlog.HashReaderFunc(func(is []int64) (out []tlog.Hash, err error) {
			for _, i := range is {
				out = append(out, stored[i])
			}
			return out, nil
		})
		for _, rec := range records {
			r, err := publog.DecodeRecord(rec.Body)
			if err != nil {
				return err
			}
			if r.Prev != last[r.Subject] || r.Subject != rec.Subject || uint8(r.Kind) != rec.Kind {
				t.Errorf("record %d: %+v", rec.Index, r)
			}
			last[r.Subject] = tlog.Hash(rec.Leaf)
			hashes, err := tlog.StoredHashesForRecordHash(rec.Index, tlog.Hash(rec.Leaf), plain)
			if err != nil {
				return err
			}
			for i, h := range hashes {
				stored[tlog.StoredHashIndex(0, rec.Index)+int64(i)] = h
			}
		}
		want, err := tlog.TreeHash(size, plain)
		if err != nil {
			return err
		}
		if root, err = publog.Root(size, v.LogReader()); root != want {
			t.Error("the root differs from that of the records")
		}
		of, err2 := v.RecordsOf(b, 5, 3)
		if len(of) != 3 || of[0].Index != 5 || err2 != nil {
			t.Error(of, err2)
		}
		at, err2 := v.RecordsAt([]int64{7, 2})
		if len(at) != 2 || at[0].Index != 7 || at[1].Index != 2 || err2 != nil {
			t.Error(at, err2)
		}
		return err
	})
	good := Checkpoint{Note: []byte("note"), Generation: 1, Size: size, Root: bundle.Digest(root), Issued: 10}
	fails(s, bundle.KindNotFound, (*View).Checkpoint)
	for name, change := range map[string]func(c *Checkpoint){
		"root":       func(c *Checkpoint) { c.Root[0]++ },
		"size":       func(c *Checkpoint) { c.Size++ },
		"generation": func(c *Checkpoint) { c.Generation++ },
	} {
		c := good
		change(&c)
		if err := s.refused(c, bundle.KindConflict, ""); err == nil {
			t.Error(name)
		}
	}
	s.must(good)
	old, smaller := good, good
	old.Issued--
	smaller.Size--
	s.refused(old, bundle.KindConflict, "")
	s.refused(smaller, bundle.KindConflict, "")
	s.must(good)
	if c := read(s, (*View).Checkpoint); c.Size != size || string(c.Note) != "note" {
		t.Errorf("%+v", c)
	}
}

func TestAGenerationBeginsWithItsRecord(t *testing.T) {
	s := newSite(t)
	s.bundleIn("one")
	before := read(s, (*View).LogSize)
	sign := func(generation uint64, size, issued int64) Checkpoint {
		var root tlog.Hash
		s.view(func(v *View) (err error) {
			root, err = publog.Root(size, v.LogReader())
			return err
		})
		return Checkpoint{Note: []byte("note"), Generation: generation, Size: size, Root: bundle.Digest(root), Issued: issued}
	}
	s.must(sign(1, before, 10))
	fails(s, bundle.KindNotFound, func(v *View) (Record, error) { return v.GenerationRecord(before) })
	for _, n := range []uint64{0, 1, 1 << 63} {
		s.refused(BeginGeneration{Number: n}, bundle.KindConflict, "")
	}
	s.must(BeginGeneration{Number: 3, Reason: "recovered"})
	s.refused(BeginGeneration{Number: 3}, bundle.KindConflict, "")
	if i := read(s, (*View).Instance); i.Generation != 3 {
		t.Errorf("%+v", i)
	}
	rec := read(s, func(v *View) (Record, error) { return v.GenerationRecord(before + 1) })
	r, err := publog.DecodeRecord(rec.Body)
	if err != nil || rec.Index != before || rec.Subject != (bundle.ID{}) || r.Generation.Number != 3 || r.Generation.Reason != "recovered" {
		t.Errorf("%+v, %+v, %v", rec, r, err)
	}
	fails(s, bundle.KindNotFound, func(v *View) (Record, error) { return v.GenerationRecord(before) })
	s.refused(sign(1, before+1, 11), bundle.KindConflict, "") // of the one that was given up
	s.must(sign(3, before+1, 11))
	s.must(BeginGeneration{Number: 4})
	rec = read(s, func(v *View) (Record, error) { return v.GenerationRecord(before + 2) })
	if rec.Index != before+1 {
		t.Errorf("the newest is record %d", rec.Index)
	}
}

func TestTokensEnd(t *testing.T) {
	s := newSite(t)
	make := func(name string, expires int64) CreateToken {
		return CreateToken{ID: idOf(name), Name: "ci", Role: "writer", Hash: bundle.DigestOf([]byte(name)), Expires: expires}
	}
	r := s.must(make("one", 0))
	s.refused(make("two", 0), bundle.KindConflict, "")
	s.must(RevokeToken{Name: "ci"})
	s.refused(RevokeToken{Name: "ci"}, bundle.KindNotFound, "")
	s.refused(make("one", 0), bundle.KindConflict, "")
	s.must(make("two", r.Time+1)) // expired by the time of the next
	s.must(make("three", 0))
	ts := read(s, (*View).Tokens)
	if len(ts) != 3 || ts[0].Revoked == 0 || ts[1].Revoked != 0 || ts[1].Expires != r.Time+1 {
		t.Errorf("%+v", ts)
	}
	if got := read(s, func(v *View) (Token, error) { return v.TokenByHash(ts[2].Hash) }); got != ts[2] {
		t.Errorf("%+v", got)
	}
	fails(s, bundle.KindNotFound, func(v *View) (Token, error) { return v.TokenByHash(bundle.Digest{}) })
}

func TestSearchFindsSubstringsInAnyCase(t *testing.T) {
	s := newSite(t)
	c := idOf("c")
	s.must(CreateCollection{ID: c, Title: "c"})
	texts := []string{"École de Zoë", "100% \"quoted\" a_b", "STRASSE", "ecole", "Ölçüm İstanbul", "x*y (AND) OR NOT", "a\x00bcd"}
	for i, text := range texts {
		s.must(CreateBundle{ID: idOf(text), Collection: c, Slug: fmt.Sprint("slug-", i), Title: "t", Description: text})
	}
	find := func(needle string) (out []int) {
		bs := read(s, func(v *View) ([]Paged[Bundle], error) { return v.Bundles(BundleFilter{Search: needle}, Page{}) })
		for _, b := range bs {
			out = append(out, slices.Index(texts, b.Row.Description))
		}
		return out
	}
	for _, tc := range []struct {
		needle string
		want   []int
	}{
		{"école", []int{0}}, {"E\u0301COLE", []int{0}}, {"cole", []int{0, 3}}, {"ZOË", []int{0}}, {"zo", []int{0}},
		{"straße", []int{2}}, {"100%", []int{1}}, {"%", []int{1}}, {"a_b", []int{1}}, {"axb", nil}, {`"quoted"`, []int{1}},
		{"x*y", []int{5}}, {"(and) or not", []int{5}}, {"slug-3", []int{3}}, {"SLUG-", []int{0, 1, 2, 3, 4, 5, 6}},
		{"école de zoë and more than there is", nil}, {"ö", []int{4}}, {"quoted\" a_b", []int{1}}, {"\x00bcd", []int{6}},
	} {
		if got := find(tc.needle); !slices.Equal(got, tc.want) {
			t.Errorf("%q finds %v, want %v", tc.needle, got, tc.want)
		}
	}
	changed := "quite another"
	s.must(UpdateBundle{ID: idOf(texts[0]), Description: &changed})
	if got := find("école"); got != nil {
		t.Errorf("the old text is found: %v", got)
	}
	if got := find("QUITE"); len(got) != 1 {
		t.Errorf("the new text is not found: %v", got)
	}
	page := read(s, func(v *View) ([]Paged[Bundle], error) { return v.Bundles(BundleFilter{Search: "slug"}, Page{Limit: 3}) })
	page = read(s, func(v *View) ([]Paged[Bundle], error) {
		return v.Bundles(BundleFilter{Search: "slug"}, Page{Limit: 3, After: page[2].Cursor})
	})
	if len(page) != 3 || page[0].Row.Slug != "slug-3" {
		t.Errorf("%+v", page)
	}
}

func TestPagesOfAllVersionsMeet(t *testing.T) {
	s := newSite(t)
	var want []bundle.VersionRef
	for i := range 4 {
		b, draft := s.bundleIn(fmt.Sprint(i))
		for n := range i * 2 {
			s.commit(draft)
			want = append(want, bundle.VersionRef{Bundle: b, Number: uint64(n + 1)})
		}
	}
	for limit := 1; limit < 8; limit++ {
		var got []bundle.VersionRef
		page := Page{Limit: limit}
		for {
			found := read(s, func(v *View) (Found[Version], error) { return v.FindVersions(BundleFilter{}, page) })
			for _, v := range found.Rows {
				got = append(got, v.Row.VersionRef)
			}
			if page.After = found.Next; !found.More {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}

func TestPurgeEndsWithNothingLeftToRemove(t *testing.T) {
	s := newSite(t)
	keep, keepDraft := s.bundleIn("keep")
	linked, linkedDraft := s.bundleIn("linked")
	s.commit(linkedDraft)
	s.commit(linkedDraft)
	s.commit(keepDraft, Dep{bundle.VersionRef{Bundle: linked, Number: 1}, true})
	for i := range 30 {
		s.must(PatchDraft{Draft: linkedDraft, Files: []FileOp{fileOp(fmt.Sprint(i), "x")}, Blobs: []bundle.Located{blobOf("x")}})
	}
	s.must(StagePatch{Draft: linkedDraft, Patch: idOf("p"), Files: []FileOp{fileOp("staged", "x")}})
	s.must(DeleteCollection{ID: idOf("collection linked")})
	rows := func(table string) (n int) {
		s.view(func(v *View) error { _, err := v.get(`SELECT count(*) FROM `+table, nil, &n); return err })
		return n
	}
	s.must(Purge{Limit: 100})
	if rows("draft_files") != 31 {
		t.Fatal("what can still be restored was removed")
	}
	total := 0
	for range 200 {
		c := s.command(Purge{Limit: 3})
		c.Time += 31 * 24 * hour
		r := s.apply(c)[0]
		if r.Number > 3 {
			t.Fatal("more was removed than allowed:", r.Number)
		}
		if total += int(r.Number); r.Number == 0 {
			break
		}
	}
	if n := rows("draft_files") + rows("patches") + rows("trash"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	// The version that another one links to stays, and so does all of keep.
	if rows("versions") != 2 || rows("deps") != 1 {
		t.Errorf("%d versions, %d deps", rows("versions"), rows("deps"))
	}
	if b := read(s, func(v *View) (Bundle, error) { return v.Bundle(keep) }); b.Head != 1 {
		t.Errorf("%+v", b)
	}
}

func TestADraftIsDeletedAtARevision(t *testing.T) {
	s := newSite(t)
	_, draft := s.bundleIn("one")
	s.must(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a", "x")}, Blobs: []bundle.Located{blobOf("x")}}) // at revision 2 now
	for _, revision := range []uint64{1, 3, 1 << 63} {
		s.refused(DeleteDraft{ID: draft, IfRevision: revision}, bundle.KindPrecondition, "")
	}
	s.must(DeleteDraft{ID: draft, IfRevision: 2})
	fails(s, bundle.KindNotFound, func(v *View) (Draft, error) { return v.Draft(draft) })
}
