package catalog

import (
	"github.com/blockstored/blockstored/bundle"
)

// maxLooks is how many rows one call of [View.FindBundles] looks at. At some ten
// microseconds a row it bounds how long a view is open.
const maxLooks = 10_000

// Found is a page of what a listing with a bounded cost found.
type Found[T any] struct {
	Rows []Paged[T]
	Next uint64 // goes on after all that was looked at
	More bool   // something may be left to look at; Rows may be empty all the same
}

// FoundOf returns a page of a listing that looks at no more rows than it returns.
func FoundOf[T any](list func(Page) ([]Paged[T], error), p Page) (f Found[T], err error) {
	limit := min(p.limit(), maxPage-1) // a row more is asked for, to know whether there is one
	f.Next = p.After
	f.Rows, err = list(Page{After: p.After, Limit: limit + 1})
	if f.More = len(f.Rows) > limit; f.More {
		f.Rows = f.Rows[:limit]
	}
	if n := len(f.Rows); n > 0 {
		f.Next = f.Rows[n-1].Cursor
	}
	return f, err
}

// FindBundles lists bundles as [View.Bundles] does, but looks at a bounded number
// of rows: where few of them match, a page is shorter than its limit and More
// says that the listing goes on after Next. It ends when More is false.
//
// A Search of three characters or more finds its rows by an index, so that every
// row is a hit or nearly one. Shorter ones look at every bundle that the rest of
// f selects.
func (v *View) FindBundles(f BundleFilter, p Page) (Found[Bundle], error) {
	needle := fold(f.Search)
	if f.IDs != nil {
		return v.bundlesByID(f, needle, p)
	}
	query, args, ok, err := v.plan(f, needle, p)
	if err != nil || !ok {
		return Found[Bundle]{}, err
	}
	var hits []bundleShown
	found := Found[Bundle]{Next: p.After}
	looks := 0
	err = v.each(bundleColumns+query, args, func(row scanner) (bool, error) {
		s, err := scanBundle(row)
		if err != nil {
			return false, err
		}
		hit := f.selects(&s, needle)
		if looks == maxLooks || hit && len(hits) == p.limit() {
			found.More = true
			return false, nil
		}
		looks++
		found.Next = s.Cursor
		if hit {
			hits = append(hits, s)
		}
		return true, v.alive()
	})
	if err != nil {
		return found, err
	}
	found.Rows, err = v.shown(hits)
	return found, err
}

// Bundles lists the bundles that f selects, a whole page of them however many
// rows that takes (see [View.FindBundles]).
func (v *View) Bundles(f BundleFilter, p Page) ([]Paged[Bundle], error) {
	return whole(p, func(p Page) (Found[Bundle], error) { return v.FindBundles(f, p) })
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

// selects reports whether f selects a bundle but for its IDs; needle is f's
// Search, folded.
func (f *BundleFilter) selects(s *bundleShown, needle string) bool {
	return !s.gone && (f.Collection == bundle.ID{} || s.Row.Collection == f.Collection) &&
		(f.Owner == bundle.ID{} || s.Row.Owner.Instance == f.Owner) && matches(&s.Row, needle)
}

// The queries narrow a listing by one index each. The rest of a filter is held
// against the rows, so that whoever counts rows counts all that is looked at.
const (
	queryAll        = ` WHERE b.id > ? ORDER BY b.id`
	queryCollection = ` WHERE b.id > ? AND b.collection = ? ORDER BY b.id`
	queryOwner      = ` WHERE b.id > ? AND b.owner = ? AND b.owner <> 0 ORDER BY b.id` // as the index of copies has it
	queryText       = ` JOIN bundle_text t ON t.rowid = b.id WHERE t.rowid > ? AND bundle_text MATCH ? ORDER BY t.rowid`
)

// plan chooses the query for a filter. ok is false if nothing can match.
func (v *View) plan(f BundleFilter, needle string, p Page) (query string, args []any, ok bool, err error) {
	from := clamp(p.After)
	match := matchQuery(needle)
	if f.Collection != (bundle.ID{}) {
		c, found, err := findCollection(v.session, f.Collection)
		if err != nil || !found || c.state == stateDeleted {
			return "", nil, false, err
		}
		if match == "" || c.bundles <= maxLooks {
			return queryCollection, []any{from, c.id}, true, nil
		}
	}
	if f.Owner != (bundle.ID{}) {
		owner, found, err := ownerOf(v.session, f.Owner)
		if err != nil || !found {
			return "", nil, false, err
		}
		if owner != 0 && match == "" {
			return queryOwner, []any{from, owner}, true, nil
		}
	}
	if match != "" {
		return queryText, []any{from, match}, true, nil
	}
	return queryAll, []any{from}, true, nil
}

// FindVersions lists the versions of the bundles that f selects, bundles in
// creation order, versions of each ascending, at a bounded cost as
// [View.FindBundles] does: bundles without versions are looked at, too.
func (v *View) FindVersions(f BundleFilter, p Page) (found Found[Version], err error) {
	limit := min(p.limit(), maxPage-1) // a row more is asked for, to know whether there is one
	begun, from := p.After>>versionBits, p.After&lastNumber
	after := begun
	if begun > 0 && from < lastNumber { // that bundle may have more
		after--
	}
	bundles, err := v.FindBundles(f, Page{After: after, Limit: limit})
	if err != nil {
		return found, err
	}
	found.Next, found.More = p.After, bundles.More
	if len(bundles.Rows) < limit { // as far as was looked, there are no more bundles
		found.Next = max(p.After, bundles.Next<<versionBits|lastNumber)
	}
	for _, b := range bundles.Rows {
		if b.Cursor != begun {
			from = 0
		}
		if b.Row.Head > from {
			vs, err := v.versionsOf(bundleRow{uuid: b.Row.ID, id: int64(b.Cursor)}, Page{After: from, Limit: limit + 1 - len(found.Rows)})
			if err != nil {
				return found, err
			}
			for _, version := range vs {
				version.Cursor = b.Cursor<<versionBits | min(version.Row.Number, lastNumber)
				found.Rows = append(found.Rows, version)
			}
		}
		if len(found.Rows) > limit {
			found.Rows, found.More = found.Rows[:limit], true
			found.Next = found.Rows[limit-1].Cursor
			return found, nil
		}
		found.Next = max(found.Next, b.Cursor<<versionBits|lastNumber)
	}
	return found, nil
}

// whole fills a page by as many looks as it takes.
func whole[T any](p Page, find func(Page) (Found[T], error)) (rows []Paged[T], err error) {
	for limit := p.limit(); ; {
		p.Limit = limit - len(rows)
		found, err := find(p)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found.Rows...)
		if !found.More || len(rows) == limit {
			return rows, nil
		}
		p.After = found.Next
	}
}

// A cursor of versions is the bundle's and, in its last bits, the number of the
// version in it.
const (
	versionBits = 24
	lastNumber  = 1<<versionBits - 1
)

// CountBundles returns how many bundles a listing of all that f selects looks at,
// counted no further than most + 1. It costs nothing that grows with the catalog,
// so it can be asked before every listing. Owner is not considered.
func (v *View) CountBundles(f BundleFilter, most int64) (int64, error) {
	if f.IDs != nil {
		return int64(len(f.IDs)), nil
	}
	st, err := loadState(v.session)
	n := st.bundlesOwn + st.bundlesCopy + st.bundlesWithdrawn
	if err == nil && f.Collection != (bundle.ID{}) {
		c, _, cerr := findCollection(v.session, f.Collection)
		n, err = c.bundles, cerr
	}
	match := matchQuery(fold(f.Search))
	if err != nil || n <= most || match == "" {
		return n, err
	}
	var hits int64
	_, err = v.get(`SELECT count(*) FROM (SELECT 1 FROM bundle_text WHERE bundle_text MATCH ? LIMIT +?)`, []any{match, most + 1}, &hits)
	return min(n, hits), err
}

// CountVersions is [View.CountBundles] for [View.FindVersions].
func (v *View) CountVersions(f BundleFilter) (n int64, err error) {
	switch {
	case f.IDs != nil:
		for _, id := range f.IDs {
			b, _, err := findBundle(v.session, id)
			if err != nil {
				return 0, err
			}
			n += b.nVersions
		}
		return n, nil
	case f.Collection != (bundle.ID{}):
		c, _, err := findCollection(v.session, f.Collection)
		return c.nVersions, err
	}
	st, err := loadState(v.session)
	return st.versions, err
}
