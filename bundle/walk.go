package bundle

import "context"

// Walk calls fn for every file in the order of paths until fn returns an error,
// which Walk returns. It reads pages in batches of siblings, holds at most one
// batch of each level, and verifies as [Manifest.Verify] does; what fn was given
// before an error is then part of a manifest that must not be used.
func (m *Manifest) Walk(ctx context.Context, fetch Fetch, fn func(File) error) error {
	w := walker{fetch: fetch, fn: fn, levels: make([]walkLevel, m.level+1)}
	for i := range w.levels {
		w.levels[i].cutter.level = i
	}
	if m.level == 0 {
		return w.page(ctx, 0, m.items)
	}
	if err := w.under(ctx, m.level, m.items); err != nil {
		return err
	}
	if below := w.levels[m.level-1]; below.n <= rootItems && below.weight <= pageWeight {
		return Errorf(KindInvalid, "manifest %s is not canonical: it has a level too many", m.digest)
	}
	return nil
}

// Verify reads every page and returns nil only if they are the one canonical
// manifest of what they hold, so that [Encode] of it gives the same digest.
// The error is of [KindCorrupt] or [KindInvalid], or Fetch's.
func (m *Manifest) Verify(ctx context.Context, fetch Fetch) error {
	return m.Walk(ctx, fetch, func(File) error { return nil })
}

// walker goes through a tree from left to right. Each level's cutter sees that
// level's items across pages and must agree with where the pages start.
type walker struct {
	fetch  Fetch
	fn     func(File) error
	levels []walkLevel
	last   string // the last path
}

type walkLevel struct {
	cutter    cutter
	n, weight int // of all items of the level, for the question what fits a root
}

// under visits the pages that items of the given level refer to.
func (w *walker) under(ctx context.Context, level int, items []item) error {
	for len(items) > 0 {
		batch := items[:min(len(items), FetchBatch)]
		items = items[len(batch):]
		if err := ctx.Err(); err != nil {
			return err
		}
		pages, err := w.fetch.many(ctx, batch, level-1)
		if err != nil {
			return err
		}
		for i, p := range pages {
			pages[i] = nil
			if err := w.tally(level-1, p, batch[i].digest); err != nil {
				return err
			}
			if err := w.page(ctx, level-1, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// tally checks a page against those before it.
func (w *walker) tally(level int, items []item, d Digest) error {
	l := &w.levels[level]
	for i, it := range items {
		if l.cutter.add(it.path) != (i == 0) {
			return Errorf(KindInvalid, "manifest page %s is not canonical: it starts or ends in the wrong place", d)
		}
		l.n++
		l.weight += weight(it.path)
	}
	return nil
}

func (w *walker) page(ctx context.Context, level int, items []item) error {
	if level > 0 {
		return w.under(ctx, level, items)
	}
	for _, it := range items {
		if it.path <= w.last {
			return Errorf(KindInvalid, "manifest pages overlap at %q", it.path)
		}
		w.last = it.path
		if err := w.fn(it.file()); err != nil {
			return err
		}
	}
	return nil
}
