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
	gone  bool // deleted here, or with its collection
}

func scanBundle(row scanner) (s bundleShown, err error) {
	b := &s.Row
	var own, collection int
	err = row.Scan(&s.Cursor, blob{b.ID[:]}, blob{b.Collection[:]}, &b.Slug, &b.Title, &b.Description, &b.Owner.Epoch,
		&b.Created, &b.Revision, &b.Head, blob{b.LastLeaf[:]}, &b.LastIndex, &own, &collection, &s.owner,
		blob{b.Owner.Instance[:]})
	s.gone = own == stateDeleted || collection == stateDeleted
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

// ownerOf returns the owner column's value for an instance.
func ownerOf(s *session, instance bundle.ID) (owner int64, ok bool, err error) {
	ok, err = s.get(`SELECT 0 FROM instance WHERE uuid = ?1 UNION ALL SELECT id FROM peers WHERE uuid = ?1`,
		[]any{instance[:]}, &owner)
	return owner, ok, err
}

// bundlesByID looks each of the filter's IDs up.
func (v *View) bundlesByID(f BundleFilter, needle string, p Page) (Found[Bundle], error) {
	var found []bundleShown
	seen := make(map[bundle.ID]bool, len(f.IDs))
	for _, id := range f.IDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		bs, err := collect(v.session, bundleColumns+` WHERE b.uuid = ? AND b.state <> 1 AND c.state <> 1`, []any{id[:]}, scanBundle)
		if err != nil {
			return Found[Bundle]{}, err
		}
		for _, b := range bs {
			if b.Cursor > p.After && f.selects(&b, needle) {
				found = append(found, b)
			}
		}
	}
	slices.SortFunc(found, func(a, b bundleShown) int { return int(int64(a.Cursor) - int64(b.Cursor)) })
	n := min(len(found), p.limit())
	rows, err := v.shown(found[:n])
	page := Found[Bundle]{Rows: rows, Next: p.After, More: len(found) > n}
	if n > 0 {
		page.Next = found[n-1].Cursor
	}
	return page, err
}
