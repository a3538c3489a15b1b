package primarytest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

// Content is what a version holds, or what a draft changes: there "" and the
// zero Link delete.
type Content struct {
	Files map[string]string // texts by path
	Links map[string]Link   // by name
}

// Link is where a link leads: a version of a bundle.
type Link struct {
	To     *Bundle
	Number int
}

// Bundle is a bundle with all its versions. Gone says that it was deleted.
type Bundle struct {
	ID       bundle.ID
	Versions []Content // Versions[0] is nothing
	Gone     bool
}

// Draft is a draft on version Base of its bundle. Gone says that it was deleted.
type Draft struct {
	ID      bundle.ID
	Name    string
	Of      *Bundle
	Base    int
	Overlay Content
	Gone    bool
}

// Conflict is a path or a link name at which a draft cannot be merged, as the
// API shows it.
type Conflict struct {
	Path string `json:"path,omitempty"`
	Link string `json:"link,omitempty"`
	Kind string `json:"kind"`
}

// None returns content without files and links.
func None() Content {
	return Content{Files: make(map[string]string), Links: make(map[string]Link)}
}

// NewBundle returns a bundle without versions.
func NewBundle(id bundle.ID) *Bundle { return &Bundle{ID: id, Versions: []Content{None()}} }

// NewDraft returns a draft of b's newest version that changes nothing.
func NewDraft(id bundle.ID, name string, b *Bundle) *Draft {
	return &Draft{ID: id, Name: name, Of: b, Base: len(b.Versions) - 1, Overlay: None()}
}

// Head returns what the newest version holds.
func (b *Bundle) Head() Content { return b.Versions[len(b.Versions)-1] }

// Missing reports whether the draft or its bundle was deleted.
func (d *Draft) Missing() bool { return d.Gone || d.Of.Gone }

// Behind reports whether the bundle has a newer version than the draft's base.
func (d *Draft) Behind() bool { return d.Base != len(d.Of.Versions)-1 }

// Under returns what the draft's base holds.
func (d *Draft) Under() Content { return d.Of.Versions[d.Base] }

// View returns what the draft shows.
func (d *Draft) View() Content { return d.Under().With(d.Overlay) }

// Mine returns the overlay without what the base has anyway.
func (d *Draft) Mine() Content {
	return Content{differing(d.Under().Files, d.Overlay.Files), differing(d.Under().Links, d.Overlay.Links)}
}

// Empty reports whether c has neither files nor links.
func (c Content) Empty() bool { return len(c.Files)+len(c.Links) == 0 }

// With returns c as overlay changes it.
func (c Content) With(overlay Content) Content {
	return Content{over(c.Files, overlay.Files), over(c.Links, overlay.Links)}
}

func over[V comparable](base, overlay map[string]V) map[string]V {
	out := maps.Clone(base)
	maps.Copy(out, overlay)
	var none V
	maps.DeleteFunc(out, func(_ string, v V) bool { return v == none })
	return out
}

func differing[V comparable](base, overlay map[string]V) map[string]V {
	out := maps.Clone(overlay)
	maps.DeleteFunc(out, func(name string, v V) bool { return base[name] == v })
	return out
}

// collisions returns what was changed both in mine and from base to head, and
// what is left of mine.
func collisions[V comparable](base, head, mine map[string]V) (kinds map[string]string, kept map[string]V) {
	kinds, kept = make(map[string]string), make(map[string]V)
	var none V
	for name, v := range mine {
		switch {
		case v == head[name]:
		case base[name] == head[name]:
			kept[name] = v
		case v == none || head[name] == none:
			kinds[name] = "deleted"
		default:
			kinds[name] = "changed"
		}
	}
	return kinds, kept
}

// Conflicts returns what keeps the draft from its bundle's newest version:
// files by path, then links by name.
func (d *Draft) Conflicts() (out []Conflict) {
	if !d.Behind() {
		return nil
	}
	base, head, mine := d.Under(), d.Of.Head(), d.Mine()
	kinds, kept := collisions(base.Files, head.Files, mine.Files)
	after := over(head.Files, kept)
	for path, text := range kept {
		if text != "" && inTheWay(after, path) {
			kinds[path] = "file_and_folder"
		}
	}
	for _, path := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, Conflict{Path: path, Kind: kinds[path]})
	}
	kinds, _ = collisions(base.Links, head.Links, mine.Links)
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, Conflict{Link: name, Kind: kinds[name]})
	}
	return out
}

// inTheWay reports whether a path is needed as a folder, or needs a file as one.
func inTheWay(all map[string]string, path string) bool {
	for other := range all {
		if strings.HasPrefix(other, path+"/") || strings.HasPrefix(path, other+"/") {
			return true
		}
	}
	return false
}

// clashFree reports whether no path is in the way of another.
func clashFree(all map[string]string) bool {
	for path := range all {
		if inTheWay(all, path) {
			return false
		}
	}
	return true
}

// Patched returns the draft's overlay as edits would make it, and whether they
// are allowed.
func (d *Draft) Patched(edits Content) (after Content, allowed bool) {
	after = Content{maps.Clone(d.Overlay.Files), maps.Clone(d.Overlay.Links)}
	maps.Copy(after.Files, edits.Files)
	maps.Copy(after.Links, edits.Links)
	allowed = clashFree(d.Under().With(after).Files)
	for _, l := range edits.Links {
		allowed = allowed && (l.To == nil || l.Exists() && !l.LeadsTo(d.Of))
	}
	return after, allowed
}

// Commit makes the draft, which has no conflicts, the next version.
func (d *Draft) Commit() {
	d.Of.Versions = append(d.Of.Versions, d.Of.Head().With(d.Mine()))
	d.Base, d.Overlay = len(d.Of.Versions)-1, None()
}

// Rebase moves the draft, which has no conflicts, to the newest version. What it
// said as its base did, and that version does not, it says no longer.
func (d *Draft) Rebase() {
	base, head := d.Under(), d.Of.Head()
	idle(base.Files, head.Files, d.Overlay.Files)
	idle(base.Links, head.Links, d.Overlay.Links)
	d.Base = len(d.Of.Versions) - 1
}

func idle[V comparable](base, head, overlay map[string]V) {
	maps.DeleteFunc(overlay, func(name string, v V) bool { return v == base[name] && v != head[name] })
}

// Exists reports whether a link may be set to l.
func (l Link) Exists() bool { return !l.To.Gone && l.Number >= 1 && l.Number < len(l.To.Versions) }

// Reaches returns what a link depends on indirectly, sorted, each once.
func (l Link) Reaches() []Link {
	var all []Link
	for _, next := range l.To.Versions[l.Number].Links {
		all = append(append(all, next), next.Reaches()...)
	}
	slices.SortFunc(all, func(a, b Link) int {
		return cmp.Or(bytes.Compare(a.To.ID[:], b.To.ID[:]), cmp.Compare(a.Number, b.Number))
	})
	return slices.Compact(all)
}

// LeadsTo reports whether l, or anything it reaches, is a version of b.
func (l Link) LeadsTo(b *Bundle) bool {
	return l.To == b || slices.ContainsFunc(l.Reaches(), func(d Link) bool { return d.To == b })
}
