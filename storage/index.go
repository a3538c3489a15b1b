package storage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// packTail is how much of a pack's end is read at first: enough for the footer
// of a thousand blobs.
const packTail = 64 << 10

// ReadPackIndex returns the blobs of the pack at key, as its footer lists them,
// reading only the pack's end. A pack whose trailer or footer is damaged is of
// KindCorrupt. The blobs' own bytes are not looked at.
func ReadPackIndex(ctx context.Context, d Driver, key string) ([]PackEntry, error) {
	info, err := d.Stat(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read the index of %s: %w", key, err)
	}
	entries, err := readPackIndex(ctx, d, info)
	if err != nil {
		return nil, fmt.Errorf("read the index of %s: %w", key, err)
	}
	return entries, nil
}

func readPackIndex(ctx context.Context, d Driver, info ObjectInfo) ([]PackEntry, error) {
	if info.Size < int64(len(packHeader)+packTrailerSize) {
		return nil, bundle.Errorf(bundle.KindCorrupt, "%d bytes are no pack", info.Size)
	}
	tailAt := max(0, info.Size-packTail)
	tail, err := readAt(ctx, d, info.Key, tailAt, info.Size-tailAt)
	if err != nil {
		return nil, err
	}
	f, err := parsePackTrailer(tail[len(tail)-packTrailerSize:], info.Size)
	if err != nil {
		return nil, err
	}
	if f.offset >= tailAt {
		from := f.offset - tailAt
		return parsePackFooter(tail[from:from+f.length], f)
	}
	footer, err := readAt(ctx, d, info.Key, f.offset, f.length)
	if err != nil {
		return nil, err
	}
	return parsePackFooter(footer, f)
}

// readAt reads exactly length bytes of an object. Memory grows with what
// arrives, not with what was asked for.
func readAt(ctx context.Context, d Driver, key string, offset, length int64) ([]byte, error) {
	r, err := d.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) != length {
		return nil, bundle.Errorf(bundle.KindCorrupt, "%d bytes at %d were asked for, %d came", length, offset, len(b))
	}
	return b, nil
}

// RebuildOptions says how thorough a [Rebuild] is.
type RebuildOptions struct {
	// HashObjects reads every blob that is an object of its own and verifies
	// it. Without it such blobs are yielded by their keys and sizes, with a
	// zero Hash.
	HashObjects bool
	// Damaged is told of an object that cannot be used, and Rebuild goes on;
	// if it is nil, or returns an error, Rebuild ends with that error. Failures
	// of the driver always end it.
	Damaged func(key string, err error) error
}

// Rebuild lists the whole store and calls fn for every blob found and where it
// lies: the catalog's location table from the objects alone. Objects come in
// key order; a blob that lies in several is yielded for each. fn's first error
// ends it. It is for repair: it reads the end of every pack.
func Rebuild(ctx context.Context, d Driver, o RebuildOptions, fn func(Located) error) error {
	return d.List(ctx, "", func(info ObjectInfo) error {
		id, suffix, ok := parseObjectKey(info.Key)
		if !ok {
			return nil
		}
		var found []Located
		var err error
		if suffix == packSuffix {
			found, err = rebuildPack(ctx, d, id, info)
		} else {
			found, err = rebuildObject(ctx, d, id, info, o.HashObjects)
		}
		if bundle.IsKind(err, bundle.KindCorrupt) && o.Damaged != nil {
			return o.Damaged(info.Key, err)
		}
		if err != nil {
			return fmt.Errorf("rebuild from %s: %w", info.Key, err)
		}
		for _, l := range found {
			if err := fn(l); err != nil {
				return err
			}
		}
		return nil
	})
}

func rebuildPack(ctx context.Context, d Driver, id bundle.Digest, info ObjectInfo) ([]Located, error) {
	entries, err := readPackIndex(ctx, d, info)
	if err != nil {
		return nil, err
	}
	found := make([]Located, len(entries))
	for i, e := range entries {
		found[i] = Located{Blob: e.Blob, Location: Location{Object: id, Offset: e.Offset, Length: e.Length, Codec: e.Codec}}
	}
	return found, nil
}

func rebuildObject(ctx context.Context, d Driver, id bundle.Digest, info ObjectInfo, read bool) ([]Located, error) {
	b := bundle.Blob{Digest: id, Size: info.Size}
	if read {
		r, err := d.Get(ctx, info.Key, 0, -1)
		if err != nil {
			return nil, err
		}
		h := bundle.NewHasher()
		_, err = io.Copy(h, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		if b = h.Blob(); b.Digest != id {
			return nil, bundle.Errorf(bundle.KindCorrupt, "the object's bytes do not match the digest in its key")
		}
	}
	return []Located{{Blob: b, Location: Location{Object: id, Length: info.Size}}}, nil
}
