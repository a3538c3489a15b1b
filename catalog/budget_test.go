package catalog

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// TestACatalogStaysSmall measures what a version costs in the catalog all told:
// its row, its record and the tree over it, its manifest's location, and its
// share of its bundle with that one's record and text index. Results of
// requests go after a day and do not count.
func TestACatalogStaysSmall(t *testing.T) {
	s := newSite(t)
	const bundles, versions = 400, 5
	empty := s.used()
	c := idOf("c")
	s.must(CreateCollection{ID: c, Title: "Introduction to Everything"})
	drafts := make([]bundle.ID, bundles)
	var batch []Command
	flush := func() {
		for _, r := range s.apply(batch...) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		batch = batch[:0]
	}
	for i := range drafts {
		b := idOf(fmt.Sprint("b", i))
		drafts[i] = idOf(fmt.Sprint("d", i))
		batch = append(batch,
			s.command(CreateBundle{ID: b, Collection: c, Slug: fmt.Sprintf("unit-%d", i), Title: fmt.Sprintf("Unit %d: on the growth of catalogs", i)}),
			s.command(CreateDraft{ID: drafts[i], Bundle: b, Name: "studio_draft"}))
	}
	flush()
	for n := range versions {
		for i, d := range drafts {
			content := fmt.Sprint("manifest", i, n)
			m := packed(fmt.Sprint("pack", n, i/50), content, int64(100+i%50*700))
			batch = append(batch, s.command(CommitVersion{Draft: d, Revision: uint64(n + 1), ExpectedHead: uint64(n), Blobs: []bundle.Located{m},
				Snapshot:          Snapshot{Manifest: sha256.Sum256([]byte(content)), Files: 21, Bytes: 200_000},
				ChangeDescription: "Edited in the studio"}))
		}
		flush()
	}
	clean := s.command(Purge{Limit: maxPurge})
	clean.Time += 25 * hour
	s.apply(clean)
	s.view(func(v *View) error {
		return v.each(`SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name ORDER BY bytes DESC LIMIT 12`, nil, func(row scanner) (bool, error) {
			var name string
			var bytes int64
			err := row.Scan(&name, &bytes)
			t.Logf("%-28s %4d bytes a version", name, bytes/(bundles*versions))
			return true, err
		})
	})
	perVersion := (s.used() - empty) / (bundles * versions)
	t.Logf("%d bytes of catalog a version", perVersion)
	if perVersion > 400 {
		t.Errorf("%d bytes of catalog a version", perVersion)
	}
}

// used returns the bytes of the pages in use.
func (s *site) used() int64 {
	var pages, size, free int64
	s.view(func(v *View) error {
		for pragma, n := range map[string]*int64{"page_count": &pages, "page_size": &size, "freelist_count": &free} {
			if _, err := v.get(`PRAGMA `+pragma, nil, n); err != nil {
				return err
			}
		}
		return nil
	})
	return (pages - free) * size
}
