package primary

import (
	"context"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// VersionDiff is what leads from one version of a bundle to another. Files are
// by path and links by name.
type VersionDiff struct {
	Files Changes[FileInfo]
	Links Changes[bundle.Link]
}

// Changes are the items of one kind that differ: what was added and what was
// changed as it is in the later version, what was deleted as it was.
type Changes[T any] struct{ Added, Changed, Deleted []T }

// Diff compares version a of a bundle with version b. KindNotFound if there is
// no such bundle, or it has not both.
//
// The cost grows with what differs: pages that both have are not read.
func (p *Primary) Diff(ctx context.Context, of bundle.ID, a, b uint64) (*VersionDiff, error) {
	var from, to catalog.Version
	err := p.catalog.View(ctx, func(v *catalog.View) (err error) {
		if from, err = v.Version(bundle.VersionRef{Bundle: of, Number: a}); err != nil {
			return err
		}
		to, err = v.Version(bundle.VersionRef{Bundle: of, Number: b})
		return err
	})
	if err != nil {
		return nil, err
	}
	old, err := p.manifest(ctx, from.Manifest)
	if err != nil {
		return nil, err
	}
	now, err := p.manifest(ctx, to.Manifest)
	if err != nil {
		return nil, err
	}
	d := &VersionDiff{Links: diffLinks(old.Links(), now.Links())}
	err = bundle.Diff(ctx, old, now, p.fetch, func(_ string, was, is *bundle.File) error {
		switch {
		case was == nil:
			d.Files.Added = append(d.Files.Added, FileInfo{File: *is})
		case is == nil:
			d.Files.Deleted = append(d.Files.Deleted, FileInfo{File: *was})
		default:
			d.Files.Changed = append(d.Files.Changed, FileInfo{File: *is})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, files := range [][]FileInfo{d.Files.Added, d.Files.Changed, d.Files.Deleted} {
		if err := p.hash(ctx, files); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// diffLinks compares links, which both lists have by name.
func diffLinks(old, now []bundle.Link) (c Changes[bundle.Link]) {
	was := byName(old)
	for _, l := range now {
		before, ok := was[l.Name]
		delete(was, l.Name)
		switch {
		case !ok:
			c.Added = append(c.Added, l)
		case before.Direct != l.Direct || !slices.Equal(before.Indirect, l.Indirect):
			c.Changed = append(c.Changed, l)
		}
	}
	for _, l := range old {
		if _, gone := was[l.Name]; gone {
			c.Deleted = append(c.Deleted, l)
		}
	}
	return c
}
