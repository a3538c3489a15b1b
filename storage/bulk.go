package storage

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// spanBytes is the most that one Get of a bulk read fetches.
	spanBytes = 4 << 20
	// spanGap is how many bytes between two wanted blobs are read along
	// rather than asked for separately: what a round trip would cost.
	spanGap = 128 << 10
	// spanReaders is how many spans are fetched at once.
	spanReaders = 4
	// windowBytes and windowFrames bound what ReadFrames reads ahead.
	windowBytes  = 8 << 20
	windowFrames = 8192
)

// span is a range of one object that holds wanted blobs.
type span struct {
	offset, length int64
	useful         int64 // payload bytes wanted
	items          []int // indexes of the blobs, by offset
}

// planSpans covers the blobs ls[i], for i in items, with few ranges. A blob
// that is an object of its own has a span to itself.
func planSpans(ls []Located, items []int) []span {
	slices.SortFunc(items, func(a, b int) int {
		if c := bytes.Compare(ls[a].Object[:], ls[b].Object[:]); c != 0 {
			return c
		}
		return cmp.Compare(ls[a].Offset, ls[b].Offset)
	})
	var spans []span
	for n, i := range items {
		l := ls[i]
		if n > 0 && l.Packed() {
			last, sp := ls[items[n-1]], &spans[len(spans)-1]
			end := sp.offset + sp.length
			if last.Object == l.Object && last.Packed() && l.Offset-end <= spanGap && l.Offset+l.Length-sp.offset <= spanBytes {
				sp.length = max(end, l.Offset+l.Length) - sp.offset
				sp.useful += l.Length
				sp.items = append(sp.items, i)
				continue
			}
		}
		spans = append(spans, span{offset: l.Offset, length: l.Length, useful: l.Length, items: []int{i}})
	}
	return spans
}

// ReadMany reads blobs of at most 8 MiB each, verifies them, and calls fn once
// for each, with its index in ls, in an order that suits the packs and never
// twice at a time. Neighbours in a pack are fetched together. fn may keep blob
// but must not change it; its first error ends the call. Memory in use is
// bounded however long ls is.
func (s *Store) ReadMany(ctx context.Context, ls []Located, fn func(i int, blob []byte) error) error {
	missed := make([]int, 0, len(ls))
	for i, l := range ls {
		blob, ok := s.cache.get(l.Digest)
		if !ok {
			missed = append(missed, i)
			continue
		}
		if err := fn(i, blob); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	call := func(i int, blob []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fn(i, blob)
	}
	return s.eachSpan(ctx, planSpans(ls, missed), func(ctx context.Context, sp span) error {
		if l := ls[sp.items[0]]; !l.Packed() {
			blob, err := s.readWhole(ctx, l)
			if err != nil {
				return err
			}
			return call(sp.items[0], blob)
		}
		return s.readSpan(ctx, ls, sp, func(i int, _ bundle.Frame, blob []byte) error { return call(i, blob) })
	})
}

// ReadFrames reads packed blobs and hands out their frames as they are stored,
// in the order of ls, reading at most 16 MiB ahead. Every frame has been
// verified: damage here is an error of KindCorrupt, not a lie to whom the frame
// is sent. A blob that is no packed one is of KindInvalid. fn is called from
// the caller's goroutine; its first error ends the call.
func (s *Store) ReadFrames(ctx context.Context, ls []Located, fn func(bundle.Frame) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type window struct {
		frames []bundle.Frame
		err    error
	}
	read := func(ls []Located) <-chan window {
		ch := make(chan window, 1)
		go func() {
			frames, err := s.readWindow(ctx, ls)
			ch <- window{frames, err}
		}()
		return ch
	}
	cut := cutWindow(ls)
	next := read(ls[:cut])
	for {
		w := <-next
		next = nil
		if w.err != nil {
			return w.err
		}
		if ls = ls[cut:]; len(ls) > 0 {
			cut = cutWindow(ls)
			next = read(ls[:cut])
		}
		for _, f := range w.frames {
			if err := fn(f); err != nil {
				cancel()
				if next != nil {
					<-next
				}
				return err
			}
		}
		if next == nil {
			return nil
		}
	}
}

// cutWindow returns how many of ls are read in one go.
func cutWindow(ls []Located) int {
	var size int64
	for i, l := range ls {
		if size += l.Length; i > 0 && (size > windowBytes || i >= windowFrames) {
			return i
		}
	}
	return len(ls)
}

// readWindow returns the verified frames of ls in their order.
func (s *Store) readWindow(ctx context.Context, ls []Located) ([]bundle.Frame, error) {
	items := make([]int, len(ls))
	for i, l := range ls {
		if !l.Packed() {
			return nil, bundle.Errorf(bundle.KindInvalid, "blob %s is an object of its own: it does not travel in a frame", l.Digest)
		}
		items[i] = i
	}
	frames := make([]bundle.Frame, len(ls))
	err := s.eachSpan(ctx, planSpans(ls, items), func(ctx context.Context, sp span) error {
		return s.readSpan(ctx, ls, sp, func(i int, f bundle.Frame, _ []byte) error {
			frames[i] = f
			return nil
		})
	})
	return frames, err
}

// eachSpan calls fn for the spans, a few at a time, until one fails.
func (s *Store) eachSpan(ctx context.Context, spans []span, fn func(context.Context, span) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(spanReaders)
	for _, sp := range spans {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return fn(gctx, sp) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// readSpan fetches a span and calls fn for each of its blobs, verified.
func (s *Store) readSpan(ctx context.Context, ls []Located, sp span, fn func(i int, f bundle.Frame, blob []byte) error) error {
	for _, i := range sp.items {
		if err := checkPacked(ls[i]); err != nil {
			return err
		}
	}
	buf, err := s.readRange(ctx, ls[sp.items[0]], sp.offset, sp.length)
	if err != nil {
		return err
	}
	for _, i := range sp.items {
		l := ls[i]
		from := l.Offset - sp.offset
		payload := buf[from : from+l.Length : from+l.Length]
		if sp.useful < sp.length/2 {
			payload = bytes.Clone(payload) // or the gaps would stay in memory with it
		}
		f := bundle.Frame{Digest: l.Digest, Codec: l.Codec, Size: l.Size, Payload: payload}
		blob, err := openFrame(l, f)
		if err != nil {
			return err
		}
		if err := fn(i, f, blob); err != nil {
			return err
		}
	}
	return nil
}
