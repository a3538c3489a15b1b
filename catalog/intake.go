package catalog

import (
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// Reasons for which apply itself sets a bundle aside.
const (
	reasonDuplicate   = "duplicate_primary"  // its UUID belongs to this instance or another one
	reasonOwner       = "wrong_owner"        // the peer publishes what it says is someone else's
	reasonFenced      = "fenced"             // the record is of an epoch that has passed
	reasonChain       = "chain_break"        // the record does not continue what is here
	reasonUnsupported = "unsupported_record" // this program cannot follow what the record says
)

// fault is why an item cannot take effect; its bundle is set aside.
type fault struct {
	held           bool
	reason, detail string
}

func held(reason, format string, args ...any) *fault {
	return &fault{held: true, reason: reason, detail: fmt.Sprintf(format, args...)}
}

func (a *applier) intake(b Intake) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	if p.Cursor != b.ExpectCursor {
		return bundle.Errorf(bundle.KindConflict, "the log of %s was taken in up to record %d meanwhile, not %d; look again and retry",
			p.Name, p.Cursor, b.ExpectCursor).With("cursor", fmt.Sprint(p.Cursor))
	}
	if len(b.Note) > 0 {
		if b.Generation < p.Generation || b.Generation == p.Generation && b.Size < p.Size || b.Issued < p.Issued {
			return bundle.Errorf(bundle.KindConflict,
				"the checkpoint of %d records of %s in generation %d is older than the one of %d in generation %d that is known; look again and retry",
				b.Size, p.Name, b.Generation, p.Size, p.Generation)
		}
		p.Note, p.Generation, p.Size, p.Root, p.Issued = b.Note, b.Generation, b.Size, b.Root, b.Issued
		p.Verified = a.now
	}
	if err := a.locate(b.Blobs); err != nil {
		return err
	}
	for i := range b.Items {
		if err := a.takeIn(&p, &b.Items[i]); err != nil {
			return err
		}
	}
	p.Cursor, p.SeenGrantRevision = b.Cursor, b.GrantRevision
	a.result.ID = b.Peer
	return a.storePeer(&p)
}

// takeIn applies one item or sets its subject aside.
func (a *applier) takeIn(p *peerRow, it *IntakeItem) error {
	r, err := publog.DecodeRecord(it.Body)
	if err != nil {
		return err
	}
	before := a.state
	if err := a.run(`SAVEPOINT item`); err != nil {
		return err
	}
	f, err := a.record(p, it, r)
	if err != nil {
		return err
	}
	if f == nil {
		return a.run(`RELEASE item`)
	}
	if err := a.run(`ROLLBACK TO item`); err != nil {
		return err
	}
	if err := a.run(`RELEASE item`); err != nil {
		return err
	}
	a.state = before
	aside, err := a.get(`SELECT 1 FROM parked WHERE peer = ? AND bundle = ?`, []any{p.id, r.Subject[:]}, new(int))
	if err != nil || aside {
		return err // it keeps the first reason and the first index
	}
	return a.setAside(p.id, Park{Bundle: r.Subject, Held: f.held, Reason: f.reason, Detail: f.detail, Index: it.Index})
}

// record applies one record or returns why it cannot take effect.
func (a *applier) record(p *peerRow, it *IntakeItem, r *publog.Record) (*fault, error) {
	if r.Subject == (bundle.ID{}) {
		return nil, nil // about the instance, not a bundle
	}
	if r.Owner.Instance != p.ID {
		return held(reasonOwner, "record %d says that instance %s is its owner", it.Index, r.Owner.Instance), nil
	}
	if r.Owner.Epoch > math.MaxInt64 {
		return held(reasonUnsupported, "record %d is of epoch %d", it.Index, r.Owner.Epoch), nil
	}
	c, known, err := findCollection(a.session, r.Subject)
	if err != nil {
		return nil, err
	}
	if r.Kind == publog.RecordCollection || known && r.Kind != publog.RecordVersion && r.Kind != publog.RecordBundle {
		return a.collectionRecord(p, it, r, c, known)
	}
	return a.bundleRecord(p, it, r)
}

func (a *applier) collectionRecord(p *peerRow, it *IntakeItem, r *publog.Record, c collectionRow, known bool) (*fault, error) {
	switch {
	case known && c.owner != p.id:
		return held(reasonDuplicate, "the collection belongs to another instance here"), nil
	case known && int64(r.Owner.Epoch) < c.epoch:
		return held(reasonFenced, "record %d is of epoch %d, the collection is at %d", it.Index, r.Owner.Epoch, c.epoch), nil
	case known && c.lastLeaf == tlog.Hash(it.Leaf):
		return nil, nil
	}
	switch r.Kind {
	case publog.RecordCollection:
		if !known {
			var err error
			if c, err = a.copyCollection(p, r.Subject, r.Collection.Title, false); err != nil {
				return nil, err
			}
		}
		if err := a.markCollection(&c, stateLive); err != nil {
			return nil, err
		}
		c.title, c.placeholder = r.Collection.Title, false
	case publog.RecordWithdrawal:
		if err := a.markCollection(&c, stateWithdrawn); err != nil {
			return nil, err
		}
	default:
		return held(reasonUnsupported, "record %d is a %s of a collection", it.Index, r.Kind), nil
	}
	return nil, a.run(`UPDATE collections SET title = ?, placeholder = ?, epoch = ?, last_leaf = ?, revision = revision + 1 WHERE id = ?`,
		c.title, c.placeholder, int64(r.Owner.Epoch), it.Leaf[:], c.id)
}

// markCollection makes a copied collection, and with it its bundles, live or
// withdrawn.
func (a *applier) markCollection(c *collectionRow, state int64) error {
	if c.state == state {
		return nil
	}
	if c.state = state; state == stateLive {
		a.state.bundlesCopy, a.state.bundlesWithdrawn = a.state.bundlesCopy+c.bundles, a.state.bundlesWithdrawn-c.bundles
	} else {
		a.state.bundlesCopy, a.state.bundlesWithdrawn = a.state.bundlesCopy-c.bundles, a.state.bundlesWithdrawn+c.bundles
	}
	return a.run(`UPDATE collections SET state = ? WHERE id = ?`, state, c.id)
}

// copyCollection adds a collection of a peer.
func (a *applier) copyCollection(p *peerRow, id bundle.ID, title string, placeholder bool) (collectionRow, error) {
	c := collectionRow{id: a.state.id(), owner: p.id, epoch: 1, uuid: id, title: title, placeholder: placeholder}
	a.state.collections++
	return c, a.run(`INSERT INTO collections (id, uuid, title, owner, epoch, created, revision, last_leaf, state,
 placeholder, bundles, drafts, versions) VALUES (?, ?, ?, ?, ?, ?, 1, x'', 0, ?, 0, 0, 0)`,
		c.id, id[:], title, p.id, c.epoch, a.now, placeholder)
}

// linkedSpace is the UUID namespace of the collections that hold copies whose
// own collection is not known: the names in it are this instance's UUID and the
// peer's, 32 bytes. A peer's id alone is known to all its peers, and one of them
// could publish a collection under what comes of it everywhere.
var linkedSpace = uuid.MustParse("5b0f5f4c-8f0b-4f6e-9d50-6d1e2f6f0c5a")

// collectionOfCopy returns the collection a copy lies in; a placeholder stands
// in for one whose record did not come.
func (a *applier) collectionOfCopy(p *peerRow, id bundle.ID) (c collectionRow, f *fault, err error) {
	if id == (bundle.ID{}) {
		self, err := instanceOf(a.session)
		if err != nil {
			return c, nil, err
		}
		id = uuid.NewSHA1(linkedSpace, slices.Concat(self.ID[:], p.ID[:]))
	}
	c, ok, err := findCollection(a.session, id)
	switch {
	case err != nil:
	case !ok:
		c, err = a.copyCollection(p, id, "Linked from "+p.Name, true)
	case c.owner != p.id:
		f = held(reasonDuplicate, "its collection %s belongs to another instance here", id)
	}
	return c, f, err
}

func (a *applier) bundleRecord(p *peerRow, it *IntakeItem, r *publog.Record) (*fault, error) {
	b, known, err := findBundle(a.session, r.Subject)
	if err != nil {
		return nil, err
	}
	last := int64(-1)
	if known {
		if last, err = a.lastIndex(b.id); err != nil {
			return nil, err
		}
	}
	switch {
	case known && b.owner != p.id:
		return held(reasonDuplicate, "the bundle belongs to another instance here; only one of the two can be its primary"), nil
	case known && int64(r.Owner.Epoch) < b.epoch:
		return held(reasonFenced, "record %d is of epoch %d, the bundle is at %d", it.Index, r.Owner.Epoch, b.epoch), nil
	case it.Index <= last:
		return a.fillIn(&b, it, r)
	case !it.Linked && r.Prev != b.lastLeaf:
		return &fault{reason: reasonChain, detail: fmt.Sprintf("record %d does not continue the bundle's last record here", it.Index)}, nil
	}
	if !known {
		if b, err = a.copyBundle(p, r); err != nil {
			return nil, err
		}
	}
	if b.id == 0 {
		return held(reasonDuplicate, "its collection belongs to another instance here"), nil
	}
	if f, err := a.bundleEffect(p, &b, it, r); f != nil || err != nil {
		return f, err
	}
	return nil, a.run(`UPDATE bundles SET last_leaf = ?, last_index = ?, epoch = ? WHERE id = ?`,
		it.Leaf[:], it.Index, int64(r.Owner.Epoch), b.id)
}

// lastIndex returns the index of a bundle's last record, -1 if none came yet.
func (a *applier) lastIndex(id int64) (index int64, err error) {
	_, err = a.get(`SELECT iif(last_leaf = x'', -1, last_index) FROM bundles WHERE id = ?`, []any{id}, &index)
	return index, err
}

// fillIn adds a version from before the bundle's last record: what was left
// out when the bundle came along only as a link. Anything else that old was
// taken in or is outdated.
func (a *applier) fillIn(b *bundleRow, it *IntakeItem, r *publog.Record) (*fault, error) {
	if r.Kind != publog.RecordVersion {
		return nil, nil
	}
	var leaf tlog.Hash
	var last int64
	if _, err := a.get(`SELECT last_leaf, last_index FROM bundles WHERE id = ?`, []any{b.id}, blob{leaf[:]}, &last); err != nil {
		return nil, err
	}
	if f, err := a.versionRecord(b, it, r); f != nil || err != nil {
		return f, err
	}
	return nil, a.run(`UPDATE bundles SET last_leaf = ?, last_index = ? WHERE id = ?`, leaf[:], last, b.id)
}

// copyBundle adds a bundle of a peer by its first record here. Its id is 0 if
// its collection is someone else's.
func (a *applier) copyBundle(p *peerRow, r *publog.Record) (bundleRow, error) {
	b := bundleRow{owner: p.id, epoch: int64(r.Owner.Epoch), uuid: r.Subject}
	var collection bundle.ID
	if r.Kind == publog.RecordBundle {
		collection = r.Bundle.Collection
		b.slug, b.title, b.description = r.Bundle.Slug, r.Bundle.Title, r.Bundle.Description
	}
	c, f, err := a.collectionOfCopy(p, collection)
	if err != nil || f != nil {
		return bundleRow{}, err
	}
	b.id, b.collection, b.collectionState = a.state.id(), c.id, c.state
	a.countCopy(&b, 1)
	return b, a.insertBundle(&b)
}

// countCopy counts a copy under the state it is in.
func (a *applier) countCopy(b *bundleRow, n int64) {
	if b.state == stateLive && b.collectionState == stateLive {
		a.state.bundlesCopy += n
	} else {
		a.state.bundlesWithdrawn += n
	}
}

// bundleEffect applies the next record of a copied bundle.
func (a *applier) bundleEffect(p *peerRow, b *bundleRow, it *IntakeItem, r *publog.Record) (*fault, error) {
	switch r.Kind {
	case publog.RecordVersion:
		if !it.Linked && r.Version.Number != uint64(b.head)+1 {
			return &fault{reason: reasonChain, detail: fmt.Sprintf("record %d publishes version %d after %d", it.Index, r.Version.Number, b.head)}, nil
		}
		return a.versionRecord(b, it, r)
	case publog.RecordBundle:
		return a.metadataRecord(p, b, r)
	case publog.RecordWithdrawal:
		return nil, a.markBundle(b, stateWithdrawn)
	case publog.RecordTransferOffer:
		return nil, nil // nothing changes until it is taken
	}
	if r.Kind.Known() || r.Critical {
		return held(reasonUnsupported, "record %d is of kind %d (%s), which this program cannot follow yet; upgrade it", it.Index, r.Kind, r.Kind), nil
	}
	return nil, nil
}

// markBundle makes a copied bundle live or withdrawn.
func (a *applier) markBundle(b *bundleRow, state int64) error {
	if b.state == state {
		return nil
	}
	a.countCopy(b, -1)
	b.state = state
	a.countCopy(b, 1)
	n := int64(1)
	if state != stateLive {
		n = -1
	}
	if err := a.run(`UPDATE collections SET bundles = bundles + ?, versions = versions + ? WHERE id = ?`, n, n*b.nVersions, b.collection); err != nil {
		return err
	}
	return a.run(`UPDATE bundles SET state = ?, revision = revision + 1 WHERE id = ?`, state, b.id)
}

// metadataRecord replaces the metadata of a copy, its collection included.
func (a *applier) metadataRecord(p *peerRow, b *bundleRow, r *publog.Record) (*fault, error) {
	if err := a.markBundle(b, stateLive); err != nil { // a withdrawal that was taken back
		return nil, err
	}
	c, f, err := a.collectionOfCopy(p, r.Bundle.Collection)
	if f != nil || err != nil {
		return f, err
	}
	was := *b
	b.slug, b.title, b.description = r.Bundle.Slug, r.Bundle.Title, r.Bundle.Description
	a.countCopy(b, -1)
	if err := a.moveBundle(b, c.id); err != nil {
		return nil, err
	}
	b.collectionState = c.state
	a.countCopy(b, 1)
	if *b == was {
		return nil, nil
	}
	return nil, a.writeBundle(b)
}

// versionRecord adds a version to a copy, unless it is here.
func (a *applier) versionRecord(b *bundleRow, it *IntakeItem, r *publog.Record) (*fault, error) {
	if r.Version.Number > math.MaxInt64 {
		return held(reasonUnsupported, "record %d publishes version %d", it.Index, r.Version.Number), nil
	}
	have, ok, err := findVersion(a.session, b.id, bundle.VersionRef{Bundle: b.uuid, Number: r.Version.Number})
	if err != nil {
		return nil, err
	}
	if ok {
		if have.Manifest != r.Version.Manifest {
			return held(reasonChain, "record %d publishes version %d anew with another content; the one here stays", it.Index, r.Version.Number), nil
		}
		return nil, nil
	}
	if it.Snapshot == nil || it.Snapshot.Manifest != r.Version.Manifest {
		return nil, bundle.Errorf(bundle.KindInvalid, "record %d came without its version's content", it.Index)
	}
	if err := a.mustBeLocated(it.Snapshot.Manifest); err != nil {
		return nil, err
	}
	text := textFrom(r)
	row := versionRow{num: int64(r.Version.Number), record: it.Index, leaf: it.Leaf, body: &text}
	return nil, a.insertVersion(b, row, *it.Snapshot)
}
