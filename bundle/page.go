package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
)

// The shape of a manifest. Every number here is part of a snapshot's identity:
// changing one is a new manifestVersion.
const (
	manifestVersion = 1

	rootItems  = 128      // items that still fit into the root page
	pageMin    = 16       // items before a page may end where a path says so
	pageMax    = 256      // items after which a page ends anyway
	pageWeight = 64 << 10 // weight after which a page or root is full
	itemWeight = 64       // weight of an item beside its path: its most bytes, and a few
	levelBits  = 6        // a path starts a page one level up with 1/64 the chance
	maxLevel   = 7        // levels above the files; the limits below make more impossible

	maxName = 4096 // bytes of a path or link name; what may be written is far shorter

	// minForced is the fewest items of a page that is not its level's last:
	// even the heaviest items fill a page only when there are this many.
	minForced = min(pageMin, pageWeight/(maxName+itemWeight))
)

// MaxManifestRoot bounds the root page's bytes. Other pages stay under
// [MaxFrameBlob]; only very many links make a root larger than that.
const MaxManifestRoot = 16 << 20

// MaxFiles bounds the number of files of one snapshot.
const MaxFiles = 1 << 24

// item is what pages hold: at level 0 a file, of which there is one, and above
// it a page of the level below, named by the first path under it.
type item struct {
	path   string
	digest Digest
	count  uint64 // files at or under the item
	bytes  uint64 // the sum of their sizes
}

func (it item) file() File { return File{Path: it.path, Digest: it.digest, Size: int64(it.bytes)} }

func fileItem(f File) item { return item{f.Path, f.Digest, 1, uint64(f.Size)} }

func weight(path string) int { return len(path) + itemWeight }

// cutter decides where the pages of one level start. It is fed the paths of the
// level's items in order, and its answers depend on nothing else. After a start
// it has forgotten all that came before, which is why an edit can take up at the
// start of any page and is done as soon as it meets another.
type cutter struct{ level, n, weight int }

// starts reports whether the item of this path would start a page.
func (c *cutter) starts(path string) bool {
	return c.n == 0 || c.n >= pageMax || c.weight+weight(path) > pageWeight ||
		c.n >= pageMin && startsPage(path, c.level)
}

// add takes the next item and reports whether it starts a page.
func (c *cutter) add(path string) bool {
	start := c.starts(path)
	if start {
		c.n, c.weight = 0, 0
	}
	c.n++
	c.weight += weight(path)
	return start
}

// startsPage reports whether the SHA-256 of path ends in enough zero bits to
// start a page of items of that level.
func startsPage(path string, level int) bool {
	d := sha256.Sum256([]byte(path))
	return bits.TrailingZeros64(binary.BigEndian.Uint64(d[len(d)-8:])) >= levelBits*(level+1)
}

// fitsRoot reports whether the items need no level above them.
func fitsRoot(items []item) bool {
	if len(items) > rootItems {
		return false
	}
	w := 0
	for _, it := range items {
		w += weight(it.path)
	}
	return w <= pageWeight
}

// totals sums the items up. It fails where the sums exceed what is allowed.
func totals(items []item) (count, bytes uint64, err error) {
	for _, it := range items {
		count += it.count // no overflow: both are at most MaxFiles
		bytes += it.bytes // no overflow: both are at most MaxInt64
		if it.count > MaxFiles || count > MaxFiles {
			return 0, 0, Errorf(KindTooLarge, "a bundle has at most %d files; split it", MaxFiles)
		}
		if it.bytes > math.MaxInt64 || bytes > math.MaxInt64 {
			return 0, 0, Errorf(KindTooLarge, "the files of a bundle have at most %d bytes in all", int64(math.MaxInt64))
		}
	}
	return count, bytes, nil
}

// refTo returns the item that stands for a page.
func refTo(d Digest, items []item) (item, error) {
	count, bytes, err := totals(items)
	return item{items[0].path, d, count, bytes}, err
}

// encodePage returns the bytes of a page that is not a root.
func encodePage(level int, items []item) []byte {
	b := appendUint(appendArray(nil, 3), manifestVersion)
	b = appendUint(b, uint64(level))
	return appendItems(b, level, items)
}

func appendItems(b []byte, level int, items []item) []byte {
	b = appendArray(b, len(items))
	for _, it := range items {
		if level == 0 {
			b = appendArray(b, 3)
		} else {
			b = appendArray(b, 4)
		}
		b = appendText(b, it.path)
		b = appendBytes(b, it.digest[:])
		if level > 0 {
			b = appendUint(b, it.count)
		}
		b = appendUint(b, it.bytes)
	}
	return b
}

// encodeRoot returns the bytes of a root page.
func encodeRoot(level int, items []item, links []Link) ([]byte, error) {
	count, bytes, err := totals(items)
	if err != nil {
		return nil, err
	}
	b := appendUint(appendArray(nil, 6), manifestVersion)
	b = appendUint(b, uint64(level))
	b = appendUint(b, count)
	b = appendUint(b, bytes)
	b = appendItems(b, level, items)
	b = appendLinks(b, links)
	if len(b) > MaxManifestRoot {
		return nil, Errorf(KindTooLarge, "the links of a bundle take %d bytes of at most %d; use fewer", len(b), MaxManifestRoot)
	}
	return b, nil
}

func appendLinks(b []byte, links []Link) []byte {
	b = appendArray(b, len(links))
	for _, l := range links {
		b = appendText(appendArray(b, 3), l.Name)
		b = appendDependency(b, l.Direct)
		b = appendArray(b, len(l.Indirect))
		for _, d := range l.Indirect {
			b = appendDependency(b, d)
		}
	}
	return b
}

func appendDependency(b []byte, d Dependency) []byte {
	b = appendBytes(appendArray(b, 3), d.Bundle[:])
	b = appendUint(b, d.Version)
	return appendBytes(b, d.Snapshot[:])
}

// page is a decoded page of either form. Its own bytes are checked in full;
// what only its neighbours can tell is not.
type page struct {
	level int
	items []item
	count uint64 // files
	bytes uint64 // of them
	root  bool
	links []Link // of a root
}

// decodePage reads a page whose digest has been checked.
func decodePage(b []byte) (p page, err error) {
	r := &cborReader{b: b}
	n := r.head(cborArray)
	if v := r.uint(); r.err == nil && v != manifestVersion {
		return p, Errorf(KindInvalid, "manifest format %d is newer than this program reads; upgrade it", v)
	}
	if n != 3 && n != 6 {
		r.fail("it has %d parts", n)
	}
	p.root = n == 6
	level := r.uint()
	if level > maxLevel {
		r.fail("level %d is too high", level)
	}
	p.level = int(min(level, maxLevel))
	var count, bytes uint64
	if p.root {
		count, bytes = r.uint(), r.uint()
	}
	p.items = r.items(p.level)
	if p.root {
		p.links = r.links()
	}
	if err := r.end(); err != nil {
		return page{}, err
	}
	if p.count, p.bytes, err = totals(p.items); err != nil {
		return page{}, err
	}
	if p.root {
		if count != p.count || bytes != p.bytes {
			return page{}, Errorf(KindInvalid, "its sums are wrong")
		}
		return p, checkLinks(p.links)
	}
	return p, nil
}

// items reads a page's items and checks what can be seen inside one page:
// strict order, limits, and that it neither is empty (unless a root of files)
// nor should have been cut.
func (r *cborReader) items(level int) []item {
	minLen := 1 + 1 + 34 + 1
	n := r.array(minLen)
	items := make([]item, 0, min(n, pageMax))
	for range n {
		if len(items) == pageMax {
			r.fail("a page has more than %d items", pageMax)
		}
		var it item
		if level == 0 {
			r.tuple(3)
		} else {
			r.tuple(4)
		}
		it.path = r.text(maxName)
		r.fixed(it.digest[:])
		it.count = 1
		if level > 0 {
			it.count = r.uint()
		}
		it.bytes = r.uint()
		switch {
		case r.err != nil:
			return nil
		case it.path == "":
			r.fail("a path is empty")
		case it.count == 0:
			r.fail("a page without files is referred to")
		case len(items) > 0 && it.path <= items[len(items)-1].path:
			r.fail("paths are out of order at %q", it.path)
		}
		items = append(items, it)
	}
	return items
}

func (r *cborReader) links() []Link {
	const depLen = 1 + 17 + 1 + 21
	n := r.array(1 + 1 + depLen + 1)
	links := make([]Link, 0, min(n, 1024))
	for range n {
		r.tuple(3)
		l := Link{Name: r.text(maxName), Direct: r.dependency()}
		if k := r.array(depLen); k > 0 {
			l.Indirect = make([]Dependency, 0, k)
			for range k {
				l.Indirect = append(l.Indirect, r.dependency())
			}
		}
		if r.err != nil {
			return nil
		}
		links = append(links, l)
	}
	return links
}

func (r *cborReader) dependency() (d Dependency) {
	r.tuple(3)
	r.fixed(d.Bundle[:])
	d.Version = r.uint()
	r.fixed(d.Snapshot[:])
	return d
}

// checkShape checks what the rules of cutting say of this page alone.
func (p *page) checkShape() error {
	if p.root {
		if !fitsRoot(p.items) {
			return Errorf(KindInvalid, "its items do not fit a root")
		}
		if p.level > 0 && len(p.items) == 0 {
			return Errorf(KindInvalid, "it is an index of nothing")
		}
		return nil
	}
	if len(p.items) == 0 {
		return Errorf(KindInvalid, "it is empty")
	}
	c := cutter{level: p.level}
	for i, it := range p.items {
		if c.add(it.path) != (i == 0) {
			return Errorf(KindInvalid, "it should have been cut at %q", it.path)
		}
	}
	return nil
}

// PageChildren returns the digests of the pages that the given page refers to,
// in path order, none for a page of files. The bytes are those of any page of a
// manifest, their digest already checked by the caller; the page's own form is
// checked here. With it a subscriber that has the previous manifest learns level
// by level which pages of the next one it lacks: whatever digest it has stored,
// it has with all below.
func PageChildren(b []byte) ([]Digest, error) {
	p, err := parsePage(b)
	if err != nil || p.level == 0 {
		return nil, err
	}
	ds := make([]Digest, len(p.items))
	for i, it := range p.items {
		ds[i] = it.digest
	}
	return ds, nil
}

// parsePage decodes a page and checks all that can be checked of it alone.
func parsePage(b []byte) (page, error) {
	if len(b) > MaxManifestRoot {
		return page{}, Errorf(KindInvalid, "manifest page of %d bytes: it is too long", len(b))
	}
	p, err := decodePage(b)
	if err == nil {
		err = p.checkShape()
	}
	if err != nil {
		return page{}, Errorf(KindInvalid, "manifest page: %w", err)
	}
	return p, nil
}
