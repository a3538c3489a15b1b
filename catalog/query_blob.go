package catalog

import (
	"context"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// textOf returns what a version's record says: from the version's own row, or
// from the record.
func textOf(body, record []byte) (t versionText, err error) {
	if body != nil {
		err = unpack(body, &t, shapeVersionText)
		return t, err
	}
	r, err := publog.DecodeRecord(record)
	if err != nil || r.Version == nil {
		return t, bundle.Errorf(bundle.KindCorrupt, "a version's record in the log is damaged: %w", err)
	}
	return textFrom(r), nil
}

// textFrom takes a version's texts from its record.
func textFrom(r *publog.Record) versionText {
	v := r.Version
	return versionText{
		Manifest: v.Manifest, Alias: v.SnapshotAlias(), Created: r.Time,
		ChangeDescription: v.ChangeDescription, License: v.License, Attribution: v.Attribution,
		Redistribute: v.Redistribute.String(),
	}
}

const blobQuery = `SELECT b.digest, b.hash, b.size, b.pos, b.length, b.codec, p.digest
 FROM blobs b LEFT JOIN packs p ON p.id = b.pack WHERE b.state = 0 AND b.digest = ?`

func findBlob(s *session, d bundle.Digest) (l bundle.Located, ok bool, err error) {
	var object []byte
	ok, err = s.get(blobQuery, []any{d[:]}, blob{l.Digest[:]}, blob{l.Hash[:]}, &l.Size, &l.Offset, &l.Length, &l.Codec, &object)
	if l.Object = l.Digest; object != nil {
		l.Object = bundle.Digest(object)
	}
	return l, ok, err
}

// Blobs returns where blobs lie. Those that are not located, or condemned, are
// absent.
func (v *View) Blobs(ds []bundle.Digest) (map[bundle.Digest]bundle.Located, error) {
	out := make(map[bundle.Digest]bundle.Located, len(ds))
	for _, d := range ds {
		l, ok, err := findBlob(v.session, d)
		if err != nil {
			return nil, err
		}
		if ok {
			out[d] = l
		}
	}
	return out, v.alive()
}

// MissingBlobs returns which of ds are not located, in the order asked.
func (v *View) MissingBlobs(ds []bundle.Digest) (missing []bundle.Digest, err error) {
	for _, d := range ds {
		ok, err := v.get(`SELECT 1 FROM blobs WHERE digest = ? AND state = 0`, []any{d[:]}, new(int))
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, d)
		}
	}
	return missing, v.alive()
}

// Locate returns where blobs lie, in the order asked, and KindBlobGone naming
// the first that is not located: it is a storage.Locator.
func (db *DB) Locate(ctx context.Context, ds []bundle.Digest) (ls []bundle.Located, err error) {
	ls = make([]bundle.Located, len(ds))
	err = db.View(ctx, func(v *View) error {
		for i, d := range ds {
			l, ok, err := findBlob(v.session, d)
			if err != nil {
				return err
			}
			if !ok {
				return bundle.Errorf(bundle.KindBlobGone, "the blob %s is not stored here", d).With("digest", d.String())
			}
			ls[i] = l
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ls, nil
}
