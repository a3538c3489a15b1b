package access

import (
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// The scopes of a [catalog.Selector].
const (
	ScopeAll        = "all"
	ScopeCollection = "collection"
	ScopeBundle     = "bundle"
)

// CheckSelectors returns an error of [bundle.KindInvalid] unless every selector
// has a known scope and the target that goes with it.
func CheckSelectors(selectors []catalog.Selector) error {
	for _, s := range selectors {
		switch s.Scope {
		case ScopeAll:
			if s.Target != (bundle.ID{}) {
				return bundle.Errorf(bundle.KindInvalid, "the scope all takes no UUID")
			}
		case ScopeCollection, ScopeBundle:
			if s.Target == (bundle.ID{}) {
				return bundle.Errorf(bundle.KindInvalid, "the scope %s needs a UUID, as in %s=UUID", s.Scope, s.Scope)
			}
		default:
			return bundle.Errorf(bundle.KindInvalid, "unknown scope %q; it is all, collection=UUID or bundle=UUID", s.Scope)
		}
	}
	return nil
}

// The kinds of records that a [Sight] tells apart, numbered as in the log.
const (
	recordVersion    = 1
	recordCollection = 3
)

// Sight is what a set of selectors shows of this instance's own content. It
// lives as long as its view and, like it, is used by one goroutine; what it
// found out about a bundle it remembers.
type Sight struct {
	view        *catalog.View
	all         bool
	collections map[bundle.ID]bool
	bundles     map[bundle.ID]bool
	found       map[bundle.ID]reach
}

// reach is what is seen of one subject.
type reach struct {
	direct bool            // selected itself, or by its collection
	linked map[uint64]bool // else: the versions that selected versions depend on
	record map[int64]bool  // the log indexes of the linked versions' records
}

// Visible returns the sight of a peer by its grants.
func Visible(v *catalog.View, peer catalog.Peer) *Sight {
	return SightOf(v, peer.Grants)
}

// SightOf returns what the selectors show: everything; the bundles that are now
// in a collection, and it; or one bundle. To these are added the exact versions
// of other bundles that shown versions depend on, with what the log says of
// their bundles except of other versions, so that links hold. Only what this
// instance owns is ever shown.
func SightOf(v *catalog.View, selectors []catalog.Selector) *Sight {
	s := &Sight{
		view: v, collections: make(map[bundle.ID]bool), bundles: make(map[bundle.ID]bool), found: make(map[bundle.ID]reach),
	}
	for _, sel := range selectors {
		switch sel.Scope {
		case ScopeAll:
			s.all = true
		case ScopeCollection:
			s.collections[sel.Target] = true
		case ScopeBundle:
			s.bundles[sel.Target] = true
		}
	}
	return s
}

// Record reports whether a record of this instance's log is shown. Records that
// concern the whole instance are shown to everyone who is shown anything.
func (s *Sight) Record(rec catalog.Record) (bool, error) {
	if s.all {
		return true, nil
	}
	if rec.Subject == (bundle.ID{}) {
		return len(s.collections)+len(s.bundles) > 0, nil
	}
	if rec.Kind == recordCollection {
		return s.collections[rec.Subject], nil
	}
	r, err := s.reach(rec.Subject)
	switch {
	case err != nil || r.direct:
		return r.direct, err
	case rec.Kind == recordVersion:
		return r.record[rec.Index], nil
	}
	return len(r.linked) > 0, nil
}

// Version reports whether a version and its content are shown. One that does
// not exist here, or is another instance's, is not.
func (s *Sight) Version(ref bundle.VersionRef) (bool, error) {
	if own, err := s.own(ref.Bundle); err != nil || !own {
		return false, err
	}
	if _, err := s.view.Version(ref); err != nil {
		if bundle.IsKind(err, bundle.KindNotFound) {
			return false, nil
		}
		return false, err
	}
	r, err := s.reach(ref.Bundle)
	return err == nil && (r.direct || r.linked[ref.Number]), err
}

// reach finds out what is shown of a bundle, or of a collection as the subject
// of a record.
func (s *Sight) reach(id bundle.ID) (r reach, err error) {
	r, ok := s.found[id]
	if ok {
		return r, nil
	}
	if r.direct, err = s.selected(id); err == nil && !r.direct {
		err = s.follow(id, &r)
	}
	if err != nil {
		return reach{}, err
	}
	s.found[id] = r
	return r, nil
}

func (s *Sight) selected(id bundle.ID) (bool, error) {
	if s.all || s.bundles[id] || s.collections[id] {
		return true, nil
	}
	if len(s.collections) == 0 {
		return false, nil
	}
	collection, _, err := s.view.Home(id)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return false, nil
	}
	return err == nil && s.collections[collection], err
}

// own reports whether a bundle is, or was until it was deleted, this instance's.
func (s *Sight) own(id bundle.ID) (bool, error) {
	_, own, err := s.view.Home(id)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return false, nil
	}
	return own, err
}

// follow finds the versions of a bundle that selected versions depend on.
func (s *Sight) follow(id bundle.ID, r *reach) error {
	if any, err := s.dependedOn(bundle.VersionRef{Bundle: id}); err != nil || !any {
		return err
	}
	r.linked, r.record = make(map[uint64]bool), make(map[int64]bool)
	return catalog.Each(func(p catalog.Page) ([]catalog.Paged[catalog.Version], error) { return s.view.Versions(id, p) },
		func(v catalog.Version) error {
			linked, err := s.dependedOn(v.VersionRef)
			if linked {
				r.linked[v.Number], r.record[v.Record] = true, true
			}
			return err
		})
}

// dependedOn reports whether a selected version of this instance's depends on
// ref, directly or not; ref.Number 0 stands for any version.
func (s *Sight) dependedOn(ref bundle.VersionRef) (bool, error) {
	dependents, err := s.view.Dependents(ref)
	if err != nil {
		return false, err
	}
	seen := make(map[bundle.ID]bool)
	for _, d := range dependents {
		if seen[d.Bundle] {
			continue
		}
		seen[d.Bundle] = true
		selected, err := s.selected(d.Bundle)
		if err != nil {
			return false, err
		}
		if !selected {
			continue
		}
		if own, err := s.own(d.Bundle); err != nil || own {
			return own, err
		}
	}
	return false, nil
}
