package blockstored

import (
	"context"
	"iter"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func (s *state) collection(c catalog.Collection) (api.Collection, error) {
	name, own, err := s.owners.Name(c.Owner)
	return api.Collection{ID: c.ID, Title: c.Title, Primary: name, ReadOnly: !own}, err
}

// listed returns a bundle as lists show it, without its revision.
func (s *state) listed(b catalog.Bundle) (api.Bundle, error) {
	name, own, err := s.owners.Name(b.Owner)
	if err != nil {
		return api.Bundle{}, err
	}
	out := api.Bundle{
		ID: b.ID, Collection: b.Collection, Title: b.Title, Slug: b.Slug, Description: b.Description,
		Drafts: make(map[string]bundle.ID), Versions: []uint64{}, Primary: name, ReadOnly: !own,
	}
	if own { // copies have none
		err = catalog.Each(func(p catalog.Page) ([]catalog.Paged[catalog.Draft], error) { return s.Drafts(b.ID, p) },
			func(d catalog.Draft) error {
				out.Drafts[d.Name] = d.ID
				return nil
			})
		if err != nil {
			return out, err
		}
	}
	if own && b.Owner.Epoch == 1 { // made here, so there is no gap
		for n := range b.Head {
			out.Versions = append(out.Versions, n+1)
		}
		return out, nil
	}
	err = catalog.Each(func(p catalog.Page) ([]catalog.Paged[catalog.Version], error) { return s.Versions(b.ID, p) },
		func(v catalog.Version) error {
			out.Versions = append(out.Versions, v.Number)
			return nil
		})
	return out, err
}

func (s *state) bundle(b catalog.Bundle) (api.Bundle, error) {
	out, err := s.listed(b)
	out.Revision = b.Revision
	return out, err
}

// Collections implements [api.Collections].
func (i *Instance) Collections(ctx context.Context) iter.Seq2[api.Collection, error] {
	return list(ctx, i, func(s *state, p catalog.Page) (catalog.Found[catalog.Collection], error) {
		return catalog.FoundOf(s.Collections, p)
	}, (*state).collection)
}

// Collection implements [api.Collections].
func (i *Instance) Collection(ctx context.Context, id bundle.ID) (out api.Collection, err error) {
	err = i.view(ctx, func(s *state) error {
		c, err := s.Collection(id)
		if err != nil {
			return err
		}
		out, err = s.collection(c)
		return err
	})
	return out, err
}

// CreateCollection implements [api.Collections].
func (i *Instance) CreateCollection(ctx context.Context, title string) (api.Collection, error) {
	change, err := i.keyed(ctx, "CreateCollection", "")
	if err != nil {
		return api.Collection{}, err
	}
	c, err := i.primary.CreateCollection(change, primary.NewCollection{Title: title})
	if err != nil {
		return api.Collection{}, told(ctx, err)
	}
	return i.shownCollection(ctx, c)
}

func (i *Instance) shownCollection(ctx context.Context, c catalog.Collection) (out api.Collection, err error) {
	err = i.view(ctx, func(s *state) error {
		out, err = s.collection(c)
		return err
	})
	return out, err
}

// UpdateCollection implements [api.Collections].
func (i *Instance) UpdateCollection(ctx context.Context, id bundle.ID, title string) (api.Collection, error) {
	if err := i.ownCollection(ctx, id); err != nil {
		return api.Collection{}, err
	}
	change, err := i.keyed(ctx, "UpdateCollection", id.String())
	if err != nil {
		return api.Collection{}, err
	}
	c, err := i.primary.UpdateCollection(change, id, title)
	if err != nil {
		return api.Collection{}, told(ctx, err)
	}
	return i.shownCollection(ctx, c)
}

// DeleteCollection implements [api.Collections].
func (i *Instance) DeleteCollection(ctx context.Context, id bundle.ID) error {
	change, err := i.keyed(ctx, "DeleteCollection", id.String())
	if err != nil {
		return err
	}
	if err := i.ownCollection(ctx, id); err != nil && !maybeAnswered(change, err) {
		return err
	}
	return told(ctx, i.primary.DeleteCollection(change, id))
}

// ownCollection returns why a collection cannot be changed here.
func (i *Instance) ownCollection(ctx context.Context, id bundle.ID) error {
	err := i.decide(ctx)
	if err == nil {
		err = i.look(ctx, func(s *state) error {
			_, err := primary.OwnCollection(s.View, id)
			return err
		})
	}
	return told(ctx, err)
}

// ownBundle returns a bundle that can be changed here.
func (i *Instance) ownBundle(ctx context.Context, id bundle.ID) (b catalog.Bundle, err error) {
	if err = i.decide(ctx); err == nil {
		err = i.look(ctx, func(s *state) error {
			b, err = primary.OwnBundle(s.View, id)
			return err
		})
	}
	return b, told(ctx, err)
}

// Bundles implements [api.Bundles].
func (i *Instance) Bundles(ctx context.Context, f api.BundleFilter) iter.Seq2[api.Bundle, error] {
	if len(f.IDs) > api.MaxFilterIDs {
		return func(yield func(api.Bundle, error) bool) {
			yield(api.Bundle{}, bundle.Errorf(bundle.KindInvalid, "uuid: Ask for at most %d at once.", api.MaxFilterIDs))
		}
	}
	filter := catalog.BundleFilter{IDs: f.IDs, Collection: f.Collection, Search: primary.Trim(f.Text)}
	return list(ctx, i, func(s *state, p catalog.Page) (catalog.Found[catalog.Bundle], error) {
		return s.FindBundles(filter, p)
	}, (*state).listed)
}

// Bundle implements [api.Bundles].
func (i *Instance) Bundle(ctx context.Context, id bundle.ID) (out api.Bundle, err error) {
	err = i.view(ctx, func(s *state) error {
		b, err := s.Bundle(id)
		if err != nil {
			return err
		}
		out, err = s.bundle(b)
		return err
	})
	return out, err
}

func (i *Instance) shownBundle(ctx context.Context, b catalog.Bundle) (out api.Bundle, err error) {
	err = i.view(ctx, func(s *state) error {
		out, err = s.bundle(b)
		return err
	})
	return out, err
}

// CreateBundle implements [api.Bundles].
func (i *Instance) CreateBundle(ctx context.Context, n api.NewBundle) (api.Bundle, error) {
	if err := i.ownCollection(ctx, n.Collection); err != nil {
		return api.Bundle{}, referenced(err, "collection_uuid", n.Collection)
	}
	change, err := i.keyed(ctx, "CreateBundle", "")
	if err != nil {
		return api.Bundle{}, err
	}
	b, err := i.primary.CreateBundle(change, primary.NewBundle{
		Collection: n.Collection, Slug: n.Slug, Title: n.Title, Description: n.Description,
	})
	if err != nil {
		return api.Bundle{}, told(ctx, err)
	}
	return i.shownBundle(ctx, b)
}

// UpdateBundle implements [api.Bundles].
func (i *Instance) UpdateBundle(ctx context.Context, id bundle.ID, c api.BundleChange) (api.Bundle, error) {
	b, err := i.ownBundle(ctx, id)
	if err != nil {
		return api.Bundle{}, err
	}
	if c.Collection != nil {
		if err := i.ownCollection(ctx, *c.Collection); err != nil {
			return api.Bundle{}, referenced(err, "collection_uuid", *c.Collection)
		}
	}
	change, err := i.keyed(ctx, "UpdateBundle", id.String())
	if err != nil {
		return api.Bundle{}, err
	}
	switch wanted := c.IfRevision; {
	case c != api.BundleChange{IfRevision: wanted}:
		b, err = i.primary.UpdateBundle(change, id, primary.BundleChange{
			Collection: c.Collection, Slug: c.Slug, Title: c.Title, Description: c.Description, IfRevision: wanted,
		})
		if err != nil {
			return api.Bundle{}, told(ctx, err)
		}
	case wanted != 0 && wanted != b.Revision:
		return api.Bundle{}, bundle.Errorf(bundle.KindPrecondition, "bundle %s has changed since; read it again", id)
	}
	return i.shownBundle(ctx, b)
}

// DeleteBundle implements [api.Bundles].
func (i *Instance) DeleteBundle(ctx context.Context, id bundle.ID) error {
	change, err := i.keyed(ctx, "DeleteBundle", id.String())
	if err != nil {
		return err
	}
	if _, err := i.ownBundle(ctx, id); err != nil && !maybeAnswered(change, err) {
		return err
	}
	return told(ctx, i.primary.DeleteBundle(change, id))
}

// ForkBundle implements [api.Bundles].
func (i *Instance) ForkBundle(ctx context.Context, of bundle.ID, f api.Fork) (api.Bundle, error) {
	n := primary.NewBundle{Collection: f.Collection, Slug: f.Slug, Title: f.Title}
	from := bundle.VersionRef{Bundle: of, Number: f.Version}
	err := i.view(ctx, func(s *state) error {
		b, err := s.Bundle(of)
		if err != nil {
			return err
		}
		if from.Number == 0 {
			from.Number = b.Head
		}
		if n.Title == "" {
			n.Title = b.Title
		}
		if n.Slug == "" {
			n.Slug = b.Slug
		}
		if n.Description = b.Description; f.Description != nil {
			n.Description = *f.Description
		}
		if _, err = s.Version(from); bundle.IsKind(err, bundle.KindNotFound) {
			err = bundle.Errorf(bundle.KindInvalid, "version: This bundle has no such version.")
		}
		return err
	})
	if err != nil {
		return api.Bundle{}, err
	}
	if err := i.ownCollection(ctx, f.Collection); err != nil {
		return api.Bundle{}, referenced(err, "collection_uuid", f.Collection)
	}
	change, err := i.keyed(ctx, "ForkBundle", of.String())
	if err != nil {
		return api.Bundle{}, err
	}
	b, err := i.primary.Fork(change, from, n)
	if err != nil {
		return api.Bundle{}, told(ctx, err)
	}
	return i.shownBundle(ctx, b)
}

// Borrowers implements [api.Bundles].
func (i *Instance) Borrowers(ctx context.Context, id bundle.ID) iter.Seq2[api.Borrower, error] {
	return func(yield func(api.Borrower, error) bool) {
		for after := (catalog.Borrower{}); ; {
			var items []api.Borrower
			err := i.view(ctx, func(s *state) error {
				if _, err := s.Bundle(id); err != nil {
					return err
				}
				rows, err := s.View.Borrowers(id, after, pageRows)
				for _, r := range rows {
					items = append(items, api.Borrower{Bundle: r.Bundle, Version: r.Number, Target: r.Target, Direct: r.Direct})
					after = r
				}
				return err
			})
			if !each(items, err, yield) || len(items) < pageRows {
				return
			}
		}
	}
}
