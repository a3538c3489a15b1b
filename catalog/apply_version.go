package catalog

import (
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// locate records where blobs lie. The first location stays, unless it is
// condemned.
func (a *applier) locate(ls []bundle.Located) error {
	for _, l := range ls {
		pack, err := a.packOf(l)
		if err != nil {
			return err
		}
		n, err := a.exec(`INSERT INTO blobs (digest, hash, size, pack, pos, length, codec, state)
 VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (digest) DO NOTHING`,
			l.Digest[:], l.Hash[:], l.Size, pack, l.Offset, l.Length, int64(l.Codec))
		if err != nil {
			return err
		}
		if n > 0 {
			a.state.blobs++
			continue
		}
		if err := a.run(`UPDATE blobs SET hash = ?, size = ?, pack = ?, pos = ?, length = ?, codec = ?, state = 0
 WHERE digest = ? AND state <> 0`, l.Hash[:], l.Size, pack, l.Offset, l.Length, int64(l.Codec), l.Digest[:]); err != nil {
			return err
		}
	}
	return nil
}

// packOf returns the id of the pack a blob lies in, 0 for an object of its own.
func (a *applier) packOf(l bundle.Located) (id int64, err error) {
	if l.Object == l.Digest {
		return 0, nil
	}
	ok, err := a.get(`SELECT id FROM packs WHERE digest = ?`, []any{l.Object[:]}, &id)
	if ok || err != nil {
		return id, err
	}
	id = a.state.id()
	return id, a.run(`INSERT INTO packs (id, digest) VALUES (?, ?)`, id, l.Object[:])
}

func (a *applier) mustBeLocated(d bundle.Digest) error {
	ok, err := a.get(`SELECT 1 FROM blobs WHERE digest = ? AND state = 0`, []any{d[:]}, new(int))
	if err == nil && !ok {
		err = bundle.Errorf(bundle.KindBlobGone, "the blob %s is not stored; store it again and retry", d).With("digest", d.String())
	}
	return err
}

func (a *applier) commitVersion(b CommitVersion) error {
	d, err := a.ownDraft(b.Draft)
	if err != nil {
		return err
	}
	if err := checkMoved(&d, b.Revision, b.ExpectedHead); err != nil {
		return err
	}
	if err := a.locate(b.Blobs); err != nil {
		return err
	}
	if err := a.mustBeLocated(b.Snapshot.Manifest); err != nil {
		return err
	}
	redistribute, err := publog.ParseRedistribute(b.Redistribute)
	if err != nil {
		return err
	}
	row := &d.bundleRow
	number := row.head + 1
	index, leaf, err := a.publish(row.id, publog.Record{
		Kind: publog.RecordVersion, Subject: row.uuid, Owner: bundle.Owner{Epoch: uint64(row.epoch)}, Prev: row.lastLeaf,
		Version: &publog.VersionBody{
			Number: uint64(number), Manifest: b.Snapshot.Manifest, Alias: b.Snapshot.Alias,
			ChangeDescription: b.ChangeDescription, License: b.License, Attribution: b.Attribution, Redistribute: redistribute,
		},
	})
	if err != nil {
		return err
	}
	if err := a.insertVersion(row, versionRow{num: number, record: index, leaf: bundle.Digest(leaf)}, b.Snapshot); err != nil {
		return err
	}
	floor := a.state.id()
	if err := a.run(`UPDATE drafts SET base = ?, revision = revision + 1, floor = ?, updated = ? WHERE id = ?`,
		number, floor, a.now, d.id); err != nil {
		return err
	}
	a.result.ID, a.result.Number, a.result.Revision = row.uuid, uint64(number), uint64(d.revision+1)
	return a.discard(trashOverlay, d.id, floor)
}

// versionRow is what a new version's row holds beside its snapshot.
type versionRow struct {
	num, record int64
	leaf        bundle.Digest
	body        *versionText // nil: the record in this log has it
}

// versionText is what a version's record holds, for a version whose record is
// not in this log.
type versionText struct {
	Manifest                                              bundle.Digest
	Alias                                                 bundle.Hash20
	Created                                               int64
	ChangeDescription, License, Attribution, Redistribute string
}

func shapeVersionText(c *codec, v *versionText) {
	c.array(7)
	c.digest(&v.Manifest)
	c.fixed(v.Alias[:])
	c.int(&v.Created)
	c.text(&v.ChangeDescription)
	c.text(&v.License)
	c.text(&v.Attribution)
	c.text(&v.Redistribute)
}

// insertVersion adds a version of a bundle, own or copied, with its
// dependencies, and makes it the bundle's newest if it is.
func (a *applier) insertVersion(b *bundleRow, v versionRow, s Snapshot) error {
	var body any
	if v.body != nil {
		packed, err := pack(v.body, shapeVersionText)
		if err != nil {
			return err
		}
		body = packed
	}
	if err := a.run(`INSERT INTO versions (bundle, num, record, files, bytes, description, body) VALUES (?, ?, ?, ?, ?, NULL, ?)`,
		b.id, v.num, v.record, s.Files, s.Bytes, body); err != nil {
		return err
	}
	for i, d := range s.Deps {
		if err := a.run(`INSERT INTO deps (bundle, num, ordinal, target, target_num, direct) VALUES (?, ?, ?, ?, ?, ?)`,
			b.id, v.num, i, d.Bundle[:], clamp(d.Number), d.Direct); err != nil {
			return err
		}
	}
	b.head, b.lastLeaf = max(b.head, v.num), [32]byte(v.leaf)
	if err := a.run(`UPDATE bundles SET head = ?, versions = versions + 1, last_leaf = ?, last_index = ? WHERE id = ?`,
		b.head, v.leaf[:], v.record, b.id); err != nil {
		return err
	}
	a.state.versions++
	return a.run(`UPDATE collections SET versions = versions + 1 WHERE id = ?`, b.collection)
}

func (a *applier) describeVersion(b DescribeVersion) error {
	row, err := a.ownBundle(b.Bundle)
	if err != nil {
		return err
	}
	n, err := a.exec(`UPDATE versions SET description = ? WHERE bundle = ? AND num = ?`, b.ChangeDescription, row.id, clamp(b.Number))
	if err == nil && n == 0 {
		err = notFound()
	}
	return err
}
