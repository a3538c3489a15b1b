package primary

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

// world is what bundles and their drafts should be, in the plainest terms.
type world struct {
	bundles []*modelBundle
	drafts  []*modelDraft
}

// content is what a version holds, or what a draft changes: there "" and the
// zero link delete.
type content struct {
	files map[string]string
	links map[string]modelLink
}

// modelLink is a version that a link leads to.
type modelLink struct {
	to     *modelBundle
	number int
}

type modelBundle struct {
	id       bundle.ID
	versions []content // versions[0] is nothing
	gone     bool
}

type modelDraft struct {
	id      bundle.ID
	name    string
	of      *modelBundle
	base    int
	overlay content
	gone    bool
}

func noContent() content {
	return content{files: make(map[string]string), links: make(map[string]modelLink)}
}

func (b *modelBundle) head() content { return b.versions[len(b.versions)-1] }

func (d *modelDraft) missing() bool { return d.gone || d.of.gone }

func (d *modelDraft) behind() bool { return d.base != len(d.of.versions)-1 }

func (d *modelDraft) under() content { return d.of.versions[d.base] }

// view is what the draft shows.
func (d *modelDraft) view() content { return d.under().with(d.overlay) }

// mine is the overlay without what the base has anyway.
func (d *modelDraft) mine() content {
	return content{differing(d.under().files, d.overlay.files), differing(d.under().links, d.overlay.links)}
}

func (c content) empty() bool { return len(c.files)+len(c.links) == 0 }

func (c content) with(overlay content) content {
	return content{over(c.files, overlay.files), over(c.links, overlay.links)}
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
func collisions[V comparable](base, head, mine map[string]V) (kinds map[string]ConflictKind, kept map[string]V) {
	kinds, kept = make(map[string]ConflictKind), make(map[string]V)
	var none V
	for name, v := range mine {
		switch {
		case v == head[name]:
		case base[name] == head[name]:
			kept[name] = v
		case v == none || head[name] == none:
			kinds[name] = ConflictDeleted
		default:
			kinds[name] = ConflictChanged
		}
	}
	return kinds, kept
}

// conflicts returns what keeps the draft from its bundle's newest version.
func (d *modelDraft) conflicts() (out []Conflict) {
	base, head, mine := d.under(), d.of.head(), d.mine()
	kinds, kept := collisions(base.files, head.files, mine.files)
	after := over(head.files, kept)
	for path, text := range kept {
		if text != "" && inTheWay(after, path) {
			kinds[path] = ConflictFolder
		}
	}
	for _, path := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, Conflict{Path: path, Kind: kinds[path]})
	}
	kinds, _ = collisions(base.links, head.links, mine.links)
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

func clashFree(all map[string]string) bool {
	for path := range all {
		if inTheWay(all, path) {
			return false
		}
	}
	return true
}

// commit makes the draft, which has no conflicts, the next version.
func (d *modelDraft) commit() {
	d.of.versions = append(d.of.versions, d.of.head().with(d.mine()))
	d.base, d.overlay = len(d.of.versions)-1, noContent()
}

// rebase moves the draft, which has no conflicts, to the newest version. What it
// said as its base did, and that version does not, it says no longer.
func (d *modelDraft) rebase() {
	base, head := d.under(), d.of.head()
	idle(base.files, head.files, d.overlay.files)
	idle(base.links, head.links, d.overlay.links)
	d.base = len(d.of.versions) - 1
}

func idle[V comparable](base, head, overlay map[string]V) {
	maps.DeleteFunc(overlay, func(name string, v V) bool { return v == base[name] && v != head[name] })
}

// exists reports whether a link may be set to l.
func (l modelLink) exists() bool { return !l.to.gone && l.number >= 1 && l.number < len(l.to.versions) }

// reaches returns what a link depends on indirectly.
func (l modelLink) reaches() []modelLink {
	var all []modelLink
	for _, next := range l.to.versions[l.number].links {
		all = append(append(all, next), next.reaches()...)
	}
	slices.SortFunc(all, func(a, b modelLink) int {
		return cmp.Or(bytes.Compare(a.to.id[:], b.to.id[:]), cmp.Compare(a.number, b.number))
	})
	return slices.Compact(all)
}

// leadsTo reports whether l, or anything it reaches, is a version of b.
func (l modelLink) leadsTo(b *modelBundle) bool {
	return l.to == b || slices.ContainsFunc(l.reaches(), func(d modelLink) bool { return d.to == b })
}
