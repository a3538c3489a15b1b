package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// flood puts n bundles into a collection past apply, which would take minutes
// for as many as search must cope with. Their texts are "lesson <number>".
func (s *site) flood(collection string, n int) {
	s.Helper()
	c := idOf(collection)
	s.must(CreateCollection{ID: c, Title: collection})
	w := s.handle.writer
	var row, first int64
	for query, to := range map[string]*int64{
		`SELECT id FROM collections ORDER BY id DESC LIMIT 1`: &row,
		`SELECT next_id FROM state`:                           &first,
	} {
		if _, err := w.get(query, nil, to); err != nil {
			s.Fatal(err)
		}
	}
	for _, q := range []struct {
		text string
		args []any
	}{
		{`BEGIN IMMEDIATE`, nil},
		{`WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i + 1 < ?1)
 INSERT INTO bundles SELECT ?2 + i, CAST(printf('%016d', ?2 + i) AS BLOB), ?3, 0, 1, 'unit', 'lesson ' || i, '', 0, 1, 0, x'', 0, 0, 0, 0 FROM k`,
			[]any{n, first, row}},
		{`INSERT INTO bundle_text (rowid, body) SELECT id, title || char(10) || slug || char(10) FROM bundles WHERE id >= ?`, []any{first}},
		{`UPDATE collections SET bundles = bundles + ? WHERE id = ?`, []any{n, row}},
		{`UPDATE state SET next_id = next_id + ?1, bundles_own = bundles_own + ?1`, []any{n}},
		{`COMMIT`, nil},
	} {
		if err := w.run(q.text, q.args...); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.DB.Close(); err != nil { // apply keeps the row of state in memory
		s.Fatal(err)
	}
	s.reopen()
}

// calls finds all that f selects in pages and returns how many calls it took.
func (s *site) calls(f BundleFilter, limit int) (slugs []string, calls int) {
	s.Helper()
	for page := (Page{Limit: limit}); ; {
		found := read(s, func(v *View) (Found[Bundle], error) { return v.FindBundles(f, page) })
		calls++
		for _, r := range found.Rows {
			slugs = append(slugs, r.Row.Slug)
		}
		if !found.More {
			return slugs, calls
		}
		if found.Next <= page.After {
			s.Fatalf("a page ends at %d, where it began", found.Next)
		}
		page.After = found.Next
	}
}

// TestSearchLooksAtABoundedNumberOfRows searches a table that is larger than one
// look: what is found in one call was found by an index, and what cannot be is
// found by going on, also over pages without a hit.
func TestSearchLooksAtABoundedNumberOfRows(t *testing.T) {
	s := newSite(t)
	s.must(CreateCollection{ID: idOf("small"), Title: "small"})
	s.must(CreateBundle{ID: idOf("first"), Collection: idOf("small"), Slug: "first", Title: "zq lesson"})
	s.flood("large", 2*maxLooks+10)
	s.must(CreateBundle{ID: idOf("last"), Collection: idOf("small"), Slug: "last", Title: "数学 zq"})

	for _, c := range []struct {
		name  string
		f     BundleFilter
		want  []string
		calls int
	}{
		{"three characters use the index", BundleFilter{Search: "学 z"}, []string{"last"}, 1},
		{"what nobody has is known at once", BundleFilter{Search: "xylophone"}, nil, 1},
		{"two characters look at every row", BundleFilter{Search: "数学"}, []string{"last"}, 3},
		{"pages without a hit lie between", BundleFilter{Search: "ZQ"}, []string{"first", "last"}, 3},
		{"in a small collection they look at little", BundleFilter{Search: "zq", Collection: idOf("small")}, []string{"first", "last"}, 1},
		{"nor does a common text in it look at the table", BundleFilter{Search: "lesson", Collection: idOf("small")}, []string{"first"}, 1},
		{"no filter but the collection", BundleFilter{Collection: idOf("small")}, []string{"first", "last"}, 1},
		{"of an unknown collection", BundleFilter{Search: "lesson", Collection: idOf("none")}, nil, 1},
	} {
		if got, calls := s.calls(c.f, 10); !slices.Equal(got, c.want) || calls != c.calls {
			t.Errorf("%s: %v in %d calls, want %v in %d", c.name, got, calls, c.want, c.calls)
		}
		whole := read(s, func(v *View) ([]Paged[Bundle], error) { return v.Bundles(c.f, Page{Limit: 10}) })
		if len(whole) != len(c.want) {
			t.Errorf("%s: Bundles lists %d, want %d", c.name, len(whole), len(c.want))
		}
	}
	if got, calls := s.calls(BundleFilter{Search: "lesson 2", Collection: idOf("large")}, 1000); len(got) != 1+10+100+1000+10 || calls < 2 {
		t.Errorf("%d found in a large collection in %d calls", len(got), calls)
	}
	found := read(s, func(v *View) (Found[Version], error) { return v.FindVersions(BundleFilter{}, Page{Limit: 1000}) })
	if len(found.Rows) != 0 || !found.More || found.Next>>versionBits == 0 {
		t.Errorf("bundles without versions are looked at without a bound: %d rows, more %v", len(found.Rows), found.More)
	}
}

func TestSearchesReadTheirIndex(t *testing.T) {
	s := newSite(t)
	for query, want := range map[string]string{
		queryAll:        "SEARCH b USING INTEGER PRIMARY KEY (rowid>?)",
		queryCollection: "SEARCH b USING INDEX bundles_collection (collection=? AND rowid>?)",
		queryOwner:      "SEARCH b USING INDEX bundles_owner (owner=? AND rowid>?)",
		queryText:       "SCAN t VIRTUAL TABLE INDEX 64:M1>", // MATCH, from a rowid on
	} {
		plan, err := collect(s.handle.writer, `EXPLAIN QUERY PLAN `+bundleColumns+query, make([]any, parameters(query)), func(row scanner) (detail string, err error) {
			err = row.Scan(new(int), new(int), new(int), &detail)
			return detail, err
		})
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(plan, "\n")
		if !strings.Contains(all, want) || strings.Contains(all, "TEMP B-TREE") {
			t.Errorf("%s\nruns as\n%s\nwant %s", query, all, want)
		}
	}
}

func TestRowsOfAListingAreCountedWithoutReadingThem(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	s.commit(draft)
	s.commit(draft)
	s.flood("large", 2000)
	count := func(f BundleFilter, most int64) int64 {
		t.Helper()
		return read(s, func(v *View) (int64, error) { return v.CountBundles(f, most) })
	}
	for _, c := range []struct {
		f    BundleFilter
		most int64
		want int64
	}{
		{BundleFilter{}, 10, 2001},
		{BundleFilter{Collection: idOf("large")}, 10, 2000},
		{BundleFilter{Collection: idOf("collection one")}, 10, 1},
		{BundleFilter{Collection: idOf("none")}, 10, 0},
		{BundleFilter{IDs: []bundle.ID{b, idOf("none")}}, 10, 2},
		{BundleFilter{Search: "so"}, 10, 2001},         // looks at all of them
		{BundleFilter{Search: "lesson"}, 10, 11},       // no further than that
		{BundleFilter{Search: "lesson"}, 5000, 2001},   // few enough whatever matches
		{BundleFilter{Search: "lesson 1999"}, 10, 1},   // by the index
		{BundleFilter{Search: "xylophone"}, 10, 0},     // of nothing
		{BundleFilter{Search: "LESSON 199"}, 1000, 11}, // any case
	} {
		if got := count(c.f, c.most); got != c.want {
			t.Errorf("%+v up to %d: %d, want %d", c.f, c.most, got, c.want)
		}
	}
	for _, c := range []struct {
		f    BundleFilter
		want int64
	}{
		{BundleFilter{}, 2}, {BundleFilter{IDs: []bundle.ID{b}}, 2}, {BundleFilter{IDs: []bundle.ID{idOf("none")}}, 0},
		{BundleFilter{Collection: idOf("collection one")}, 2}, {BundleFilter{Collection: idOf("large")}, 0},
	} {
		if got := read(s, func(v *View) (int64, error) { return v.CountVersions(c.f) }); got != c.want {
			t.Errorf("versions of %+v: %d, want %d", c.f, got, c.want)
		}
	}
}

// TestSearchGoesByUnicode holds searches in several scripts. Case is Unicode's
// full folding, which knows no language: a Turkish İ is an i with a dot above.
func TestSearchGoesByUnicode(t *testing.T) {
	s := newSite(t)
	s.must(CreateCollection{ID: idOf("c"), Title: "c"})
	texts := []string{"École", "ΟΔΥΣΣΕΥΣ", "İstanbul ISPARTA ılık", "Война и мир", "線形代数 入門", "한국어", "Straße", "हिन्दी", "ｆｕｌｌ", "ﬁne"}
	for i, text := range texts {
		s.must(CreateBundle{ID: idOf(text), Collection: idOf("c"), Slug: fmt.Sprint("s", i), Title: text})
	}
	for needle, want := range map[string]string{
		"école": "École", "ECOLE\u0301": "", "E\u0301cole": "École", "e\u0301CO": "École", "é": "École",
		"οδυσσεύς": "", "οδυσσευς": "ΟΔΥΣΣΕΥΣ", "οδυσσευσ": "ΟΔΥΣΣΕΥΣ", "ευς": "ΟΔΥΣΣΕΥΣ", "ς": "ΟΔΥΣΣΕΥΣ",
		"İSTANBUL": "İstanbul ISPARTA ılık", "i\u0307stanbul": "İstanbul ISPARTA ılık", "STANBUL": "İstanbul ISPARTA ılık",
		"isparta": "İstanbul ISPARTA ılık", "ılık": "İstanbul ISPARTA ılık", "ilik": "", "ILIK": "",
		"ВОЙНА": "Война и мир", "и мир": "Война и мир", "Воина": "",
		"代数": "線形代数 入門", "線形代数": "線形代数 入門", "入": "線形代数 入門",
		"한국어": "한국어", "국": "한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8": "한국어", // in single jamo
		"STRASSE": "Straße", "ẞ": "Straße", "हिन्": "हिन्दी", "ＦＵＬＬ": "ｆｕｌｌ", "full": "", "FINE": "ﬁne",
	} {
		var got string
		for _, b := range read(s, func(v *View) ([]Paged[Bundle], error) { return v.Bundles(BundleFilter{Search: needle}, Page{}) }) {
			got += b.Row.Title
		}
		if got != want {
			t.Errorf("%q finds %q, want %q", needle, got, want)
		}
	}
}

// BenchmarkSearch finds one bundle by a rare text in tables of several sizes:
// its cost must not grow with them.
func BenchmarkSearch(b *testing.B) {
	for _, size := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := newSite(b)
			s.flood("large", size)
			for b.Loop() {
				found := read(s, func(v *View) (Found[Bundle], error) {
					return v.FindBundles(BundleFilter{Search: "Lesson 9999"}, Page{Limit: 10})
				})
				if len(found.Rows) == 0 {
					b.Fatal("found nothing")
				}
			}
		})
	}
}
