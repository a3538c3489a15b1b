package catalog

import (
	"github.com/blockstored/blockstored/bundle"
)

// DraftState is a draft with what decides how it reads and what a commit of it
// makes.
type DraftState struct {
	Draft Draft
	Base  Version // zero if based on nothing
	Head  Version // the bundle's newest, zero if it has none
	Files []OverlayFile
	Links []OverlayLink
}

const draftStateQuery = `SELECT d.id, d.uuid, b.uuid, d.name, d.base, d.revision, d.created, d.updated, b.id, b.head
 FROM drafts d JOIN bundles b ON b.id = d.bundle JOIN collections c ON c.id = b.collection WHERE d.uuid = ? AND` + draftLive

// DraftState returns the state of a draft, KindNotFound if there is none or its
// bundle is gone. Every change of a draft begins with it.
func (v *View) DraftState(id bundle.ID) (DraftState, error) {
	var s DraftState
	var row int64
	var head uint64
	d := &s.Draft
	ok, err := v.get(draftStateQuery, []any{id[:]}, new(int64), blob{d.ID[:]}, blob{d.Bundle[:]},
		&d.Name, &d.Base, &d.Revision, &d.Created, &d.Updated, &row, &head)
	if err == nil && !ok {
		err = notFound()
	}
	if err != nil {
		return s, err
	}
	if s.Base, err = v.versionOrNone(row, bundle.VersionRef{Bundle: d.Bundle, Number: d.Base}); err != nil {
		return s, err
	}
	if s.Head = s.Base; head != d.Base {
		if s.Head, err = v.versionOrNone(row, bundle.VersionRef{Bundle: d.Bundle, Number: head}); err != nil {
			return s, err
		}
	}
	s.Files, s.Links, err = v.overlay(id)
	return s, err
}

// versionOrNone returns a version of the bundle in row, the zero version for
// number 0.
func (v *View) versionOrNone(row int64, ref bundle.VersionRef) (Version, error) {
	if ref.Number == 0 {
		return Version{}, nil
	}
	version, ok, err := findVersion(v.session, row, ref)
	if err == nil && !ok {
		err = notFound()
	}
	return version, err
}
