package primary

import (
	"bytes"
	"context"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// MissingBlobs returns those of ds, each once, whose bytes are not stored here
// or are about to be collected: what an uploader has to send. KindTooLarge for
// more than 100 000.
func (p *Primary) MissingBlobs(ctx context.Context, ds []bundle.Digest) ([]bundle.Digest, error) {
	if len(ds) > maxDigests {
		return nil, bundle.Errorf(bundle.KindTooLarge, "Ask for at most %d digests at once.", maxDigests)
	}
	missing, err := look(ctx, p, ds, (*catalog.View).MissingBlobs)
	seen := make(map[bundle.Digest]bool, len(missing))
	return slices.DeleteFunc(missing, func(d bundle.Digest) bool {
		twice := seen[d]
		seen[d] = true
		return twice
	}), err
}

// maxDigests bounds the question which blobs are missing.
const maxDigests = 100_000

// StoreFrames stores small blobs in bulk, so that a later [Patch] can name them
// by digest: one object and one command for all of them, a command more for
// every three thousand. KindCorrupt or KindInvalid if a frame does not hold
// what it claims; then nothing is stored. The frames' payloads must not be
// changed after the call.
func (p *Primary) StoreFrames(ctx context.Context, frames []bundle.Frame) ([]bundle.Located, error) {
	located, err := p.store.PutFrames(ctx, frames)
	if err != nil {
		return nil, err
	}
	return located, p.locate(ctx, located)
}

// StoreBlob stores one blob of any size from a stream, so that a later [Patch]
// can name it by digest. KindCorrupt if the bytes are not those of want. size is
// the expected number of bytes, -1 if unknown.
func (p *Primary) StoreBlob(ctx context.Context, r io.Reader, want bundle.Digest, size int64) (bundle.Located, error) {
	l, err := p.store.PutStream(ctx, r, &want, size)
	if err != nil {
		return l, err
	}
	return l, p.locate(ctx, []bundle.Located{l})
}

// locate tells the catalog where blobs lie, in as many commands as it takes.
func (p *Primary) locate(ctx context.Context, blobs []bundle.Located) error {
	for len(blobs) > 0 {
		n := min(len(blobs), commandWeight/locatedWeight)
		if _, err := p.proposeAside(ctx, catalog.LocateBlobs{Blobs: blobs[:n]}); err != nil {
			return err
		}
		blobs = blobs[n:]
	}
	return nil
}

// largeWriters is how many large blobs one call stores at once.
const largeWriters = 4

// storeBlobs stores blobs, the small ones in one object, and returns where they
// lie, in no particular order. The blobs may be changed after the call.
func (p *Primary) storeBlobs(ctx context.Context, blobs [][]byte) ([]bundle.Located, error) {
	var frames []bundle.Frame
	var small, large [][]byte
	for _, b := range blobs {
		if len(b) > bundle.MaxFrameBlob {
			large = append(large, b)
		} else {
			small = append(small, b)
		}
	}
	if len(small) == 1 { // the store keeps single ones in its cache
		small, large = nil, append(large, small[0])
	}
	for _, b := range small {
		f := bundle.MakeFrame(b)
		if f.Codec == bundle.CodecRaw {
			f.Payload = bytes.Clone(b)
		}
		frames = append(frames, f)
	}
	located := make([]bundle.Located, len(large))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(largeWriters + 1)
	var packed []bundle.Located
	if len(frames) > 0 {
		g.Go(func() (err error) {
			packed, err = p.store.PutFrames(gctx, frames)
			return err
		})
	}
	for i, b := range large {
		g.Go(func() (err error) {
			located[i], err = p.store.Put(gctx, b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return append(located, packed...), nil
}

// A command's size is estimated before it is encoded, from above: what each
// part takes at most, in bytes.
const (
	commandWeight = catalog.MaxCommand * 3 / 4
	locatedWeight = 128
	fileOpWeight  = 64 // and the path
	linkOpWeight  = 96 // and the name
	depWeight     = 64
)

func weightOfFiles(ops []catalog.FileOp) (w int) {
	for _, op := range ops {
		w += fileOpWeight + len(op.Path)
	}
	return w
}

func weightOfLinks(ops []catalog.LinkOp) (w int) {
	for _, op := range ops {
		w += linkOpWeight + len(op.Name) + depWeight*(1+len(op.Indirect))
	}
	return w
}
