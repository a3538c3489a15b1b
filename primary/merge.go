package primary

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// ConflictKind says how a draft and newer versions of its bundle collide.
type ConflictKind string

// The kinds of conflict. Their names are in the REST API.
const (
	ConflictChanged ConflictKind = "changed"         // both changed it, differently
	ConflictDeleted ConflictKind = "deleted"         // one deleted what the other changed
	ConflictFolder  ConflictKind = "file_and_folder" // one needs as a folder what the other has as a file
)

// Conflict is one path or one link that a draft and newer versions of its
// bundle changed in ways that cannot both stand. One of Path and Link is empty.
type Conflict struct {
	Path string       `json:"path,omitempty"`
	Link string       `json:"link,omitempty"`
	Kind ConflictKind `json:"kind"`
}

// ConflictError is the refusal of a commit or rebase, of [bundle.KindConflict].
// The draft is as it was: whoever made it looks at the newest version and
// patches what collides, or deletes it from the draft.
type ConflictError struct {
	Conflicts []Conflict // files by path, then links by name
	err       *bundle.Error
}

func newConflictError(draft catalog.Draft, head uint64, cs []Conflict) *ConflictError {
	first := fmt.Sprintf("file %q", cs[0].Path)
	if cs[0].Link != "" {
		first = fmt.Sprintf("link %q", cs[0].Link)
	}
	if n := len(cs) - 1; n > 0 {
		first += fmt.Sprintf(" and %d more", n)
	}
	return &ConflictError{cs, bundle.Errorf(bundle.KindConflict,
		"Draft %s and version %d both changed %s: make the draft agree with that version there, or drop the change, and try again.",
		draft.Name, head, first).With("reason", "conflicts")}
}

// Error says how many paths and links collide and names the first.
func (e *ConflictError) Error() string { return e.err.Error() }

// Unwrap returns the *bundle.Error that carries the kind.
func (e *ConflictError) Unwrap() error { return e.err }

// merged is what a draft comes to on its bundle's newest version.
type merged struct {
	changes   []bundle.Change // against the newest version, by path
	links     []bundle.Link   // all of them
	changed   bool            // whether the draft differs from its base
	conflicts []Conflict

	// Paths and names at which the overlay says exactly what the base does
	// while the newest version differs: no changes of this draft, though they
	// would become some if its base moved on.
	idleFiles, idleLinks []string
}

// merge brings the changes of a draft, against its base, together with those
// made between its base and the bundle's newest version, whose content is head.
// It looks only at paths that the draft touches.
func (p *Primary) merge(ctx context.Context, s *state, head *bundle.Manifest) (*merged, error) {
	old, err := p.treeOf(ctx, s.content, len(s.Files))
	if err != nil {
		return nil, err
	}
	now := old
	if head != s.content {
		if now, err = p.treeOf(ctx, head, len(s.Files)); err != nil {
			return nil, err
		}
	}
	m := &merged{}
	for _, f := range s.Files {
		if err := m.file(ctx, f.FileOp, old, now); err != nil {
			return nil, err
		}
	}
	if head != s.content {
		if err := m.clashes(ctx, now); err != nil {
			return nil, err
		}
	}
	m.mergeLinks(s, linksOf(s.content), linksOf(head))
	return m, nil
}

// file brings one operation together with what happened to its path.
func (m *merged) file(ctx context.Context, op catalog.FileOp, old, now tree) error {
	was, err := at(ctx, old, op.Path)
	if err != nil {
		return err
	}
	is, err := at(ctx, now, op.Path)
	if err != nil {
		return err
	}
	var mine *bundle.File
	if !op.Delete {
		mine = &bundle.File{Path: op.Path, Digest: op.Digest, Size: op.Size}
	}
	if equal(mine, was) {
		if !equal(was, is) {
			m.idleFiles = append(m.idleFiles, op.Path)
		}
		return nil
	}
	m.changed = true
	switch {
	case equal(was, is):
		m.changes = append(m.changes, bundle.Change{Path: op.Path, File: mine})
	case !equal(mine, is):
		m.conflicts = append(m.conflicts, Conflict{Path: op.Path, Kind: collision(mine == nil || is == nil)})
	}
	return nil
}

func collision(deleted bool) ConflictKind {
	if deleted {
		return ConflictDeleted
	}
	return ConflictChanged
}

// at returns the file at a path, nil for none.
func at(ctx context.Context, t tree, path string) (*bundle.File, error) {
	f, ok, err := t.lookup(ctx, path)
	if !ok || err != nil {
		return nil, err
	}
	return &f, nil
}

func equal[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// clashes looks for changes that add a file where the newest version has a
// folder, or under a file.
func (m *merged) clashes(ctx context.Context, now tree) error {
	ops := make([]catalog.FileOp, len(m.changes))
	for i, c := range m.changes {
		ops[i] = catalog.FileOp{Path: c.Path, Delete: c.File == nil}
	}
	after := newClashes(layered{now, ops})
	for _, c := range m.changes {
		if c.File == nil {
			continue
		}
		clash, err := after.at(ctx, c.Path)
		if err != nil {
			return err
		}
		if clash {
			m.conflicts = append(m.conflicts, Conflict{Path: c.Path, Kind: ConflictFolder})
		}
	}
	slices.SortStableFunc(m.conflicts, func(a, b Conflict) int { return cmp.Compare(a.Path, b.Path) })
	return nil
}

// mergeLinks does for links what file does for files.
func (m *merged) mergeLinks(s *state, old, now []bundle.Link) {
	was, is := byName(old), byName(now)
	result := byName(now)
	for _, op := range s.Links {
		var mine *bundle.Dependency
		if !op.Delete {
			mine = &op.Direct
		}
		w, i := direct(was, op.Name), direct(is, op.Name)
		switch {
		case equal(mine, w):
			if !equal(w, i) {
				m.idleLinks = append(m.idleLinks, op.Name)
			}
			continue
		case equal(w, i):
			if delete(result, op.Name); mine != nil {
				result[op.Name] = op.Link
			}
		case !equal(mine, i):
			m.conflicts = append(m.conflicts, Conflict{Link: op.Name, Kind: collision(mine == nil || i == nil)})
		}
		m.changed = true
	}
	for _, l := range result {
		m.links = append(m.links, l)
	}
	slices.SortFunc(m.links, func(a, b bundle.Link) int { return cmp.Compare(a.Name, b.Name) })
}

func byName(links []bundle.Link) map[string]bundle.Link {
	m := make(map[string]bundle.Link, len(links))
	for _, l := range links {
		m[l.Name] = l
	}
	return m
}

func direct(links map[string]bundle.Link, name string) *bundle.Dependency {
	l, ok := links[name]
	if !ok {
		return nil
	}
	return &l.Direct
}
