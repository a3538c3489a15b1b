package replica

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestI5CopiesEqualTheirPrimaryAndNeverGoBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &clock{}
		north, south := newSite(rt, t.TempDir(), "north", c), newSite(rt, t.TempDir(), "south", c)
		north.peerWith(south, all)
		coll := north.collection("c")
		var bundles []bundle.ID
		var refs []bundle.VersionRef
		heads := make(map[bundle.ID]uint64)
		watch := func() {
			for _, id := range bundles {
				south.view(func(v *catalog.View) error {
					b, err := v.Bundle(id)
					if bundle.IsKind(err, bundle.KindNotFound) {
						return nil
					}
					if b.Head < heads[id] {
						rt.Fatalf("bundle %s went from version %d back to %d", id, heads[id], b.Head)
					}
					heads[id] = b.Head
					return err
				})
			}
		}
		var r *running
		for range rapid.IntRange(3, 15).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"bundle", "publish", "publish", "start", "stop", "catch up", "rescan"}).Draw(rt, "step") {
			case "bundle":
				bundles = append(bundles, north.bundle(coll, fmt.Sprint(len(bundles))))
			case "publish":
				if len(bundles) == 0 {
					continue
				}
				id := rapid.SampledFrom(bundles).Draw(rt, "bundle")
				files := make(map[string]string)
				for i := range rapid.IntRange(0, 4).Draw(rt, "files") {
					files[fmt.Sprint(i)] = rapid.StringN(0, 10, 40).Draw(rt, "content")
				}
				var links []bundle.VersionRef
				if len(refs) > 0 && rapid.Bool().Draw(rt, "link") {
					if ref := rapid.SampledFrom(refs).Draw(rt, "to"); ref.Bundle != id && !north.reaches(ref, id) {
						links = append(links, ref)
					}
				}
				refs = append(refs, north.publish(id, files, links...))
			case "start":
				if r == nil {
					r = south.follow(nil)
				}
			case "stop":
				if r != nil {
					r.stop()
					r = nil
				}
			case "catch up":
				if r != nil && len(refs) > 0 {
					south.awaitVersion(refs[len(refs)-1])
				}
			case "rescan":
				south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(coll)})
				south.propose(catalog.Unsubscribe{Peer: north.id(), Selector: onlyCollection(coll)})
			}
			watch()
			south.wantCopy(north)
		}
		if r == nil {
			r = south.follow(nil)
		}
		for _, ref := range refs {
			south.awaitVersion(ref)
		}
		watch()
		south.wantCopy(north)
		r.stop()
	})
}

// reaches reports whether a version depends on any version of a bundle.
func (s *site) reaches(ref bundle.VersionRef, id bundle.ID) (found bool) {
	s.view(func(v *catalog.View) error {
		deps, err := v.Deps(ref)
		for _, d := range deps {
			found = found || d.Bundle == id
		}
		return err
	})
	return found
}
