package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
)

const (
	copyBuffer = 256 << 10
	// recheckEvery is how many bytes of a stream pass between two looks at
	// the free space and the claim.
	recheckEvery = 64 << 20
)

// Put stores blob and returns when it is durable. A blob of at most
// [bundle.MaxFrameBlob] bytes shares a pack with those that arrive at the same
// time; a larger one becomes an object of its own. The store does not keep
// blob.
func (s *Store) Put(ctx context.Context, blob []byte) (Located, error) {
	if len(blob) > bundle.MaxFrameBlob {
		return s.PutStream(ctx, bytes.NewReader(blob), nil, int64(len(blob)))
	}
	if err := s.writable(ctx, int64(len(blob))); err != nil {
		return Located{}, err
	}
	f := bundle.MakeFrame(blob)
	if f.Codec == bundle.CodecRaw {
		// A caller that gives up may reuse blob while its pack is being written.
		f.Payload = bytes.Clone(blob)
	}
	b := bundle.Blob{Digest: f.Digest, Hash: bundle.HashOf(blob), Size: f.Size}
	located, err := s.packs.put(ctx, []packItem{{frame: f, blob: b}})
	if err != nil {
		return Located{}, err
	}
	s.cache.add(b.Digest, blob)
	return located[0], nil
}

// PutFrames stores blobs that arrive as frames, from a client or a peer, and
// returns where they lie, in the frames' order, when all are durable. Every
// frame is opened first: one that does not hold what it claims fails the call
// with KindCorrupt or KindInvalid before anything is stored. Payloads are kept
// as they are, and must not be changed after the call, even a cancelled one.
func (s *Store) PutFrames(ctx context.Context, frames []bundle.Frame) ([]Located, error) {
	var size int64
	for _, f := range frames {
		size += int64(len(f.Payload))
	}
	if err := s.writable(ctx, size); err != nil {
		return nil, err
	}
	items, err := openFrames(ctx, frames)
	if err != nil {
		return nil, err
	}
	return s.packs.put(ctx, items)
}

// openFrames verifies frames on every processor.
func openFrames(ctx context.Context, frames []bundle.Frame) ([]packItem, error) {
	items := make([]packItem, len(frames))
	workers := min(runtime.GOMAXPROCS(0), (len(frames)+15)/16)
	g, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(frames); i += workers {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				_, b, err := frames[i].Open()
				if err != nil {
					return err
				}
				items[i] = packItem{frame: frames[i], blob: b}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return items, nil
}

// PutStream stores what r yields, of any size, holding at most a few hundred
// KiB of it, and returns when it is durable. If want is not nil and is not the
// SHA-256 of the bytes the error is of KindCorrupt and nothing is stored.
// sizeHint is the expected size in bytes, -1 if unknown; it is never trusted.
func (s *Store) PutStream(ctx context.Context, r io.Reader, want *bundle.Digest, sizeHint int64) (Located, error) {
	if err := s.writable(ctx, sizeHint); err != nil {
		return Located{}, err
	}
	head := make([]byte, bundle.MaxFrameBlob+1)
	n, err := io.ReadFull(r, head)
	switch {
	case err == nil:
		return s.putObject(ctx, head, r, want, sizeHint)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return Located{}, fmt.Errorf("read the blob to store: %w", err)
	}
	if want != nil && bundle.DigestOf(head[:n]) != *want {
		return Located{}, errDigest(*want)
	}
	return s.Put(ctx, head[:n])
}

func errDigest(want bundle.Digest) error {
	return bundle.Errorf(bundle.KindCorrupt, "the bytes received are not those of %s: send them again", want)
}

// putObject stores head and the rest of r as an object of its own.
func (s *Store) putObject(ctx context.Context, head []byte, r io.Reader, want *bundle.Digest, sizeHint int64) (Located, error) {
	begun := s.now()
	u, err := s.driver.Create(ctx, sizeHint)
	if err != nil {
		return Located{}, fmt.Errorf("begin an object: %w", err)
	}
	defer s.abort(u)
	h := bundle.NewHasher()
	if err := s.copy(ctx, io.MultiWriter(u, h), io.MultiReader(bytes.NewReader(head), r)); err != nil {
		return Located{}, err
	}
	b := h.Blob()
	if want != nil && b.Digest != *want {
		return Located{}, errDigest(*want)
	}
	if err := s.refusal(); err != nil {
		return Located{}, err
	}
	if err := u.Commit(ctx, objectKey(b.Digest, blobSuffix), b.Digest); err != nil {
		return Located{}, fmt.Errorf("store blob %s: %w", b.Digest, err)
	}
	s.observer.ObjectWritten("blob", b.Size, s.now().Sub(begun))
	return Located{Blob: b, Location: Location{Object: b.Digest, Length: b.Size}}, nil
}

// copy copies r to w, looking at ctx, the claim and the free space on the way.
func (s *Store) copy(ctx context.Context, w io.Writer, r io.Reader) error {
	buf := make([]byte, copyBuffer)
	var unchecked int64
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("write an object: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the blob to store: %w", err)
		}
		if unchecked += int64(n); unchecked >= recheckEvery {
			unchecked = 0
			if err := s.writable(ctx, 0); err != nil {
				return err
			}
		}
	}
}

// writePack writes one pack and returns where each item lies.
func (s *Store) writePack(ctx context.Context, items []packItem) ([]Located, error) {
	var payloads int64
	for _, item := range items {
		payloads += int64(len(item.frame.Payload))
	}
	size := packSize(len(items), payloads)
	if err := s.claim.refusal(); err != nil {
		return nil, err
	}
	begun := s.now()
	u, err := s.driver.Create(ctx, size)
	if err != nil {
		return nil, fmt.Errorf("begin a pack of %d blobs: %w", len(items), err)
	}
	defer s.abort(u)
	p := newPackEncoder(u, make([]byte, 0, min(size, packFlush+bundle.MaxFrameBlob)))
	located := make([]Located, len(items))
	for i, item := range items {
		e, err := p.add(item.frame, item.blob)
		if err != nil {
			return nil, fmt.Errorf("write a pack of %d blobs: %w", len(items), err)
		}
		located[i] = Located{Blob: e.Blob, Location: Location{Offset: e.Offset, Length: e.Length, Codec: e.Codec}}
	}
	id, size, err := p.finish()
	if err != nil {
		return nil, fmt.Errorf("write a pack of %d blobs: %w", len(items), err)
	}
	if err := u.Commit(ctx, objectKey(id, packSuffix), id); err != nil {
		return nil, fmt.Errorf("store a pack of %d blobs: %w", len(items), err)
	}
	for i := range located {
		located[i].Object = id
	}
	s.observer.ObjectWritten("pack", size, s.now().Sub(begun))
	return located, nil
}

// abort ends an upload that was not committed. A failure leaves a temporary
// object, which the driver clears away when it is opened next.
func (s *Store) abort(u Upload) {
	if err := u.Abort(); err != nil {
		s.log.Warn("storage: an unfinished object could not be removed", "error", err)
	}
}
