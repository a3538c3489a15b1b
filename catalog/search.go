package catalog

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/blockstored/blockstored/bundle"
)

const (
	trigram = 3 // runes of the shortest text the index can find
	// maxTrigrams bounds how many trigrams of a long needle the index is asked
	// for; every hit is compared with the whole needle anyway.
	maxTrigrams = 12
)

// fold maps texts that differ only in case or in their Unicode composition to
// the same text (Unicode full case folding, then NFC).
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return norm.NFC.String(cases.Fold().String(s))
		}
	}
	return strings.ToLower(s)
}

// index puts a bundle's texts into the full-text index, which is derived from
// the bundles and no part of the dump.
func (a *applier) index(b *bundleRow) error {
	text := fold(b.title) + "\n" + fold(b.slug) + "\n" + fold(b.description)
	return a.run(`INSERT OR REPLACE INTO bundle_text (rowid, body) VALUES (?, ?)`, b.id, text)
}

// matchQuery returns the FTS5 query that finds every text with needle in it,
// and others; "" if needle is too short for the index.
func matchQuery(needle string) string {
	runes := []rune(needle)
	if len(runes) < trigram || slices.Contains(runes, 0) {
		return ""
	}
	step := max(1, (len(runes)-trigram+maxTrigrams)/maxTrigrams)
	var terms []string
	for i := 0; i+trigram <= len(runes); i += step {
		terms = append(terms, `"`+strings.ReplaceAll(string(runes[i:i+trigram]), `"`, `""`)+`"`)
	}
	return strings.Join(terms, " AND ")
}

// matches reports whether needle, folded, is in one of a bundle's texts.
func matches(b *Bundle, needle string) bool {
	return strings.Contains(fold(b.Title), needle) || strings.Contains(fold(b.Slug), needle) ||
		strings.Contains(fold(b.Description), needle)
}

const bundleColumns = `SELECT b.id, b.uuid, c.uuid, b.slug, b.title, b.description, b.epoch, b.created, b.revision, b.head,
 b.last_leaf, b.last_index, b.state, c.state, b.owner,
 coalesce((SELECT uuid FROM peers WHERE id = b.owner), (SELECT uuid FROM instance))
 FROM bundles b JOIN collections c ON c.id = b.collection`

// bundleShown is a bundle and what its State is made of.
type bundleShown struct {
	Paged[Bundle]
	owner int64
}

func scanBundle(row scanner) (s bundleShown, err error) {
	b := &s.Row
	var own, collection int
	err = row.Scan(&s.Cursor, blob{b.ID[:]}, blob{b.Collection[:]}, &b.Slug, &b.Title, &b.Description, &b.Owner.Epoch,
		&b.Created, &b.Revision, &b.Head, blob{b.LastLeaf[:]}, &b.LastIndex, &own, &collection, &s.owner,
		blob{b.Owner.Instance[:]})
	switch {
	case s.owner == 0:
		b.State = "own"
	case own == stateWithdrawn || collection == stateWithdrawn:
		b.State = "withdrawn"
	default:
		b.State = "copy"
	}
	return s, err
}

// setAside completes the State of a copy that is parked or held.
func (v *View) setAside(s *bundleShown) error {
	if s.Row.State != "copy" {
		return nil
	}
	var held bool
	ok, err := v.get(`SELECT held, reason FROM parked WHERE peer = ? AND bundle = ?`, []any{s.owner, s.Row.ID[:]}, &held, &s.Row.Reason)
	if ok && held {
		s.Row.State = "held"
	} else if ok {
		s.Row.State = "parked"
	}
	return err
}

// Bundle returns one bundle, KindNotFound if there is none or it was deleted
// here.
func (v *View) Bundle(id bundle.ID) (Bundle, error) {
	bs, err := collect(v.session, bundleColumns+` WHERE b.uuid = ? AND b.state <> 1 AND c.state <> 1`, []any{id[:]}, scanBundle)
	if err != nil {
		return Bundle{}, err
	}
	if len(bs) == 0 {
		return Bundle{}, notFound()
	}
	err = v.setAside(&bs[0])
	return bs[0].Row, err
}

// Bundles lists the bundles that f selects. A Search of one or two characters
// looks at every other bundle that f selects; longer ones use an index.
func (v *View) Bundles(f BundleFilter, p Page) ([]Paged[Bundle], error) {
	if f.IDs != nil {
		return v.bundlesByID(f, p)
	}
	query, args, needle, ok, err := v.plan(f, p)
	if err != nil || !ok {
		return nil, err
	}
	var out []bundleShown
	err = v.each(bundleColumns+query, args,
		func(row scanner) (bool, error) {
			s, err := scanBundle(row)
			if err != nil {
				return false, err
			}
			if matches(&s.Row, needle) {
				out = append(out, s)
			}
			return len(out) < p.limit(), v.alive()
		})
	if err != nil {
		return nil, err
	}
	return v.shown(out)
}

func (v *View) shown(found []bundleShown) ([]Paged[Bundle], error) {
	out := make([]Paged[Bundle], len(found))
	for i := range found {
		if err := v.setAside(&found[i]); err != nil {
			return nil, err
		}
		out[i] = found[i].Paged
	}
	return out, nil
}

// plan turns a filter without IDs into the rest of the query. ok is false if
// nothing can match.
func (v *View) plan(f BundleFilter, p Page) (query string, args []any, needle string, ok bool, err error) {
	needle = fold(f.Search)
	query, order := ` WHERE b.id > ?`, ` ORDER BY b.id`
	args = append(args, clamp(p.After))
	if match := matchQuery(needle); match != "" {
		query, order = ` JOIN bundle_text t ON t.rowid = b.id WHERE t.rowid > ? AND bundle_text MATCH ?`, ` ORDER BY t.rowid`
		args = append(args, match)
	}
	if f.Collection != (bundle.ID{}) {
		c, found, err := findCollection(v.session, f.Collection)
		if err != nil || !found {
			return "", nil, "", false, err
		}
		query, args = query+` AND b.collection = ?`, append(args, c.id)
	}
	if f.Owner != (bundle.ID{}) {
		owner, found, err := ownerOf(v.session, f.Owner)
		if err != nil || !found {
			return "", nil, "", false, err
		}
		query, args = query+` AND b.owner = ?`, append(args, owner)
		if owner != 0 {
			query += ` AND b.owner <> 0` // as the index of copies has it
		}
	}
	return query + ` AND b.state <> 1 AND c.state <> 1` + order, args, needle, true, nil
}

// ownerOf returns the owner column's value for an instance.
func ownerOf(s *session, instance bundle.ID) (owner int64, ok bool, err error) {
	ok, err = s.get(`SELECT 0 FROM instance WHERE uuid = ?1 UNION ALL SELECT id FROM peers WHERE uuid = ?1`,
		[]any{instance[:]}, &owner)
	return owner, ok, err
}

// bundlesByID looks each of the filter's IDs up.
func (v *View) bundlesByID(f BundleFilter, p Page) ([]Paged[Bundle], error) {
	needle := fold(f.Search)
	var found []bundleShown
	seen := make(map[bundle.ID]bool, len(f.IDs))
	for _, id := range f.IDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		bs, err := collect(v.session, bundleColumns+` WHERE b.uuid = ? AND b.state <> 1 AND c.state <> 1`, []any{id[:]}, scanBundle)
		if err != nil {
			return nil, err
		}
		for _, b := range bs {
			if b.Cursor > p.After && matches(&b.Row, needle) &&
				(f.Collection == bundle.ID{} || b.Row.Collection == f.Collection) &&
				(f.Owner == bundle.ID{} || b.Row.Owner.Instance == f.Owner) {
				found = append(found, b)
			}
		}
	}
	slices.SortFunc(found, func(a, b bundleShown) int { return int(int64(a.Cursor) - int64(b.Cursor)) })
	return v.shown(found[:min(len(found), p.limit())])
}

// AllVersions lists the versions of the bundles that f selects: bundles in
// creation order, versions of each ascending. A cursor is the bundle's and the
// version's number; a bundle's page goes on where the last one ended.
func (v *View) AllVersions(f BundleFilter, p Page) ([]Paged[Version], error) {
	// A cursor packs the bundle's id and the number of the version in it.
	after := Page{After: p.After >> versionBits, Limit: p.Limit}
	from := p.After & (1<<versionBits - 1)
	var out []Paged[Version]
	if after.After > 0 { // the rest of the bundle where the last page ended
		after.After--
	}
	for {
		bs, err := v.Bundles(f, after)
		if err != nil {
			return nil, err
		}
		for _, b := range bs {
			if b.Cursor != p.After>>versionBits {
				from = 0
			}
			if b.Row.Head <= from {
				continue
			}
			row := bundleRow{uuid: b.Row.ID, id: int64(b.Cursor)}
			vs, err := v.versionsOf(row, Page{After: from, Limit: p.limit() - len(out)})
			if err != nil {
				return nil, err
			}
			for _, version := range vs {
				version.Cursor = b.Cursor<<versionBits | min(version.Row.Number, 1<<versionBits-1)
				out = append(out, version)
			}
			if len(out) >= p.limit() {
				return out, nil
			}
		}
		if len(bs) < after.limit() {
			return out, nil
		}
		after.After = bs[len(bs)-1].Cursor
	}
}

// versionBits is how much of a cursor of AllVersions is the version's number.
const versionBits = 24
