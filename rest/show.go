package rest

import (
	"cmp"
	"encoding/hex"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// printer appends objects as the API shows them. It lives as long as its view;
// the names it has looked up stay.
type printer struct {
	links
	api     *API
	files   []byte // what URLs of files begin with, as it stands in a JSON string
	path    []byte // of the file being signed
	now     time.Time
	view    *catalog.View
	owners  *primary.Owners
	bundles map[bundle.ID]catalog.Bundle // seen, for lists of versions
}

func (x *exchange) printer(v *catalog.View) *printer {
	base := x.base()
	files := appendString(nil, cmp.Or(x.cfg.FilesURL, base))
	p := &printer{
		links: links{base}, api: x.API, files: files[1 : len(files)-1], now: x.cfg.Now(), view: v,
		owners: primary.NewOwners(v), bundles: make(map[bundle.ID]catalog.Bundle),
	}
	return p
}

// owner appends the keys that say where an object can be written, and closes
// the object.
func (p *printer) owner(b []byte, o bundle.Owner) ([]byte, error) {
	name, own, err := p.owners.Name(o)
	if err != nil {
		return nil, err
	}
	b = appendKey(appendText(b, "primary", name), "read_only")
	if own {
		return append(b, "false}"...), nil
	}
	return append(b, "true}"...), nil
}

func (p *printer) collection(b []byte, c catalog.Collection) ([]byte, error) {
	b = appendText(append(b, '{'), "title", c.Title)
	b = appendText(b, "url", p.links.collection(c.ID))
	b = appendText(b, "uuid", c.ID.String())
	return p.owner(b, c.Owner)
}

func (p *printer) bundle(b []byte, o catalog.Bundle) ([]byte, error) {
	b = appendText(append(b, '{'), "collection", p.links.collection(o.Collection))
	b = appendText(b, "collection_uuid", o.Collection.String())
	b = appendText(b, "description", o.Description)
	b = append(appendKey(b, "drafts"), '{')
	_, own, err := p.owners.Name(o.Owner)
	if err != nil {
		return nil, err
	}
	if own { // copies have none
		err = catalog.Each(func(page catalog.Page) ([]catalog.Paged[catalog.Draft], error) { return p.view.Drafts(o.ID, page) },
			func(d catalog.Draft) error {
				b = appendText(b, d.Name, p.links.draft(d.ID))
				return nil
			})
	}
	if err != nil {
		return nil, err
	}
	b = appendText(append(b, '}'), "slug", o.Slug)
	b = appendText(b, "title", o.Title)
	b = appendText(b, "url", p.links.bundle(o.ID))
	b = appendText(b, "uuid", o.ID.String())
	b, err = p.versions(append(appendKey(b, "versions"), '['), o, own)
	if err != nil {
		return nil, err
	}
	return p.owner(append(b, ']'), o.Owner)
}

// versions appends the URLs of a bundle's versions.
func (p *printer) versions(b []byte, o catalog.Bundle, own bool) ([]byte, error) {
	add := func(number uint64) {
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		b = appendString(b, p.links.version(bundle.VersionRef{Bundle: o.ID, Number: number}))
	}
	if own && o.Owner.Epoch == 1 { // made here, so there is no gap
		for n := uint64(1); n <= o.Head; n++ {
			add(n)
		}
		return b, nil
	}
	err := catalog.Each(func(page catalog.Page) ([]catalog.Paged[catalog.Version], error) { return p.view.Versions(o.ID, page) },
		func(v catalog.Version) error {
			add(v.Number)
			return nil
		})
	return b, err
}

// draftHead appends a draft without what is in it, and leaves the object open.
func (p *printer) draftHead(b []byte, d catalog.Draft) []byte {
	b = appendText(append(b, '{'), "uuid", d.ID.String())
	b = appendText(b, "url", p.links.draft(d.ID))
	b = appendText(b, "bundle", p.links.bundle(d.Bundle))
	b = appendText(b, "bundle_uuid", d.Bundle.String())
	return appendText(b, "name", d.Name)
}

// ownDraft closes a draft. Drafts are always of own bundles.
func (p *printer) ownDraft(b []byte) ([]byte, error) {
	self, err := p.view.Instance()
	if err != nil {
		return nil, err
	}
	return p.owner(b, bundle.Owner{Instance: self.ID})
}

func (p *printer) draft(b []byte, d catalog.Draft) ([]byte, error) {
	return p.ownDraft(p.draftHead(b, d))
}

// draftDetail appends a draft with what it shows.
func (p *printer) draftDetail(b []byte, d *primary.DraftView) ([]byte, error) {
	b = append(appendKey(p.draftHead(b, d.Draft), "staged_draft"), '{')
	b = appendKey(b, "base_snapshot")
	if d.Base != nil {
		b = appendString(b, d.Base.Alias.String())
	} else {
		b = append(b, "null"...)
	}
	b = appendTime(appendKey(b, "created_at"), d.Draft.Created)
	b = appendTime(appendKey(b, "updated_at"), d.Draft.Updated)
	b = append(appendKey(b, "files"), '{')
	staged, committed := []byte(stagedFolder(d.Draft.ID)), []byte(committedFolder(d.Draft.Bundle))
	for _, f := range d.Files {
		b = appendKey(b, f.Path)
		if f.Modified {
			b = p.file(b, f.FileInfo, staged)
		} else {
			b = p.committed(b, f.FileInfo, committed)
		}
		b = appendBool(appendKey(b, "modified"), f.Modified)
		b = append(b, '}')
	}
	b = append(appendKey(append(b, '}'), "links"), '{')
	for _, l := range d.Links {
		b = appendLink(appendKey(b, l.Name), l.Link)
		b = appendBool(appendKey(b, "modified"), l.Modified)
		b = append(b, '}')
	}
	return p.ownDraft(append(b, "}}"...))
}

// versionHead appends a version without its content, and leaves the object open.
func (p *printer) versionHead(b []byte, v catalog.Version) []byte {
	b = appendText(append(b, '{'), "bundle", p.links.bundle(v.Bundle))
	b = appendText(b, "bundle_uuid", v.Bundle.String())
	b = appendText(b, "change_description", v.ChangeDescription)
	b = appendText(b, "url", p.links.version(v.VersionRef))
	return appendUint(appendKey(b, "version_num"), v.Number)
}

func (p *printer) version(b []byte, v catalog.Version) ([]byte, error) {
	o, ok := p.bundles[v.Bundle]
	if !ok {
		var err error
		if o, err = p.view.Bundle(v.Bundle); err != nil {
			return nil, err
		}
		p.bundles[v.Bundle] = o
	}
	return p.owner(p.versionHead(b, v), o.Owner)
}

// versionDetail appends a version with its content.
func (p *printer) versionDetail(b []byte, o bundle.Owner, v catalog.Version, m *bundle.Manifest, files []primary.FileInfo) ([]byte, error) {
	b = append(appendKey(p.versionHead(b, v), "snapshot"), '{')
	b = appendText(b, "hash_digest", v.Alias.String())
	b = appendTime(appendKey(b, "created_at"), v.Created)
	b = append(appendKey(b, "files"), '{')
	folder := []byte(committedFolder(v.Bundle))
	for _, f := range files {
		b = append(p.committed(appendKey(b, f.Path), f, folder), '}')
	}
	b = append(appendKey(append(b, '}'), "links"), '{')
	for _, l := range m.Links() {
		b = append(appendLink(appendKey(b, l.Name), l), '}')
	}
	return p.owner(append(b, "}}"...), o)
}

// committed appends a file of a version, whose URL is in a bundle's folder, and
// leaves the object open.
func (p *printer) committed(b []byte, f primary.FileInfo, folder []byte) []byte {
	p.path = append(hex.AppendEncode(append(p.path[:0], folder...), f.Digest[:]), '/')
	return p.file(b, f, p.path)
}

// file appends a file's keys, which are exactly these, and leaves the object
// open. dir, which may lie in p.path, is what precedes the file's path in its
// URL. A version has up to ten thousand files, so nothing here allocates.
func (p *printer) file(b []byte, f primary.FileInfo, dir []byte) []byte {
	b = append(append(b, `{"url":"`...), p.files...)
	b = append(append(append(b, dir...), escapePath(f.Path)...), '?')
	p.path = append(append(p.path[:0], dir...), f.Path...)
	b = append(p.api.cfg.URLSigner.AppendQuery(b, p.path, p.now), '"')
	b = appendInt(appendKey(b, "size"), f.Size)
	return appendHash(b, f.Hash)
}

// appendHash appends the digest of a file's bytes; "" if it is not known.
func appendHash(b []byte, h bundle.Hash20) []byte {
	b = append(appendKey(b, "hash_digest"), '"')
	if !h.IsZero() {
		b = hex.AppendEncode(b, h[:])
	}
	return append(b, '"')
}

// appendLink appends a link and leaves the object open.
func appendLink(b []byte, l bundle.Link) []byte { return appendLinkTo(append(b, '{'), l) }

// appendLinkTo appends where a link leads.
func appendLinkTo(b []byte, l bundle.Link) []byte {
	b = appendDependency(appendKey(b, "direct"), l.Direct)
	b = append(appendKey(b, "indirect"), '[')
	for i, d := range l.Indirect {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendDependency(b, d)
	}
	return append(b, ']')
}

// appendDependency appends exactly the keys that clients take.
func appendDependency(b []byte, d bundle.Dependency) []byte {
	b = appendText(append(b, '{'), "bundle_uuid", d.Bundle.String())
	b = appendUint(appendKey(b, "version"), d.Version)
	return append(appendText(b, "snapshot_digest", d.Snapshot.String()), '}')
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}
