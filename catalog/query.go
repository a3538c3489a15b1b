package catalog

import (
	"github.com/blockstored/blockstored/bundle"
)

// maxPage is how many rows a page has at most.
const maxPage = 10_000

func (p Page) limit() int {
	switch {
	case p.Limit <= 0:
		return 1000
	case p.Limit > maxPage:
		return maxPage
	}
	return p.Limit
}

const collectionColumns = `SELECT c.id, c.uuid, c.title, c.owner, c.epoch, c.created, c.revision, c.placeholder,
 coalesce((SELECT uuid FROM peers WHERE id = c.owner), (SELECT uuid FROM instance)) FROM collections c`

func scanCollection(row scanner) (p Paged[Collection], err error) {
	c := &p.Row
	err = row.Scan(&p.Cursor, blob{c.ID[:]}, &c.Title, new(int64), &c.Owner.Epoch, &c.Created, &c.Revision, &c.Placeholder,
		blob{c.Owner.Instance[:]})
	return p, err
}

// Collection returns one collection, KindNotFound if there is none or it was
// deleted here.
func (v *View) Collection(id bundle.ID) (Collection, error) {
	cs, err := collect(v.session, collectionColumns+` WHERE c.uuid = ? AND c.state <> 1`, []any{id[:]}, scanCollection)
	if err != nil {
		return Collection{}, err
	}
	if len(cs) == 0 {
		return Collection{}, notFound()
	}
	return cs[0].Row, nil
}

// Collections lists collections.
func (v *View) Collections(p Page) ([]Paged[Collection], error) {
	return collect(v.session, collectionColumns+` WHERE c.id > ? AND c.state <> 1 ORDER BY c.id LIMIT +?`,
		[]any{clamp(p.After), p.limit()}, scanCollection)
}

const versionColumns = `SELECT v.num, v.record, v.files, v.bytes, v.description, v.body, r.body, (SELECT uuid FROM instance)
 FROM versions v LEFT JOIN log_records r ON v.body IS NULL AND r.id = v.record`

// scanVersion reads a version of bundle.
func scanVersion(of bundle.ID) func(scanner) (Version, error) {
	return func(row scanner) (Version, error) {
		v := Version{VersionRef: bundle.VersionRef{Bundle: of}}
		var description *string
		var body, stored []byte
		var instance bundle.ID
		if err := row.Scan(&v.Number, &v.Record, &v.Files, &v.Bytes, &description, &body, &stored, blob{instance[:]}); err != nil {
			return v, err
		}
		record, err := lengthen(stored, of, instance)
		if err != nil {
			return v, err
		}
		text, err := textOf(body, record)
		if err != nil {
			return v, err
		}
		v.Manifest, v.Alias, v.Created = text.Manifest, text.Alias, text.Created
		v.ChangeDescription, v.License, v.Attribution = text.ChangeDescription, text.License, text.Attribution
		v.Redistribute = text.Redistribute
		if description != nil {
			v.ChangeDescription = *description
		}
		return v, nil
	}
}

func findVersion(s *session, row int64, ref bundle.VersionRef) (Version, bool, error) {
	vs, err := collect(s, versionColumns+` WHERE v.bundle = ? AND v.num = ?`, []any{row, clamp(ref.Number)}, scanVersion(ref.Bundle))
	if err != nil || len(vs) == 0 {
		return Version{}, false, err
	}
	return vs[0], true, nil
}

// bundleOf returns the row of a bundle that queries may show.
func (v *View) bundleOf(id bundle.ID) (bundleRow, error) {
	b, ok, err := findBundle(v.session, id)
	if err == nil && (!ok || b.gone()) {
		err = notFound()
	}
	return b, err
}

// Version returns one version, KindNotFound if there is none.
func (v *View) Version(ref bundle.VersionRef) (Version, error) {
	b, err := v.bundleOf(ref.Bundle)
	if err != nil {
		return Version{}, err
	}
	version, ok, err := findVersion(v.session, b.id, ref)
	if err == nil && !ok {
		err = notFound()
	}
	return version, err
}

// Versions lists a bundle's versions in ascending order; cursors are their
// numbers. KindNotFound if there is no such bundle.
func (v *View) Versions(of bundle.ID, p Page) ([]Paged[Version], error) {
	b, err := v.bundleOf(of)
	if err != nil {
		return nil, err
	}
	return v.versionsOf(b, p)
}

func (v *View) versionsOf(b bundleRow, p Page) ([]Paged[Version], error) {
	scan := scanVersion(b.uuid)
	return collect(v.session, versionColumns+` WHERE v.bundle = ? AND v.num > ? ORDER BY v.num LIMIT +?`,
		[]any{b.id, clamp(p.After), p.limit()}, func(row scanner) (Paged[Version], error) {
			version, err := scan(row)
			return Paged[Version]{Row: version, Cursor: version.Number}, err
		})
}

const draftColumns = `SELECT d.id, d.uuid, b.uuid, d.name, d.base, d.revision, d.created, d.updated
 FROM drafts d JOIN bundles b ON b.id = d.bundle JOIN collections c ON c.id = b.collection`

const draftLive = ` d.state = 0 AND b.state <> 1 AND c.state <> 1`

func scanDraft(row scanner) (p Paged[Draft], err error) {
	d := &p.Row
	err = row.Scan(&p.Cursor, blob{d.ID[:]}, blob{d.Bundle[:]}, &d.Name, &d.Base, &d.Revision, &d.Created, &d.Updated)
	return p, err
}

// Draft returns one draft, KindNotFound if there is none or its bundle is gone.
func (v *View) Draft(id bundle.ID) (Draft, error) {
	ds, err := collect(v.session, draftColumns+` WHERE d.uuid = ? AND`+draftLive, []any{id[:]}, scanDraft)
	if err != nil {
		return Draft{}, err
	}
	if len(ds) == 0 {
		return Draft{}, notFound()
	}
	return ds[0].Row, nil
}

// Drafts lists the drafts of a bundle, or all of them for the zero ID.
func (v *View) Drafts(of bundle.ID, p Page) ([]Paged[Draft], error) {
	if of == (bundle.ID{}) {
		return collect(v.session, draftColumns+` WHERE d.id > ? AND`+draftLive+` ORDER BY d.id LIMIT +?`,
			[]any{clamp(p.After), p.limit()}, scanDraft)
	}
	return collect(v.session, draftColumns+` WHERE b.uuid = ? AND d.id > ? AND`+draftLive+` ORDER BY d.id LIMIT +?`,
		[]any{of[:], clamp(p.After), p.limit()}, scanDraft)
}

// OverlayLink is one visible link operation of a draft's overlay.
type OverlayLink struct {
	LinkOp
	Modified int64
}

// Overlay returns what a draft changes of its base: files by path, links by
// name.
func (v *View) Overlay(draft bundle.ID) (files []OverlayFile, links []OverlayLink, err error) {
	if _, err := v.Draft(draft); err != nil {
		return nil, nil, err
	}
	return v.overlay(draft)
}

// overlay is Overlay of a draft that is there.
func (v *View) overlay(draft bundle.ID) (files []OverlayFile, links []OverlayLink, err error) {
	if files, err = overlayFiles(v, draft); err != nil {
		return nil, nil, err
	}
	links, err = collect(v.session, `SELECT l.name, l.modified, l.body FROM draft_links l JOIN drafts d ON d.id = l.draft
 WHERE d.uuid = ? AND l.seq > d.floor ORDER BY l.name`, []any{draft[:]}, func(row scanner) (OverlayLink, error) {
		var l OverlayLink
		var name string
		var body []byte
		if err := row.Scan(&name, &l.Modified, &body); err != nil {
			return l, err
		}
		if body == nil {
			l.Name, l.Delete = name, true
			return l, nil
		}
		return l, unpack(body, &l.LinkOp, shapeLinkOp)
	})
	return files, links, err
}

const overlayQuery = `SELECT f.path, f.digest, f.size, coalesce(p.seq, f.seq) AS seq, coalesce(p.modified, f.modified)
 FROM drafts d JOIN draft_files f ON f.draft = d.id LEFT JOIN patches p ON p.id = f.patch
 WHERE d.uuid = ? AND coalesce(p.seq, f.seq) > d.floor ORDER BY f.path`

// overlayFiles keeps of each path the visible operation that came last.
func overlayFiles(v *View, draft bundle.ID) (files []OverlayFile, err error) {
	last := int64(0) // the sequence number of the last of files
	err = v.each(overlayQuery, []any{draft[:]}, func(row scanner) (bool, error) {
		var f OverlayFile
		var digest []byte
		var seq int64
		if err := row.Scan(&f.Path, &digest, &f.Size, &seq, &f.Modified); err != nil {
			return false, err
		}
		if digest == nil {
			f.Delete = true
		} else {
			f.Digest = bundle.Digest(digest)
		}
		switch n := len(files); {
		case n == 0 || files[n-1].Path != f.Path:
			files, last = append(files, f), seq
		case seq > last:
			files[n-1], last = f, seq
		}
		return true, v.alive()
	})
	return files, err
}

// Deps returns the versions a version's links reach, as its commit named them.
func (v *View) Deps(ref bundle.VersionRef) ([]Dep, error) {
	b, ok, err := findBundle(v.session, ref.Bundle)
	if err != nil || !ok {
		return nil, err
	}
	return collect(v.session, `SELECT target, target_num, direct FROM deps WHERE bundle = ? AND num = ? ORDER BY ordinal`,
		[]any{b.id, clamp(ref.Number)}, func(row scanner) (d Dep, err error) {
			err = row.Scan(blob{d.Bundle[:]}, &d.Number, &d.Direct)
			return d, err
		})
}

// Dependents returns the versions whose links reach a version, directly or
// not, in the order they were made; Number 0 stands for any version of the
// bundle. Versions of bundles deleted here are among them.
func (v *View) Dependents(ref bundle.VersionRef) ([]bundle.VersionRef, error) {
	low, high := clamp(ref.Number), clamp(ref.Number)
	if ref.Number == 0 {
		high = clamp(1<<63 - 1)
	}
	return collect(v.session, dependentsQuery, []any{ref.Bundle[:], low, high}, func(row scanner) (r bundle.VersionRef, err error) {
		err = row.Scan(blob{r.Bundle[:]}, &r.Number)
		return r, err
	})
}

const dependentsQuery = `SELECT DISTINCT b.uuid, d.num FROM deps d JOIN bundles b ON b.id = d.bundle
 WHERE d.target = ? AND d.target_num BETWEEN ? AND ? ORDER BY d.bundle, d.num`
