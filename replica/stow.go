package replica

import (
	"context"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

const (
	// groupBytes and groupFrames are what is stored and located in one go. While
	// one group is written the next is filled, so that a crash loses two groups:
	// a pack's worth.
	groupBytes  = 8 << 20
	groupFrames = 8192
	groupOpened = 64 << 20 // decompressed: pages are kept in memory until their group is stored

	// locateBlobs is how many locations one command carries: some 300 KiB.
	locateBlobs = 2500
)

// stow takes what arrives of one batch, stores it group by group and commits the
// locations of each, while more arrives. The last group stays uncommitted: its
// locations go with the command that makes the batch visible. The contexts of
// its calls all end when writing fails.
type stow struct {
	f *follower
	// spawn runs a writer under the batch's own context, which outlives the
	// requests that brought what it writes.
	spawn func(write func(context.Context) error)
	slot  chan struct{} // one group is written at a time

	adding sync.Mutex // held while a group is filled, and while a full one waits
	group  []bundle.Frame
	bytes  int
	opened int64 // bytes of the group's blobs

	mu      sync.Mutex
	seen    map[bundle.Digest]bool
	pages   map[bundle.Digest][]byte // that cannot be read from the store yet
	located map[bundle.Digest]bundle.Located
	bad     map[bundle.Digest]bundle.Frame // what came in place of a blob
}

// newStow returns a stow whose writers belong to g, which ends ctx.
func newStow(ctx context.Context, f *follower, g *errgroup.Group) *stow {
	spawn := func(write func(context.Context) error) { g.Go(func() error { return write(ctx) }) }
	return &stow{
		f: f, spawn: spawn, slot: make(chan struct{}, 1),
		seen: make(map[bundle.Digest]bool), pages: make(map[bundle.Digest][]byte),
		located: make(map[bundle.Digest]bundle.Located), bad: make(map[bundle.Digest]bundle.Frame),
	}
}

// localError is a failure on this side, whatever was being fetched.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

func local(err error) error {
	if err == nil {
		return nil
	}
	return &localError{err}
}

// adder returns a function that takes manifest pages, which their client has
// checked. They are kept at hand until they can be read from the store.
func (s *stow) adder(ctx context.Context) func(bundle.Frame) error {
	return func(frame bundle.Frame) error {
		page, _, err := frame.Open()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.pages[frame.Digest] = page
		s.mu.Unlock()
		return s.add(ctx, frame)
	}
}

// add takes a frame. What it holds is verified before it is stored; see takeBad.
// It waits while one group is being written and the next is full.
func (s *stow) add(ctx context.Context, frame bundle.Frame) error {
	if !s.first(frame.Digest) {
		return nil
	}
	s.adding.Lock()
	defer s.adding.Unlock()
	s.group = append(s.group, frame)
	s.bytes += frame.EncodedLen()
	s.opened += frame.Size
	if s.bytes < groupBytes && s.opened < groupOpened && len(s.group) < groupFrames {
		return nil
	}
	select {
	case s.slot <- struct{}{}:
	case <-ctx.Done():
		return local(context.Cause(ctx))
	}
	group := s.group
	s.group, s.bytes, s.opened = nil, 0, 0
	s.spawn(func(ctx context.Context) error {
		located, err := s.put(ctx, group)
		if err == nil {
			err = s.locate(ctx, located)
		}
		if err == nil {
			<-s.slot // else nothing more is written: ctx ends
		}
		return err
	})
	return nil
}

// first notes that a blob came, and reports whether it is the first time.
func (s *stow) first(d bundle.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[d] {
		return false
	}
	s.seen[d] = true
	return true
}

// put stores frames and returns where they lie. Those that do not hold what they
// claim are left out and kept as bad.
func (s *stow) put(ctx context.Context, group []bundle.Frame) ([]bundle.Located, error) {
	located, err := s.f.cfg.Store.PutFrames(ctx, group)
	if bundle.IsKind(err, bundle.KindCorrupt) || bundle.IsKind(err, bundle.KindInvalid) {
		good := s.sortOut(group)
		if len(good) == len(group) {
			return nil, local(err)
		}
		located, err = s.f.cfg.Store.PutFrames(ctx, good)
	}
	return located, local(err)
}

// sortOut returns the frames that hold what they claim.
func (s *stow) sortOut(group []bundle.Frame) []bundle.Frame {
	var good []bundle.Frame
	for _, frame := range group {
		if _, _, err := frame.Open(); err != nil {
			s.spoilt(frame.Digest, frame)
			continue
		}
		good = append(good, frame)
	}
	return good
}

// spoilt notes what came in place of the blob d.
func (s *stow) spoilt(d bundle.Digest, frame bundle.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[d] = frame
	delete(s.seen, d)
}

// takeBad returns what came in place of blobs since the last call, by what
// should have come. Everything added is stored or among it.
func (s *stow) takeBad(ctx context.Context) (map[bundle.Digest]bundle.Frame, error) {
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bad := s.bad
	s.bad = make(map[bundle.Digest]bundle.Frame)
	return bad, nil
}

// settle stores what is left. Where it lies is not committed, unless that is
// more than the batch's own command can carry.
func (s *stow) settle(ctx context.Context) error {
	select {
	case s.slot <- struct{}{}:
		defer func() { <-s.slot }()
	case <-ctx.Done():
		return local(context.Cause(ctx))
	}
	s.adding.Lock()
	group := s.group
	s.group, s.bytes, s.opened = nil, 0, 0
	s.adding.Unlock()
	if len(group) > 0 {
		located, err := s.put(ctx, group)
		if err != nil {
			return err
		}
		s.mu.Lock()
		for _, l := range located {
			s.located[l.Digest] = l
		}
		s.mu.Unlock()
	}
	if rest := s.rest(); len(rest) > intakeBlobs {
		return s.locate(ctx, rest)
	}
	return nil
}

// locate commits where blobs lie.
func (s *stow) locate(ctx context.Context, located []bundle.Located) error {
	for chunk := range slices.Chunk(located, locateBlobs) {
		if err := s.f.cfg.apply(ctx, catalog.LocateBlobs{Blobs: chunk}); err != nil {
			return local(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range located {
		delete(s.pages, l.Digest)
		delete(s.located, l.Digest)
	}
	return nil
}

// addObject takes a large blob that is stored already.
func (s *stow) addObject(ctx context.Context, l bundle.Located) error {
	s.first(l.Digest)
	return s.locate(ctx, []bundle.Located{l})
}

// rest returns what is stored but not located in the catalog.
func (s *stow) rest() []bundle.Located {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.located), func(a, b bundle.Located) int {
		return slices.Compare(a.Digest[:], b.Digest[:])
	})
}

// stored reports whether a blob is stored but not located in the catalog.
func (s *stow) stored(d bundle.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.located[d]
	return ok
}

// has reports whether a blob came with this batch.
func (s *stow) has(d bundle.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[d]
}

// fetch is a [bundle.Fetch] of pages that came with this batch or were here.
func (s *stow) fetch(ctx context.Context, ds []bundle.Digest) ([][]byte, error) {
	out := make([][]byte, len(ds))
	var other []bundle.Digest
	s.mu.Lock()
	for i, d := range ds {
		if out[i] = s.pages[d]; out[i] == nil {
			other = append(other, d)
		}
	}
	s.mu.Unlock()
	if len(other) == 0 {
		return out, nil
	}
	pages, err := s.f.cfg.Contents.Fetch(ctx, other)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if out[i] == nil {
			out[i], pages = pages[0], pages[1:]
		}
	}
	return out, nil
}
