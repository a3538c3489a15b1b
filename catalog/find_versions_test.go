package catalog

import "testing"

// TestTheLargestPageOfVersionsLosesNone lists a bundle of more versions than the
// largest page has rows, put there past apply.
func TestTheLargestPageOfVersionsLosesNone(t *testing.T) {
	s := newSite(t)
	const many = 10_050
	large, draft := s.bundleIn("large")
	s.commit(draft)
	for _, text := range []string{
		`WITH RECURSIVE k(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM k WHERE i < ?1)
 INSERT INTO versions SELECT v.bundle, i, v.record, v.files, v.bytes, v.description, v.body
 FROM k, versions v JOIN bundles b ON b.id = v.bundle WHERE b.uuid = ?2 AND v.num = 1`,
		`UPDATE bundles SET head = ?1 WHERE uuid = ?2`,
	} {
		if err := s.handle.writer.run(text, many, large[:]); err != nil {
			t.Fatal(err)
		}
	}
	listed := 0
	for page := (Page{Limit: 10_000}); ; {
		found := read(s, func(v *View) (Found[Version], error) { return v.FindVersions(BundleFilter{}, page) })
		listed += len(found.Rows)
		if !found.More {
			break
		}
		page.After = found.Next
	}
	if listed != many {
		t.Errorf("listed %d of %d versions", listed, many)
	}
}
