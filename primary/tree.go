package primary

import (
	"context"
	"sort"
	"strings"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// tree is the files of a snapshot, for questions about single paths.
type tree interface {
	// lookup returns the file of that path and whether there is one.
	lookup(ctx context.Context, path string) (bundle.File, bool, error)
	// seek returns the first file whose path is not less than from, and
	// whether there is one.
	seek(ctx context.Context, from string) (bundle.File, bool, error)
}

// paged is a tree that reads the few pages each question needs.
type paged struct {
	manifest *bundle.Manifest
	fetch    bundle.Fetch
}

func (t paged) lookup(ctx context.Context, path string) (bundle.File, bool, error) {
	return t.manifest.Lookup(ctx, t.fetch, path)
}

func (t paged) seek(ctx context.Context, from string) (bundle.File, bool, error) {
	return t.manifest.Seek(ctx, t.fetch, from)
}

// listing is all files of a snapshot, by path.
type listing []FileInfo

func (l listing) at(path string) int {
	return sort.Search(len(l), func(i int) bool { return l[i].Path >= path })
}

func (l listing) lookup(ctx context.Context, path string) (bundle.File, bool, error) {
	f, ok, err := l.seek(ctx, path)
	return f, ok && f.Path == path, err
}

func (l listing) seek(_ context.Context, from string) (bundle.File, bool, error) {
	if i := l.at(from); i < len(l) {
		return l[i].File, true, nil
	}
	return bundle.File{}, false, nil
}

// treeOf returns the files of m, nil meaning none, for questions about some
// number of paths: few are looked up page by page, for many all pages are read
// once.
func (p *Primary) treeOf(ctx context.Context, m *bundle.Manifest, paths int) (tree, error) {
	if m == nil {
		return listing(nil), nil
	}
	if l, ok := p.listings.get(m.Digest()); ok {
		return l, nil
	}
	if n := m.NumFiles(); paths <= 8+n/1000 || n > cachedFiles {
		return paged{m, p.fetch}, nil
	}
	return p.walk(ctx, m)
}

// layered is a snapshot with the operations of a draft over it.
type layered struct {
	tree
	ops []catalog.FileOp // by path, each once
}

func (l layered) op(path string) (catalog.FileOp, bool) {
	i := l.from(path)
	if i == len(l.ops) || l.ops[i].Path != path {
		return catalog.FileOp{}, false
	}
	return l.ops[i], true
}

func (l layered) from(path string) int {
	return sort.Search(len(l.ops), func(i int) bool { return l.ops[i].Path >= path })
}

// lookup returns the file that the draft shows at a path.
func (l layered) lookup(ctx context.Context, path string) (bundle.File, bool, error) {
	if op, ok := l.op(path); ok {
		return bundle.File{Path: path, Digest: op.Digest, Size: op.Size}, !op.Delete, nil
	}
	return l.tree.lookup(ctx, path)
}

// under reports whether the draft shows a file whose path starts with prefix.
func (l layered) under(ctx context.Context, prefix string) (bool, error) {
	for _, op := range l.ops[l.from(prefix):] {
		if !strings.HasPrefix(op.Path, prefix) {
			break
		}
		if !op.Delete {
			return true, nil
		}
	}
	for from := prefix; ; {
		f, ok, err := l.tree.seek(ctx, from)
		if err != nil || !ok || !strings.HasPrefix(f.Path, prefix) {
			return false, err
		}
		if _, deleted := l.op(f.Path); !deleted {
			return true, nil
		}
		from = f.Path + "\x00"
	}
}

// clashes finds new paths that need a file to be a folder.
type clashes struct {
	layered
	files map[string]bool // folders asked about: whether a file has that path
}

func newClashes(l layered) *clashes { return &clashes{l, make(map[string]bool)} }

// at reports whether a file at path cannot be beside the other files.
func (c *clashes) at(ctx context.Context, path string) (bool, error) {
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		dir := path[:i]
		is, known := c.files[dir]
		if !known {
			var err error
			if _, is, err = c.lookup(ctx, dir); err != nil {
				return false, err
			}
			c.files[dir] = is
		}
		if is {
			return true, nil
		}
	}
	return c.under(ctx, path+"/")
}
