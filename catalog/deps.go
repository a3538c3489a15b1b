package catalog

import (
	"slices"

	"github.com/blockstored/blockstored/bundle"
)

// DepsOf returns the versions that the links of a snapshot reach, as
// [Snapshot.Deps] has them: the direct ones, then the others, each once and in
// order. Version 0, which only old data names, is no version.
func DepsOf(links []bundle.Link) []Dep {
	reached := make(map[bundle.VersionRef]bool) // whether directly
	for _, l := range links {
		reached[bundle.VersionRef{Bundle: l.Direct.Bundle, Number: l.Direct.Version}] = true
		for _, d := range l.Indirect {
			ref := bundle.VersionRef{Bundle: d.Bundle, Number: d.Version}
			if !reached[ref] {
				reached[ref] = false
			}
		}
	}
	deps := make([]Dep, 0, len(reached))
	for ref, direct := range reached {
		if ref.Number > 0 {
			deps = append(deps, Dep{VersionRef: ref, Direct: direct})
		}
	}
	slices.SortFunc(deps, func(a, b Dep) int {
		if a.Direct != b.Direct {
			if a.Direct {
				return -1
			}
			return 1
		}
		return bundle.Dependency{Bundle: a.Bundle, Version: a.Number}.Compare(bundle.Dependency{Bundle: b.Bundle, Version: b.Number})
	})
	return deps
}
