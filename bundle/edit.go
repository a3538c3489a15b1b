package bundle

import (
	"context"
	"maps"
	"slices"
	"sort"
)

// Change is what happens to one path in an [Edit].
type Change struct {
	Path string
	File *File // what the path holds from now on, with the same Path; nil deletes
}

// Edit returns the manifest of base with the changes made and with links as its
// links. The changes must be sorted by path, each path once; deleting what is
// not there changes nothing. A nil base is the empty snapshot. The root is the
// one [Encode] gives for the same content, and pages are those of its pages that
// base does not have, children before parents: none at all if nothing changed.
// Edit reads and makes only pages near changed paths. It trusts that base is
// canonical: verify a manifest from elsewhere once, when it arrives.
func Edit(ctx context.Context, base *Manifest, fetch Fetch, changes []Change, links []Link) (root Digest, pages []Page, err error) {
	edits, err := toEdits(changes)
	if err != nil {
		return Digest{}, nil, err
	}
	if err := checkLinks(links); err != nil {
		return Digest{}, nil, err
	}
	if base == nil {
		base = &Manifest{}
	}
	e := &editor{base: base, fetch: fetch, old: map[Digest][]item{}, made: map[Digest]madePage{}}
	items, level, err := e.apply(ctx, edits)
	if err != nil {
		return Digest{}, nil, err
	}
	b, err := encodeRoot(level, items, links)
	if err != nil {
		return Digest{}, nil, err
	}
	if root = DigestOf(b); root == base.digest {
		return root, nil, nil
	}
	return root, append(e.reachable(nil, items), Page{root, b}), nil
}

// edit is a change of one item of a level: a file, or a reference to a page.
type edit struct {
	path string
	put  *item // nil deletes
}

func toEdits(changes []Change) ([]edit, error) {
	edits := make([]edit, len(changes))
	for i, c := range changes {
		if i > 0 && c.Path <= changes[i-1].Path {
			return nil, Errorf(KindInvalid, "change of %q is out of order or given twice", c.Path)
		}
		edits[i].path = c.Path
		if c.File == nil {
			continue
		}
		if c.File.Path != c.Path {
			return nil, Errorf(KindInvalid, "change of %q holds a file of path %q", c.Path, c.File.Path)
		}
		if err := checkFile(*c.File); err != nil {
			return nil, err
		}
		it := fileItem(*c.File)
		edits[i].put = &it
	}
	return edits, nil
}

type editor struct {
	base  *Manifest
	fetch Fetch
	old   map[Digest][]item // pages of base, as read
	made  map[Digest]madePage
}

type madePage struct {
	Page
	items []item
}

// apply rewrites the tree level by level, from the files up, and returns what
// the new root holds.
func (e *editor) apply(ctx context.Context, edits []edit) (items []item, level int, err error) {
	if err := e.readAlong(ctx, edits); err != nil {
		return nil, 0, err
	}
	for level = 0; level < e.base.level && len(edits) > 0; level++ {
		if edits, err = e.rewrite(ctx, level, edits); err != nil {
			return nil, 0, err
		}
	}
	items, level = merge(e.base.items, edits), e.base.level
	if !fitsRoot(items) {
		return grow(items, level, e.keep)
	}
	return e.shrink(ctx, items, level)
}

// shrink takes levels off while what is below fits a root. More items than it
// looks at cannot have so little below them.
func (e *editor) shrink(ctx context.Context, items []item, level int) ([]item, int, error) {
	for level > 0 && len(items) <= (rootItems-1)/minForced+1 {
		var below []item
		for _, it := range items {
			if level == 1 && it.count > rootItems {
				return items, level, nil
			}
			page, err := e.load(ctx, it, level-1)
			if err != nil {
				return nil, 0, err
			}
			below = append(below, page...)
		}
		if !fitsRoot(below) {
			break
		}
		items, level = below, level-1
	}
	return items, level, nil
}

// keep remembers a page of the new tree.
func (e *editor) keep(p Page, items []item) {
	if _, ok := e.old[p.Digest]; !ok {
		e.made[p.Digest] = madePage{p, items}
	}
}

// reachable appends the made pages at and under items, children first. Others
// were made only to find that the tree needs fewer levels.
func (e *editor) reachable(pages []Page, items []item) []Page {
	for _, it := range items {
		if p, ok := e.made[it.digest]; ok {
			delete(e.made, it.digest)
			pages = append(e.reachable(pages, p.items), p.Page)
		}
	}
	return pages
}

// load is a loadFunc over base's pages and the made ones.
func (e *editor) load(ctx context.Context, ref item, level int) ([]item, error) {
	if p, ok := e.made[ref.digest]; ok {
		return p.items, nil
	}
	if items, ok := e.old[ref.digest]; ok {
		return items, nil
	}
	items, err := e.fetch.one(ctx, ref, level)
	if err == nil {
		e.old[ref.digest] = items
	}
	return items, err
}

// readAlong reads, level by level and in batches, the pages that the edits fall
// into, so that rewrite finds most of what it wants in memory.
func (e *editor) readAlong(ctx context.Context, edits []edit) error {
	refs := e.base.items
	for level := e.base.level; level > 0 && len(edits) > 0; level-- {
		var hit []item
		for i, last := 0, -1; i < len(edits); i++ {
			if at := max(0, cover(refs, edits[i].path)); at != last {
				hit, last = append(hit, refs[at]), at
			}
		}
		refs = nil
		for batch := range slices.Chunk(hit, FetchBatch) {
			pages, err := e.fetch.many(ctx, batch, level-1)
			if err != nil {
				return err
			}
			for i, p := range pages {
				e.old[batch[i].digest] = p
				refs = append(refs, p...)
			}
		}
	}
	return nil
}

// rewrite makes the edits, of which there is at least one, to a level below the
// root and returns what they come to on the level above.
func (e *editor) rewrite(ctx context.Context, level int, edits []edit) (up []edit, err error) {
	w := rewriter{editor: e, level: level, at: newCursor(e.base, level+1, e.load)}
	for len(edits) > 0 {
		// A path that starts a page and goes leaves the page before it open.
		if _, err := w.at.seek(ctx, edits[0].path); err != nil {
			return nil, err
		}
		if edits[0].put == nil && w.at.item().path == edits[0].path {
			if _, err := w.at.prev(ctx); err != nil {
				return nil, err
			}
		}
		if edits, err = w.run(ctx, edits); err != nil {
			return nil, err
		}
	}
	return compare(w.gone, w.added), nil
}

// rewriter cuts stretches of one level anew. Its cursor stands on the next old
// page.
type rewriter struct {
	*editor
	level       int
	at          *cursor
	cut         cutter
	page        []item // being filled
	gone, added []item // references to the pages replaced and made
}

// run starts at the cursor's page, whose start stays where it is, and ends where
// old and new pages start at the same item again. It returns the edits still to
// be made.
func (w *rewriter) run(ctx context.Context, edits []edit) ([]edit, error) {
	w.cut = cutter{level: w.level}
	for {
		ref := w.at.item()
		items, err := w.load(ctx, ref, w.level)
		if err != nil {
			return nil, err
		}
		w.gone = append(w.gone, ref)
		more, err := w.at.next(ctx)
		if err != nil {
			return nil, err
		}
		here := edits
		if more {
			next := w.at.item().path
			here = edits[:sort.Search(len(edits), func(i int) bool { return edits[i].path >= next })]
		}
		edits = edits[len(here):]
		for _, it := range merge(items, here) {
			if err := w.push(it); err != nil {
				return nil, err
			}
		}
		if !more {
			return edits, w.flush()
		}
		next := w.at.item().path
		goes := len(edits) > 0 && edits[0].path == next && edits[0].put == nil
		if !goes && w.cut.starts(next) {
			return edits, w.flush()
		}
	}
}

func (w *rewriter) push(it item) error {
	if w.cut.add(it.path) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.page = append(w.page, it)
	return nil
}

// flush makes the page that was being filled, if any.
func (w *rewriter) flush() error {
	if len(w.page) == 0 {
		return nil
	}
	p := newPage(w.level, w.page)
	ref, err := refTo(p.Digest, w.page)
	if err != nil {
		return err
	}
	w.keep(p, w.page)
	w.added, w.page = append(w.added, ref), nil
	return nil
}

// merge returns the items with the edits made. Both are sorted.
func merge(items []item, edits []edit) []item {
	if len(edits) == 0 {
		return items
	}
	out := make([]item, 0, len(items)+len(edits))
	for _, ed := range edits {
		n := sort.Search(len(items), func(i int) bool { return items[i].path >= ed.path })
		out, items = append(out, items[:n]...), items[n:]
		if len(items) > 0 && items[0].path == ed.path {
			items = items[1:]
		}
		if ed.put != nil {
			out = append(out, *ed.put)
		}
	}
	return append(out, items...)
}

// compare returns the edits that turn the items gone into those added.
func compare(gone, added []item) []edit {
	edits := make(map[string]edit, len(gone)+len(added))
	for _, it := range gone {
		edits[it.path] = edit{path: it.path}
	}
	before := make(map[string]item, len(gone))
	for _, it := range gone {
		before[it.path] = it
	}
	for _, it := range added {
		if before[it.path] == it {
			delete(edits, it.path)
		} else {
			edits[it.path] = edit{it.path, &it}
		}
	}
	return slices.SortedFunc(maps.Values(edits), func(a, b edit) int {
		if a.path < b.path {
			return -1
		}
		return 1
	})
}
