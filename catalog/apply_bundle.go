package catalog

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// States of a row of collections, bundles and drafts.
const (
	stateLive      = 0
	stateDeleted   = 1 // by this instance
	stateWithdrawn = 2 // by its primary elsewhere
)

// collectionRow is a collection as apply needs it.
type collectionRow struct {
	id, owner, epoch, state    int64
	uuid                       bundle.ID
	title                      string
	lastLeaf                   tlog.Hash
	placeholder                bool
	bundles, drafts, nVersions int64
}

// bundleRow is a bundle as apply needs it.
type bundleRow struct {
	id, collection, owner, epoch, state int64
	uuid                                bundle.ID
	slug, title, description            string
	revision, head                      int64
	lastLeaf                            tlog.Hash
	drafts, nVersions                   int64
	collectionState                     int64
}

func findCollection(s *session, id bundle.ID) (c collectionRow, ok bool, err error) {
	c.uuid = id
	ok, err = s.get(`SELECT id, owner, epoch, state, title, last_leaf, placeholder, bundles, drafts, versions
 FROM collections WHERE uuid = ?`, []any{id[:]},
		&c.id, &c.owner, &c.epoch, &c.state, &c.title, blob{c.lastLeaf[:]}, &c.placeholder, &c.bundles, &c.drafts, &c.nVersions)
	return c, ok, err
}

const bundleRowColumns = `SELECT b.id, b.collection, b.owner, b.epoch, b.state, b.uuid, b.slug, b.title, b.description,
 b.revision, b.head, b.last_leaf, b.drafts, b.versions, c.state FROM bundles b JOIN collections c ON c.id = b.collection`

func (b *bundleRow) fields() []any {
	return []any{&b.id, &b.collection, &b.owner, &b.epoch, &b.state, blob{b.uuid[:]}, &b.slug, &b.title, &b.description,
		&b.revision, &b.head, blob{b.lastLeaf[:]}, &b.drafts, &b.nVersions, &b.collectionState}
}

func findBundle(s *session, id bundle.ID) (b bundleRow, ok bool, err error) {
	ok, err = s.get(bundleRowColumns+` WHERE b.uuid = ?`, []any{id[:]}, b.fields()...)
	return b, ok, err
}

// gone reports whether this instance deleted the bundle or its collection.
func (b *bundleRow) gone() bool { return b.state == stateDeleted || b.collectionState == stateDeleted }

// readOnly is the refusal of a write to what another instance owns. what names
// it, such as "Bundle".
func (a *applier) readOnly(what string, id bundle.ID, owner int64) error {
	p, ok, err := findPeer(a.session, `id = ?`, owner)
	if err != nil {
		return err
	}
	if !ok {
		return bundle.Errorf(bundle.KindReadOnly, "%s %s is a read-only copy", what, id)
	}
	url := ""
	if len(p.Addresses) > 0 {
		url = p.Addresses[0]
	}
	return bundle.Errorf(bundle.KindReadOnly, "%s %s is a read-only copy; its primary is %s", what, id, p.Name).
		With("primary_name", p.Name).With("primary_url", url).With("primary_id", p.ID.String())
}

// ownCollection returns a collection that may be written here.
func (a *applier) ownCollection(id bundle.ID) (collectionRow, error) {
	c, ok, err := findCollection(a.session, id)
	switch {
	case err != nil:
	case !ok || c.state == stateDeleted:
		err = notFound()
	case c.owner != 0:
		err = a.readOnly("Collection", id, c.owner)
	}
	return c, err
}

// ownBundle returns a bundle that may be written here.
func (a *applier) ownBundle(id bundle.ID) (bundleRow, error) {
	b, ok, err := findBundle(a.session, id)
	switch {
	case err != nil:
	case !ok || b.gone():
		err = notFound()
	case b.owner != 0:
		err = a.readOnly("Bundle", id, b.owner)
	}
	return b, err
}

// collectionFor returns the collection that a bundle is put into.
func (a *applier) collectionFor(id bundle.ID) (collectionRow, error) {
	c, err := a.ownCollection(id)
	if bundle.IsKind(err, bundle.KindNotFound) {
		err = bundle.Errorf(bundle.KindInvalid, "Object with uuid=%s does not exist.", id).With("field", "collection_uuid")
	}
	return c, err
}

func (a *applier) createCollection(b CreateCollection) error {
	if _, ok, err := findCollection(a.session, b.ID); err != nil || ok {
		if err == nil {
			err = bundle.Errorf(bundle.KindConflict, "the collection %s exists, or existed; use a new UUID", b.ID)
		}
		return err
	}
	id := a.state.id()
	if err := a.run(`INSERT INTO collections (id, uuid, title, owner, epoch, created, revision, last_leaf, state,
 placeholder, bundles, drafts, versions) VALUES (?, ?, ?, 0, 1, ?, 1, x'', 0, 0, 0, 0, 0)`,
		id, b.ID[:], b.Title, a.now); err != nil {
		return err
	}
	a.state.collections++
	a.result.ID = b.ID
	return a.publishCollection(&collectionRow{id: id, uuid: b.ID, epoch: 1, title: b.Title})
}

func (a *applier) publishCollection(c *collectionRow) error {
	_, leaf, err := a.publish(c.id, publog.Record{
		Kind: publog.RecordCollection, Subject: c.uuid, Owner: bundle.Owner{Epoch: uint64(c.epoch)}, Prev: c.lastLeaf,
		Collection: &publog.CollectionBody{Title: c.title},
	})
	if err != nil {
		return err
	}
	return a.run(`UPDATE collections SET last_leaf = ? WHERE id = ?`, leaf[:], c.id)
}

func (a *applier) updateCollection(b UpdateCollection) error {
	c, err := a.ownCollection(b.ID)
	if err != nil {
		return err
	}
	a.result.ID = b.ID
	if c.title == b.Title {
		return nil
	}
	c.title = b.Title
	if err := a.run(`UPDATE collections SET title = ?, revision = revision + 1 WHERE id = ?`, b.Title, c.id); err != nil {
		return err
	}
	return a.publishCollection(&c)
}

func (a *applier) deleteCollection(b DeleteCollection) error {
	c, err := a.ownCollection(b.ID)
	if err != nil {
		return err
	}
	_, leaf, err := a.publish(c.id, publog.Record{
		Kind: publog.RecordWithdrawal, Subject: c.uuid, Owner: bundle.Owner{Epoch: uint64(c.epoch)}, Prev: c.lastLeaf,
		Withdrawal: &publog.WithdrawalBody{},
	})
	if err != nil {
		return err
	}
	if err := a.run(`UPDATE collections SET state = 1, last_leaf = ?, revision = revision + 1 WHERE id = ?`, leaf[:], c.id); err != nil {
		return err
	}
	a.state.collections--
	a.state.bundlesOwn -= c.bundles
	a.state.drafts -= c.drafts
	a.state.versions -= c.nVersions
	a.result.ID = b.ID
	return a.discard(trashCollection, c.id, 0)
}

func (a *applier) createBundle(b CreateBundle) error {
	if _, ok, err := findBundle(a.session, b.ID); err != nil || ok {
		if err == nil {
			err = bundle.Errorf(bundle.KindConflict, "the bundle %s exists, or existed; use a new UUID", b.ID)
		}
		return err
	}
	c, err := a.collectionFor(b.Collection)
	if err != nil {
		return err
	}
	row := bundleRow{id: a.state.id(), collection: c.id, epoch: 1, uuid: b.ID,
		slug: b.Slug, title: b.Title, description: b.Description}
	if err := a.insertBundle(&row); err != nil {
		return err
	}
	a.state.bundlesOwn++
	a.result.ID = b.ID
	return a.publishBundle(&row, c.uuid)
}

// insertBundle adds a bundle without versions; own or copied.
func (a *applier) insertBundle(b *bundleRow) error {
	if err := a.run(`INSERT INTO bundles (id, uuid, collection, owner, epoch, slug, title, description, created, revision,
 head, last_leaf, last_index, state, drafts, versions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0, x'', 0, 0, 0, 0)`,
		b.id, b.uuid[:], b.collection, b.owner, b.epoch, b.slug, b.title, b.description, a.now); err != nil {
		return err
	}
	if err := a.run(`UPDATE collections SET bundles = bundles + 1 WHERE id = ?`, b.collection); err != nil {
		return err
	}
	return a.index(b)
}

// publishBundle appends the record of a bundle's metadata.
func (a *applier) publishBundle(b *bundleRow, collection bundle.ID) error {
	index, leaf, err := a.publish(b.id, publog.Record{
		Kind: publog.RecordBundle, Subject: b.uuid, Owner: bundle.Owner{Epoch: uint64(b.epoch)}, Prev: b.lastLeaf,
		Bundle: &publog.BundleBody{Collection: collection, Slug: b.slug, Title: b.title, Description: b.description},
	})
	if err != nil {
		return err
	}
	return a.run(`UPDATE bundles SET last_leaf = ?, last_index = ? WHERE id = ?`, leaf[:], index, b.id)
}

func (a *applier) updateBundle(b UpdateBundle) error {
	row, err := a.ownBundle(b.ID)
	if err != nil {
		return err
	}
	if b.IfRevision != 0 && clamp(b.IfRevision) != row.revision {
		return bundle.Errorf(bundle.KindPrecondition, "bundle %s has changed since; read it again", b.ID)
	}
	var to collectionRow
	if b.Collection != nil {
		if to, err = a.collectionFor(*b.Collection); err != nil {
			return err
		}
	} else if ok, err := a.get(`SELECT id, uuid FROM collections WHERE id = ?`, []any{row.collection}, &to.id, blob{to.uuid[:]}); err != nil || !ok {
		return err
	}
	a.result.ID, a.result.Revision = b.ID, uint64(row.revision)
	was := row
	for _, set := range []struct{ to, from *string }{{&row.slug, b.Slug}, {&row.title, b.Title}, {&row.description, b.Description}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	if row == was && to.id == row.collection {
		return nil
	}
	a.result.Revision++
	if err := a.moveBundle(&row, to.id); err != nil {
		return err
	}
	if err := a.writeBundle(&row); err != nil {
		return err
	}
	return a.publishBundle(&row, to.uuid)
}

// moveBundle puts a bundle into another collection, or does nothing.
func (a *applier) moveBundle(b *bundleRow, to int64) error {
	if to == b.collection {
		return nil
	}
	const move = `UPDATE collections SET bundles = bundles + ?, drafts = drafts + ?, versions = versions + ? WHERE id = ?`
	live := int64(0)
	if b.state == stateLive {
		live = 1
	}
	if err := a.run(move, -live, -live*b.drafts, -live*b.nVersions, b.collection); err != nil {
		return err
	}
	b.collection = to
	return a.run(move, live, live*b.drafts, live*b.nVersions, to)
}

// writeBundle stores a bundle's metadata and raises its revision.
func (a *applier) writeBundle(b *bundleRow) error {
	if err := a.run(`UPDATE bundles SET collection = ?, slug = ?, title = ?, description = ?, revision = revision + 1 WHERE id = ?`,
		b.collection, b.slug, b.title, b.description, b.id); err != nil {
		return err
	}
	return a.index(b)
}

func (a *applier) deleteBundle(b DeleteBundle) error {
	row, err := a.ownBundle(b.ID)
	if err != nil {
		return err
	}
	index, leaf, err := a.publish(row.id, publog.Record{
		Kind: publog.RecordWithdrawal, Subject: row.uuid, Owner: bundle.Owner{Epoch: uint64(row.epoch)}, Prev: row.lastLeaf,
		Withdrawal: &publog.WithdrawalBody{},
	})
	if err != nil {
		return err
	}
	if err := a.run(`UPDATE bundles SET state = 1, revision = revision + 1, last_leaf = ?, last_index = ? WHERE id = ?`,
		leaf[:], index, row.id); err != nil {
		return err
	}
	if err := a.run(`UPDATE collections SET bundles = bundles - 1, drafts = drafts - ?, versions = versions - ? WHERE id = ?`,
		row.drafts, row.nVersions, row.collection); err != nil {
		return err
	}
	a.state.bundlesOwn--
	a.state.drafts -= row.drafts
	a.state.versions -= row.nVersions
	a.result.ID = b.ID
	return a.discard(trashBundle, row.id, 0)
}
