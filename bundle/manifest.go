package bundle

import (
	"context"
	"sort"
)

// Fetch returns the bytes of the pages with the given digests, in the order
// asked. It is called from the goroutine that called into this package, with at
// most [FetchBatch] digests at a time, none twice in one call. Errors come back
// to the caller as they are. The bytes are checked against their digests here
// and must not change afterwards.
type Fetch func(ctx context.Context, ds []Digest) ([][]byte, error)

// FetchBatch is the most pages asked for at once. Pages other than the root
// have at most some 64 KiB, so a batch has at most 4 MiB, usually a tenth.
const FetchBatch = 64

// Manifest is the root page of a snapshot, decoded: what a version weighs, what
// it links to, and the way to its files. It never changes and may be used by
// many goroutines. It keeps no [Fetch]: pages are asked for by the calls that
// need them.
type Manifest struct {
	digest Digest
	page
}

// Open reads the root page of a snapshot. It checks that page in full, and
// nothing below it: whoever takes a manifest from elsewhere calls
// [Manifest.Verify]. The error is Fetch's, of [KindCorrupt] where the bytes do
// not match the digest, or of [KindInvalid] where they are no root page.
func Open(ctx context.Context, root Digest, fetch Fetch) (*Manifest, error) {
	bs, err := fetchPages(ctx, fetch, []Digest{root})
	if err != nil {
		return nil, err
	}
	p, err := parsePage(bs[0])
	if err != nil {
		return nil, Errorf(KindInvalid, "manifest %s: %w", root, err)
	}
	if !p.root {
		return nil, Errorf(KindInvalid, "manifest %s: it is a page of another manifest, not a root", root)
	}
	return &Manifest{root, p}, nil
}

// Digest returns the root page's digest: the snapshot's identity.
func (m *Manifest) Digest() Digest { return m.digest }

// NumFiles returns the number of files.
func (m *Manifest) NumFiles() int { return int(m.count) }

// Bytes returns the sum of the files' sizes.
func (m *Manifest) Bytes() int64 { return int64(m.page.bytes) }

// Links returns the links, by name. The caller must not change them.
func (m *Manifest) Links() []Link { return m.links }

// Lookup returns the file of that path and whether there is one. It reads one
// page of each level.
func (m *Manifest) Lookup(ctx context.Context, fetch Fetch, path string) (File, bool, error) {
	items := m.items
	for level := m.level; ; level-- {
		i := cover(items, path)
		if level == 0 {
			if i < 0 || items[i].path != path {
				return File{}, false, nil
			}
			return items[i].file(), true, nil
		}
		if i < 0 {
			return File{}, false, nil
		}
		var err error
		if items, err = fetch.one(ctx, items[i], level-1); err != nil {
			return File{}, false, err
		}
	}
}

// Seek returns the first file whose path is not less than from, and whether
// there is one. Seek of "a/" finds out whether "a" is a folder.
func (m *Manifest) Seek(ctx context.Context, fetch Fetch, from string) (File, bool, error) {
	c := newCursor(m, 0, fetch.one)
	ok, err := c.seek(ctx, from)
	if ok && err == nil && c.item().path < from {
		ok, err = c.next(ctx)
	}
	if !ok || err != nil {
		return File{}, false, err
	}
	return c.item().file(), true, nil
}

// Snapshot reads the whole content into memory and verifies it.
func (m *Manifest) Snapshot(ctx context.Context, fetch Fetch) (*Snapshot, error) {
	s := &Snapshot{Links: m.links}
	err := m.Walk(ctx, fetch, func(f File) error {
		s.Files = append(s.Files, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Pages returns the digests of all pages, the root's first, parents before
// children. It reads the pages of the index but none that holds files, so it is
// cheap; it does not prove that the pages of files exist.
func (m *Manifest) Pages(ctx context.Context, fetch Fetch) ([]Digest, error) {
	all := []Digest{m.digest}
	items := m.items
	for level := m.level; level > 0; level-- {
		var below []item
		for len(items) > 0 {
			batch := items[:min(len(items), FetchBatch)]
			items = items[len(batch):]
			for _, it := range batch {
				all = append(all, it.digest)
			}
			if level == 1 {
				continue
			}
			pages, err := fetch.many(ctx, batch, level-1)
			if err != nil {
				return nil, err
			}
			for _, p := range pages {
				below = append(below, p...)
			}
		}
		items = below
	}
	return all, nil
}

// cover returns the index of the last item whose path is at most path, -1 if
// there is none: the only item that path can be or be under.
func cover(items []item, path string) int {
	return sort.Search(len(items), func(i int) bool { return items[i].path > path }) - 1
}

// fetchPages fetches and compares digests.
func fetchPages(ctx context.Context, fetch Fetch, ds []Digest) ([][]byte, error) {
	bs, err := fetch(ctx, ds)
	if err != nil {
		return nil, err
	}
	if len(bs) != len(ds) {
		return nil, Errorf(KindOther, "asked for %d manifest pages, got %d", len(ds), len(bs))
	}
	for i, b := range bs {
		if DigestOf(b) != ds[i] {
			return nil, Errorf(KindCorrupt, "the bytes of manifest page %s do not match its digest", ds[i])
		}
	}
	return bs, nil
}

// one returns the items, all of the given level, of the page that ref names.
func (f Fetch) one(ctx context.Context, ref item, level int) ([]item, error) {
	pages, err := f.many(ctx, []item{ref}, level)
	if err != nil {
		return nil, err
	}
	return pages[0], nil
}

// many does so for at most FetchBatch pages of one level, and holds each page
// against what its reference says.
func (f Fetch) many(ctx context.Context, refs []item, level int) ([][]item, error) {
	ds := make([]Digest, len(refs))
	for i, ref := range refs {
		ds[i] = ref.digest
	}
	bs, err := fetchPages(ctx, f, ds)
	if err != nil {
		return nil, err
	}
	pages := make([][]item, len(refs))
	for i, ref := range refs {
		p, err := parsePage(bs[i])
		if err != nil {
			return nil, Errorf(KindInvalid, "page %s: %w", ref.digest, err)
		}
		if p.root || p.level != level || p.items[0].path != ref.path || p.count != ref.count || p.bytes != ref.bytes {
			return nil, Errorf(KindInvalid, "manifest page %s is not what its parent says it is", ref.digest)
		}
		pages[i] = p.items
	}
	return pages, nil
}
