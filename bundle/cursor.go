package bundle

import "context"

// loadFunc returns the items of the page that ref names, which are of the given
// level.
type loadFunc func(ctx context.Context, ref item, level int) ([]item, error)

// cursor stands on one item of one level of a tree and moves along that level,
// reading only the pages on its way.
type cursor struct {
	load   loadFunc
	top    int     // the root's level
	level  int     // of the items it stands on
	frames []frame // from the root down to that level
}

type frame struct {
	items []item
	i     int
}

func newCursor(m *Manifest, level int, load loadFunc) *cursor {
	return &cursor{load: load, top: m.level, level: level, frames: []frame{{items: m.items}}}
}

func (c *cursor) item() item { return c.last().items[c.last().i] }

func (c *cursor) last() *frame { return &c.frames[len(c.frames)-1] }

// seek moves to the item that covers path, or to the first one if path is
// before it. It reports false only where there is no item at all.
func (c *cursor) seek(ctx context.Context, path string) (bool, error) {
	c.frames = c.frames[:1]
	if len(c.last().items) == 0 {
		return false, nil
	}
	pick := func(items []item) int { return max(0, cover(items, path)) }
	c.last().i = pick(c.last().items)
	return true, c.descend(ctx, pick)
}

// descend goes down to the cursor's level, at each page to the item that pick
// chooses.
func (c *cursor) descend(ctx context.Context, pick func([]item) int) error {
	for at := c.top - len(c.frames); at >= c.level; at-- {
		items, err := c.load(ctx, c.item(), at)
		if err != nil {
			return err
		}
		c.frames = append(c.frames, frame{items, pick(items)})
	}
	return nil
}

// next moves to the next item and reports whether there is one; if not, it
// stays.
func (c *cursor) next(ctx context.Context) (bool, error) {
	return c.step(ctx, +1, func([]item) int { return 0 })
}

// prev moves to the item before and reports whether there is one; if not, it
// stays.
func (c *cursor) prev(ctx context.Context) (bool, error) {
	return c.step(ctx, -1, func(items []item) int { return len(items) - 1 })
}

func (c *cursor) step(ctx context.Context, by int, pick func([]item) int) (bool, error) {
	for k := len(c.frames) - 1; k >= 0; k-- {
		f := &c.frames[k]
		if i := f.i + by; i >= 0 && i < len(f.items) {
			f.i = i
			c.frames = c.frames[:k+1]
			return true, c.descend(ctx, pick)
		}
	}
	return false, nil
}
