package bundle

import "context"

// Diff calls fn for every path whose file is not the same in a and b, in the
// order of paths, until fn returns an error, which Diff returns. A file that one
// side lacks is nil there. Pages that both have are not read, so the cost grows
// with the difference. Links are not compared.
func Diff(ctx context.Context, a, b *Manifest, fetch Fetch, fn func(path string, a, b *File) error) error {
	as, bs := newStream(a, fetch), newStream(b, fetch)
	for {
		x, y := as.head(), bs.head()
		var err error
		switch {
		case x == nil && y == nil:
			return nil
		case y == nil || x != nil && x.path < y.path:
			err = as.take(ctx, bs, func(f *File) error { return fn(f.Path, f, nil) })
		case x == nil || y.path < x.path:
			err = bs.take(ctx, as, func(f *File) error { return fn(f.Path, nil, f) })
		case as.level() == bs.level() && *x == *y:
			as.drop()
			bs.drop()
		case as.level() > bs.level():
			err = as.expand(ctx, bs)
		case bs.level() > 0:
			err = bs.expand(ctx, as)
		default:
			fa, fb := x.file(), y.file()
			as.drop()
			bs.drop()
			err = fn(fa.Path, &fa, &fb)
		}
		if err != nil {
			return err
		}
	}
}

// stream goes through a tree from left to right; its head is the next item not
// dealt with, of whatever level. Everything in it comes after everything dealt
// with.
type stream struct {
	fetch Fetch
	stack []streamLevel
	ahead map[Digest][]item // pages read in a batch before they are wanted
}

type streamLevel struct {
	level int
	items []item // never empty
}

func newStream(m *Manifest, fetch Fetch) *stream {
	s := &stream{fetch: fetch, ahead: map[Digest][]item{}}
	s.push(m.level, m.items)
	return s
}

func (s *stream) push(level int, items []item) {
	if len(items) > 0 {
		s.stack = append(s.stack, streamLevel{level, items})
	}
}

// head returns the next item, nil at the end.
func (s *stream) head() *item {
	if len(s.stack) == 0 {
		return nil
	}
	return &s.stack[len(s.stack)-1].items[0]
}

// level returns the level of the head.
func (s *stream) level() int { return s.stack[len(s.stack)-1].level }

// drop takes the head away.
func (s *stream) drop() {
	top := &s.stack[len(s.stack)-1]
	if top.items = top.items[1:]; len(top.items) == 0 {
		s.stack = s.stack[:len(s.stack)-1]
	}
}

// take hands over the head if it is a file, and else expands it.
func (s *stream) take(ctx context.Context, other *stream, fn func(*File) error) error {
	if s.level() > 0 {
		return s.expand(ctx, other)
	}
	f := s.head().file()
	s.drop()
	return fn(&f)
}

// expand replaces the head by the items of the page it names. Siblings that the
// other side does not have will be wanted next and are read along.
func (s *stream) expand(ctx context.Context, other *stream) error {
	ref, level := *s.head(), s.level()-1
	if _, ok := s.ahead[ref.digest]; !ok {
		if err := s.read(ctx, other); err != nil {
			return err
		}
	}
	items := s.ahead[ref.digest]
	delete(s.ahead, ref.digest)
	s.drop()
	s.push(level, items)
	return nil
}

func (s *stream) read(ctx context.Context, other *stream) error {
	shared := map[Digest]bool{}
	for _, l := range other.stack {
		for _, it := range l.items {
			shared[it.digest] = true
		}
	}
	top := s.stack[len(s.stack)-1]
	refs := []item{top.items[0]}
	for _, it := range top.items[1:] {
		if _, ok := s.ahead[it.digest]; !ok && !shared[it.digest] && len(refs) < FetchBatch {
			refs = append(refs, it)
		}
	}
	pages, err := s.fetch.many(ctx, refs, top.level-1)
	if err != nil {
		return err
	}
	for i, p := range pages {
		s.ahead[refs[i].digest] = p
	}
	return nil
}
