package bundle

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"unicode/utf8"
)

// File is one file of a snapshot.
type File struct {
	Path   string // see CheckPath; an import's may be anything of valid UTF-8
	Digest Digest // of its bytes
	Size   int64  // bytes
}

// Marked reports whether the path breaks the rules for writing, which only an
// import of old data can bring about. Such a file can be read and deleted; it
// cannot be written anew, and it must not be unpacked into a folder.
func (f File) Marked() bool { return !cleanPath(f.Path) }

// Dependency names a version of a bundle and what it held.
type Dependency struct {
	Bundle   ID
	Version  uint64
	Snapshot Hash20 // the API's digest of that version's snapshot
}

// Compare orders dependencies by bundle, version and snapshot.
func (d Dependency) Compare(o Dependency) int {
	return cmp.Or(bytes.Compare(d.Bundle[:], o.Bundle[:]), cmp.Compare(d.Version, o.Version),
		bytes.Compare(d.Snapshot[:], o.Snapshot[:]))
}

// Link is a named dependency of a snapshot.
type Link struct {
	Name     string // any text of at most 4096 bytes
	Direct   Dependency
	Indirect []Dependency // all that Direct depends on, sorted by Compare, none twice
}

// Marked reports whether the link breaks the rules for writing, as an import of
// old data may: it names version 0, or leads to the bundle that holds it, which
// is self.
func (l Link) Marked(self ID) bool {
	return l.Direct.Version == 0 || l.Direct.Bundle == self ||
		slices.ContainsFunc(l.Indirect, func(d Dependency) bool { return d.Bundle == self })
}

// Snapshot is the whole content of a version, in memory. [Encode] wants it
// sorted: see [Snapshot.Sort].
type Snapshot struct {
	Files []File // by path
	Links []Link // by name
}

// Sort puts files, links and indirect dependencies into their canonical order
// and drops repeated indirect dependencies. It cannot repair a path or a link
// name given twice.
func (s *Snapshot) Sort() {
	slices.SortFunc(s.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(s.Links, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.Links {
		slices.SortFunc(s.Links[i].Indirect, Dependency.Compare)
		s.Links[i].Indirect = slices.Compact(s.Links[i].Indirect)
	}
}

// Page is one stored piece of a manifest.
type Page struct {
	Digest Digest // of Bytes; the root page's is the snapshot's identity
	Bytes  []byte
}

// Encode returns the canonical manifest of s: its root's digest and all its
// pages, each once, children before parents and so the root last. Equal
// snapshots have equal manifests, however they came about. The errors are of
// [KindInvalid] for what is not sorted and unique or not encodable at all, and
// of [KindTooLarge]. Whether a path or link may be written is not judged here.
func Encode(s *Snapshot) (root Digest, pages []Page, err error) {
	items := make([]item, len(s.Files))
	for i, f := range s.Files {
		if err := checkFile(f); err != nil {
			return Digest{}, nil, err
		}
		if i > 0 && f.Path <= s.Files[i-1].Path {
			return Digest{}, nil, Errorf(KindInvalid, "file %q is out of order or given twice", f.Path)
		}
		items[i] = fileItem(f)
	}
	if err := checkLinks(s.Links); err != nil {
		return Digest{}, nil, err
	}
	keep := func(p Page, _ []item) { pages = append(pages, p) }
	items, level, err := grow(items, 0, keep)
	if err != nil {
		return Digest{}, nil, err
	}
	b, err := encodeRoot(level, items, s.Links)
	if err != nil {
		return Digest{}, nil, err
	}
	root = DigestOf(b)
	return root, append(pages, Page{root, b}), nil
}

// grow cuts the items of a level into pages and goes on with the references to
// them, until what is left fits a root. Each page goes to emit.
func grow(items []item, level int, emit func(Page, []item)) (top []item, topLevel int, err error) {
	for !fitsRoot(items) {
		if level == maxLevel || len(items) > MaxFiles {
			return nil, 0, Errorf(KindTooLarge, "a bundle has at most %d files; split it", MaxFiles)
		}
		var refs []item
		c, start := cutter{level: level}, 0
		for i := range len(items) + 1 {
			if i < len(items) && (!c.add(items[i].path) || i == 0) {
				continue
			}
			p := newPage(level, items[start:i])
			ref, err := refTo(p.Digest, items[start:i])
			if err != nil {
				return nil, 0, err
			}
			emit(p, items[start:i])
			refs, start = append(refs, ref), i
		}
		items, level = refs, level+1
	}
	return items, level, nil
}

func newPage(level int, items []item) Page {
	b := encodePage(level, items)
	return Page{DigestOf(b), b}
}

// checkFile refuses what cannot be encoded.
func checkFile(f File) error {
	switch {
	case f.Path == "" || len(f.Path) > maxName || !utf8.ValidString(f.Path):
		return Errorf(KindInvalid, "%q cannot be a path: it must be valid UTF-8 of 1 to %d bytes", f.Path, maxName)
	case f.Size < 0:
		return Errorf(KindInvalid, "file %q cannot have %d bytes", f.Path, f.Size)
	}
	return nil
}

func checkLinks(links []Link) error {
	for i, l := range links {
		if len(l.Name) > maxName || !utf8.ValidString(l.Name) {
			return Errorf(KindInvalid, "%q cannot be a link's name: it must be valid UTF-8 of at most %d bytes", l.Name, maxName)
		}
		if i > 0 && l.Name <= links[i-1].Name {
			return Errorf(KindInvalid, "link %q is out of order or given twice", l.Name)
		}
		for j, d := range l.Indirect {
			if d.Version > math.MaxInt64 || j > 0 && d.Compare(l.Indirect[j-1]) <= 0 {
				return Errorf(KindInvalid, "the indirect dependencies of link %q are out of order or out of range", l.Name)
			}
		}
		if l.Direct.Version > math.MaxInt64 {
			return Errorf(KindInvalid, "link %q names version %d, which cannot exist", l.Name, l.Direct.Version)
		}
	}
	return nil
}
