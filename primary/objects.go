package primary

import (
	"context"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// NewCollection describes a collection to make. A zero ID is chosen here.
type NewCollection struct {
	ID    bundle.ID
	Title string
}

// CreateCollection makes a collection of this instance. KindConflict if the ID
// was ever used.
func (p *Primary) CreateCollection(ctx context.Context, n NewCollection) (catalog.Collection, error) {
	if err := checkFields(titleField("title", &n.Title)); err != nil {
		return catalog.Collection{}, err
	}
	id := orNew(n.ID)
	r, err := p.propose(ctx, 0, catalog.CreateCollection{ID: id, Title: n.Title})
	if err != nil {
		return catalog.Collection{}, err
	}
	return look(ctx, p, made(r, id), (*catalog.View).Collection)
}

// UpdateCollection gives a collection of this instance another title.
func (p *Primary) UpdateCollection(ctx context.Context, id bundle.ID, title string) (catalog.Collection, error) {
	if err := checkFields(titleField("title", &title)); err != nil {
		return catalog.Collection{}, err
	}
	if _, err := p.propose(ctx, 0, catalog.UpdateCollection{ID: id, Title: title}); err != nil {
		return catalog.Collection{}, err
	}
	return look(ctx, p, id, (*catalog.View).Collection)
}

// DeleteCollection withdraws a collection and its bundles.
func (p *Primary) DeleteCollection(ctx context.Context, id bundle.ID) error {
	_, err := p.propose(ctx, 0, catalog.DeleteCollection{ID: id})
	return err
}

// NewBundle describes a bundle to make. A zero ID is chosen here.
type NewBundle struct {
	ID, Collection           bundle.ID
	Slug, Title, Description string
}

// CreateBundle makes a bundle, without versions, in a collection of this
// instance.
func (p *Primary) CreateBundle(ctx context.Context, n NewBundle) (catalog.Bundle, error) {
	err := checkFields(slugField(&n.Slug), titleField("title", &n.Title), textField("description", &n.Description, maxDescription))
	if err != nil {
		return catalog.Bundle{}, err
	}
	id := orNew(n.ID)
	r, err := p.propose(ctx, 0, catalog.CreateBundle{
		ID: id, Collection: n.Collection, Slug: n.Slug, Title: n.Title, Description: n.Description,
	})
	if err != nil {
		return catalog.Bundle{}, err
	}
	return look(ctx, p, made(r, id), (*catalog.View).Bundle)
}

// BundleChange changes what is not nil. IfRevision, when not 0, must be the
// bundle's revision (KindPrecondition otherwise).
type BundleChange struct {
	Collection               *bundle.ID
	Slug, Title, Description *string
	IfRevision               uint64
}

// UpdateBundle changes a bundle's metadata or moves it to another collection.
func (p *Primary) UpdateBundle(ctx context.Context, id bundle.ID, c BundleChange) (catalog.Bundle, error) {
	for _, s := range []**string{&c.Slug, &c.Title, &c.Description} {
		if *s != nil {
			own := **s // to be trimmed, which the caller's is not
			*s = &own
		}
	}
	err := checkFields(slugField(c.Slug), titleField("title", c.Title), textField("description", c.Description, maxDescription))
	if err != nil {
		return catalog.Bundle{}, err
	}
	_, err = p.propose(ctx, 0, catalog.UpdateBundle{
		ID: id, Collection: c.Collection, Slug: c.Slug, Title: c.Title, Description: c.Description, IfRevision: c.IfRevision,
	})
	if err != nil {
		return catalog.Bundle{}, err
	}
	return look(ctx, p, id, (*catalog.View).Bundle)
}

// DeleteBundle withdraws a bundle: it is gone from here at once, and copies
// elsewhere are marked. Versions that link to it stay readable.
func (p *Primary) DeleteBundle(ctx context.Context, id bundle.ID) error {
	_, err := p.propose(ctx, 0, catalog.DeleteBundle{ID: id})
	return err
}

// DescribeVersion changes what a version says about its change, here only: the
// publication log keeps what was published.
func (p *Primary) DescribeVersion(ctx context.Context, ref bundle.VersionRef, description string) (catalog.Version, error) {
	if err := checkFields(textField("change_description", &description, maxChangeDescription)); err != nil {
		return catalog.Version{}, err
	}
	if _, err := p.propose(ctx, 0, catalog.DescribeVersion{VersionRef: ref, ChangeDescription: description}); err != nil {
		return catalog.Version{}, err
	}
	return look(ctx, p, ref, (*catalog.View).Version)
}

// NewDraft describes a draft to make. A zero ID is chosen here.
type NewDraft struct {
	ID, Bundle bundle.ID
	Name       string // unique in the bundle
}

// CreateDraft makes a draft of the bundle's newest version, of nothing if there
// is none.
func (p *Primary) CreateDraft(ctx context.Context, n NewDraft) (catalog.Draft, error) {
	if err := checkFields(titleField("name", &n.Name)); err != nil {
		return catalog.Draft{}, err
	}
	id := orNew(n.ID)
	r, err := p.propose(ctx, 0, catalog.CreateDraft{ID: id, Bundle: n.Bundle, Name: n.Name})
	if err != nil {
		return catalog.Draft{}, err
	}
	d, err := look(ctx, p, made(r, id), (*catalog.View).Draft)
	if bundle.IsKind(err, bundle.KindNotFound) { // it was made, and somebody has deleted it since
		return catalog.Draft{ID: made(r, id), Bundle: n.Bundle, Name: n.Name, Revision: r.Revision, Created: r.Time, Updated: r.Time}, nil
	}
	return d, err
}

// DeleteDraft forgets a draft and what was staged in it. Versions stay.
// ifRevision, when not 0, must be the draft's revision (KindPrecondition
// otherwise); while an instance is upgraded from a program that does not know it
// that is KindUnavailable.
func (p *Primary) DeleteDraft(ctx context.Context, id bundle.ID, ifRevision uint64) error {
	leave, err := p.drafts.enter(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	_, err = p.propose(ctx, 0, catalog.DeleteDraft{ID: id, IfRevision: ifRevision})
	return err
}

func orNew(id bundle.ID) bundle.ID {
	if id == (bundle.ID{}) {
		return bundle.NewID()
	}
	return id
}

// made returns what a creating command made: id, or what the same request made
// before.
func made(r catalog.Result, id bundle.ID) bundle.ID {
	if r.ID != (bundle.ID{}) {
		return r.ID
	}
	return id
}

// look reads one row.
func look[K, R any](ctx context.Context, p *Primary, key K, get func(*catalog.View, K) (R, error)) (row R, err error) {
	err = p.catalog.View(ctx, func(v *catalog.View) (err error) {
		row, err = get(v, key)
		return err
	})
	return row, err
}
