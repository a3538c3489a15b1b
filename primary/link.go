package primary

import (
	"context"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// LinkEdit sets or deletes one link of a draft.
type LinkEdit struct {
	Name    string
	Delete  bool
	Bundle  bundle.ID // the version linked to, own or copied
	Version int64
}

// errCycle is the original's text: clients know it.
func errCycle() error {
	return bundle.Errorf(bundle.KindInvalid, "Link cycle detected: Cannot create draft.")
}

// closeLinks composes what edits do, in their order: each link's direct
// dependency and all that depends on. The first problem is the error.
func (p *Primary) closeLinks(ctx context.Context, edits []LinkEdit) ([]catalog.LinkOp, error) {
	ops := make([]catalog.LinkOp, len(edits))
	for i, e := range edits {
		ops[i] = catalog.LinkOp{Delete: e.Delete, Link: bundle.Link{Name: e.Name}}
		if err := checkLinkName(e.Name); err != nil {
			return nil, err
		}
		if e.Delete {
			continue
		}
		target, m, err := p.target(ctx, e)
		if err != nil {
			return nil, err
		}
		ops[i].Direct = bundle.Dependency{Bundle: e.Bundle, Version: target.Number, Snapshot: target.Alias}
		ops[i].Indirect = closure(m.Links())
	}
	return ops, nil
}

// target finds the version an edit links to.
func (p *Primary) target(ctx context.Context, e LinkEdit) (catalog.Version, *bundle.Manifest, error) {
	missing := bundle.Errorf(bundle.KindInvalid, "BundleVersion (%s, %d) referenced in Link %s does not exist.", e.Bundle, e.Version, e.Name)
	if e.Version < 1 {
		return catalog.Version{}, nil, missing
	}
	v, m, err := p.Snapshot(ctx, bundle.VersionRef{Bundle: e.Bundle, Number: uint64(e.Version)})
	if bundle.IsKind(err, bundle.KindNotFound) || bundle.IsKind(err, bundle.KindGone) {
		err = missing
	}
	return v, m, err
}

// closure returns all that the links reach, sorted and each once.
func closure(links []bundle.Link) []bundle.Dependency {
	var all []bundle.Dependency
	for _, l := range links {
		all = append(append(all, l.Direct), l.Indirect...)
	}
	slices.SortFunc(all, bundle.Dependency.Compare)
	return slices.Compact(all)
}

// checkCycle refuses links of bundle self that lead back to any version of it.
func checkCycle(self bundle.ID, ops []catalog.LinkOp) error {
	own := func(d bundle.Dependency) bool { return d.Bundle == self }
	for _, op := range ops {
		if !op.Delete && (own(op.Direct) || slices.ContainsFunc(op.Indirect, own)) {
			return errCycle()
		}
	}
	return nil
}
