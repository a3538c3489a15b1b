package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

const (
	// requestBytes and requestFiles are what one request for files asks for at
	// most, and requestLeast is the least that is worth a request of its own.
	requestBytes = 32 << 20
	requestFiles = 16384
	requestLeast = 4 << 20
	inFlight     = 3 // requests for files at a time
	largeFlight  = 2 // large files at a time

	// maxStalls is how often in a row a request may fail without bringing
	// anything before what it asks for is taken apart.
	maxStalls = 2
	// maxFailing is how many bundles may fail together before the fault is taken
	// to be the peer's and not theirs, at first: each time that happens again
	// without anything taken in between, it is twice as many.
	maxFailing = 8
	maxFloods  = 16 // doublings: more than one batch can hold
)

// wholePeer reports whether an error concerns all that is asked of the peer, or
// this side, and not what was asked for alone.
func wholePeer(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	if _, ok := errors.AsType[*localError](err); ok {
		return true
	}
	if _, ok := publog.AlarmOf(err); ok {
		return true
	}
	switch bundle.KindOf(err) {
	case bundle.KindUnavailable:
		return reasonOf(err) != syndication.ReasonInterrupted
	case bundle.KindUnauthorized, bundle.KindRateLimited, bundle.KindNoSpace:
		return true
	}
	return false
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		return e.Fields["reason"]
	}
	return ""
}

// fetchFiles brings the planned files here. A file that does not arrive as what
// the manifest says is asked for once more; then it is an alarm.
func (f *follower) fetchFiles(ctx context.Context, b *batch, p *plan) error {
	wants := p.wants
	for round := 0; ; round++ {
		if err := f.fetchRound(ctx, b, wants); err != nil {
			return err
		}
		bad, err := b.stow.takeBad(ctx)
		if err != nil || len(bad) == 0 {
			return err
		}
		wants = slices.DeleteFunc(slices.Clone(wants), func(w want) bool {
			_, ok := bad[w.file.Digest]
			return !ok
		})
		if len(wants) == 0 {
			return nil
		}
		if round > 0 {
			return altered(wants[0], bad[wants[0].file.Digest])
		}
		f.log.Warn("peer: files arrived altered; they are asked for once more", "files", len(wants), "first", wants[0].file.Path)
	}
}

// altered is the alarm for a file that came as something else, twice.
func altered(w want, got bundle.Frame) error {
	return &evidenceError{&publog.AlarmError{Alarm: publog.AlarmAltered, Detail: fmt.Sprintf(
		"file %q of version %d of bundle %s should be %s of %d bytes; what came, twice, is something else",
		w.file.Path, w.ref.Number, w.ref.Bundle, w.file.Digest, w.file.Size)}, got.AppendTo(nil)}
}

// fetchRound asks for all wants once, a few requests at a time.
func (f *follower) fetchRound(ctx context.Context, b *batch, wants []want) error {
	var small, large []want
	for _, w := range wants {
		if w.file.Size > bundle.MaxFrameBlob {
			large = append(large, w)
		} else {
			small = append(small, w)
		}
	}
	faults := &faultList{limit: maxFailing << min(f.floods, maxFloods)}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return each(gctx, inFlight, chunks(small), func(ctx context.Context, ws []want) error {
			return f.fetchChunk(ctx, b, ws, faults)
		})
	})
	g.Go(func() error {
		return each(gctx, largeFlight, large, func(ctx context.Context, w want) error {
			err := f.fetchLarge(ctx, b, w, w.file.Size)
			if err == nil || wholePeer(ctx, err) {
				return err
			}
			return faults.add(w.ref.Bundle, err)
		})
	})
	if err := g.Wait(); err != nil {
		if len(faults.found) > faults.limit {
			f.floods++
		}
		return err
	}
	faults.tell(b)
	return nil
}

// each calls fn for the items, a few at a time, until one fails.
func each[T any](ctx context.Context, limit int, items []T, fn func(context.Context, T) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(limit)
	for _, item := range items {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return fn(gctx, item) })
	}
	return g.Wait()
}

// chunks divides files into requests of about the same size, enough of them to
// keep several under way.
func chunks(wants []want) [][]want {
	var total int64
	for _, w := range wants {
		total += w.file.Size
	}
	limit := min(requestBytes, max(requestLeast, total/inFlight+1))
	var all [][]want
	var size int64
	start, versions := 0, 0
	for i, w := range wants {
		if i == start || w.ref != wants[i-1].ref {
			versions++
		}
		if i > start && (size+w.file.Size > limit || i-start >= requestFiles || versions > syndication.MaxBlobWants) {
			all = append(all, wants[start:i])
			start, size, versions = i, 0, 1
		}
		size += w.file.Size
	}
	if start < len(wants) {
		all = append(all, wants[start:])
	}
	return all
}

// fetchChunk asks for small files until all have come. What does not come for a
// reason that may be one bundle's is asked for bundle by bundle, so that only
// that one is set aside.
func (f *follower) fetchChunk(ctx context.Context, b *batch, wants []want, faults *faultList) error {
	for stalls := 0; ; {
		came, err := f.fetchOnce(ctx, b, wants)
		wants = wants[came:]
		switch {
		case err == nil:
			return nil
		case wholePeer(ctx, err):
			return err
		case came > 0:
			stalls = 0
			continue
		}
		if stalls++; stalls < maxStalls {
			continue
		}
		groups := byBundle(wants)
		if len(groups) == 1 {
			return faults.add(wants[0].ref.Bundle, err)
		}
		for _, group := range groups {
			if err := f.fetchChunk(ctx, b, group, faults); err != nil {
				return err
			}
		}
		return nil
	}
}

func byBundle(wants []want) [][]want {
	var groups [][]want
	for i, w := range wants {
		if i == 0 || w.ref.Bundle != wants[i-1].ref.Bundle {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], w)
	}
	return groups
}

// fetchOnce makes one request and returns how many files came, in order.
func (f *follower) fetchOnce(ctx context.Context, b *batch, wants []want) (came int, err error) {
	var request []syndication.BlobWant
	for _, w := range wants {
		if n := len(request); n == 0 || request[n-1].Ref != w.ref {
			request = append(request, syndication.BlobWant{Ref: w.ref})
		}
		last := &request[len(request)-1]
		last.Positions = append(last.Positions, w.position)
	}
	err = f.client.Blobs(ctx, request, func(frame bundle.Frame) error {
		w := wants[came]
		came++
		if frame.Digest != w.file.Digest || frame.Size != w.file.Size {
			b.stow.spoilt(w.file.Digest, frame)
			return nil
		}
		if err := b.stow.add(ctx, frame); err != nil {
			return err
		}
		f.live.useful(1, w.file.Size, int64(frame.EncodedLen()))
		f.cfg.Metrics.PeerUsefulBytes(f.name, int64(frame.EncodedLen()))
		return nil
	})
	return came, err
}

// faultList collects bundles that cannot be fetched, from several goroutines.
type faultList struct {
	limit int
	mu    sync.Mutex
	found map[bundle.ID]error
}

// add notes a fault. Its error ends the round: so many bundles fail that it is
// not the bundles.
func (l *faultList) add(id bundle.ID, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found == nil {
		l.found = make(map[bundle.ID]error)
	}
	l.found[id] = err
	if len(l.found) > l.limit {
		return fmt.Errorf("the files of %d bundles cannot be fetched, the last one says: %w", len(l.found), err)
	}
	return nil
}

// tell sets the bundles aside.
func (l *faultList) tell(b *batch) {
	for id, err := range l.found {
		for _, it := range b.versions() {
			if it.subject() == id {
				b.fail(it, fault{reason: reasonFetch, detail: fmt.Sprintf("its files cannot be fetched: %v", err)})
				break
			}
		}
	}
}

// fetchLarge brings one large file here, of at most limit bytes, going on where
// an answer breaks off. One that arrives altered is fetched once more.
func (f *follower) fetchLarge(ctx context.Context, b *batch, w want, limit int64) error {
	for round := 0; ; round++ {
		r := f.reader(ctx, w, limit)
		located, err := f.cfg.Store.PutStream(ctx, r, &w.file.Digest, w.file.Size)
		r.close()
		switch {
		case err == nil:
			f.live.useful(1, 0, 0)
			return b.stow.addObject(ctx, located)
		case r.err != nil:
			return r.err
		case !bundle.IsKind(err, bundle.KindCorrupt):
			return local(err)
		case round > 0:
			return &publog.AlarmError{Alarm: publog.AlarmAltered, Detail: fmt.Sprintf(
				"file %q of version %d of bundle %s should be %s; what came, twice, is something else", w.file.Path, w.ref.Number, w.ref.Bundle, w.file.Digest)}
		}
		f.log.Warn("peer: a large file arrived altered; it is fetched once more", "file", w.file.Path)
	}
}

// resumingReader reads a large file, with as many requests as it takes. It is
// used by one goroutine.
type resumingReader struct {
	open func(offset int64) (io.ReadCloser, error) // from offset to the file's end
	read func(n int)                               // is told what came

	r      io.ReadCloser
	offset int64
	stalls int   // requests in a row that brought nothing
	err    error // why the peer's side ended
}

// reader returns the reader of a file of at most limit bytes.
func (f *follower) reader(ctx context.Context, w want, limit int64) *resumingReader {
	expected := w.file.Size // -1 until the peer said it
	open := func(offset int64) (io.ReadCloser, error) {
		if offset > 0 && offset == expected {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
		body, size, err := f.client.File(ctx, w.ref, w.file.Path, offset)
		if err != nil {
			return nil, err
		}
		if size > limit || expected >= 0 && size != expected {
			body.Close()
			return nil, &publog.AlarmError{Alarm: publog.AlarmAltered, Detail: fmt.Sprintf(
				"file %q of version %d of bundle %s should have %d bytes, the peer says %d", w.file.Path, w.ref.Number, w.ref.Bundle, expected, size)}
		}
		expected = size
		return body, nil
	}
	return &resumingReader{open: open, read: func(n int) {
		f.live.useful(0, int64(n), int64(n))
		f.cfg.Metrics.PeerUsefulBytes(f.name, int64(n))
	}}
}

// Read implements io.Reader.
func (r *resumingReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.r == nil {
			body, err := r.open(r.offset)
			if err != nil {
				r.failed(err)
				continue
			}
			r.r = body
		}
		n, err := r.r.Read(p)
		if n > 0 {
			r.stalls = 0
			r.offset += int64(n)
			r.read(n)
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			r.close()
			r.failed(bundle.Errorf(bundle.KindUnavailable, "the file breaks off at byte %d: %w", r.offset, err).
				With("reason", syndication.ReasonInterrupted))
		}
	}
	return 0, r.err
}

// failed ends the reader, unless the request is worth making again.
func (r *resumingReader) failed(err error) {
	if r.stalls++; r.stalls > maxStalls || reasonOf(err) != syndication.ReasonInterrupted {
		r.err = err
	}
}

func (r *resumingReader) close() {
	if r.r != nil {
		r.r.Close()
		r.r = nil
	}
}
