package primary

import (
	"context"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary/primarytest"
)

// TestMergeFollowsTheModel merges random overlays onto random versions and
// compares conflicts, and the manifest of what came out, with the plain terms.
func TestMergeFollowsTheModel(t *testing.T) {
	path := rapid.SampledFrom([]string{"a", "b", "a/b", "a/c", "a/b/c", "a-b", "d", "e/f"})
	edits := rapid.MapOf(path, rapid.SampledFrom([]string{"", "1", "2"}))
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		free := func(from map[string]string, label string) (overlay, files map[string]string) {
			overlay = edits.Draw(t, label)
			edits := primarytest.Content{Files: overlay}
			onto := primarytest.NewBundle(bundle.ID{})
			onto.Versions = append(onto.Versions, primarytest.Content{Files: from})
			if _, allowed := primarytest.NewDraft(bundle.ID{}, "", onto).Patched(edits); !allowed {
				t.Skip("not a snapshot")
			}
			return overlay, primarytest.Content{Files: from}.With(edits).Files
		}
		_, base := free(map[string]string{}, "base")
		_, head := free(base, "theirs")
		overlay, _ := free(base, "mine")
		b := &primarytest.Bundle{Versions: []primarytest.Content{{Files: base}, {Files: head}}}
		d := &primarytest.Draft{Of: b, Overlay: primarytest.Content{Files: overlay}}

		p := New(Config{})
		s := &state{content: p.encoded(t, base)}
		for _, path := range slices.Sorted(maps.Keys(overlay)) {
			s.Files = append(s.Files, catalog.OverlayFile{FileOp: opOf(path, overlay[path])})
		}
		now := p.encoded(t, head)
		if now.Digest() == s.content.Digest() {
			now = s.content
		}
		got, err := p.merge(ctx, s, now)
		if err != nil {
			t.Fatal(err)
		}
		mine := d.Mine().Files
		if got.changed != (len(mine) > 0) {
			t.Fatalf("changed is %v for %v", got.changed, mine)
		}
		var conflicts []primarytest.Conflict
		for _, c := range got.conflicts {
			conflicts = append(conflicts, primarytest.Conflict{Path: c.Path, Link: c.Link, Kind: string(c.Kind)})
		}
		if want := d.Conflicts(); !slices.Equal(conflicts, want) {
			t.Fatalf("conflicts %v, want %v", conflicts, want)
		}
		if got.conflicts != nil {
			return
		}
		root, _, err := bundle.Edit(ctx, now, p.fetch, got.changes, got.links)
		if want := p.encoded(t, primarytest.Content{Files: head}.With(primarytest.Content{Files: mine}).Files).Digest(); err != nil || root != want {
			t.Fatalf("%v on %v over %v is %s, want %s: %v", overlay, head, base, root, want, err)
		}
		for path := range overlay {
			_, changes := mine[path]
			want := !changes && base[path] != head[path]
			if slices.Contains(got.idleFiles, path) != want {
				t.Fatalf("%s is idle: %v, want %v", path, !want, want)
			}
		}
	})
}

func opOf(path, content string) catalog.FileOp {
	if content == "" {
		return catalog.FileOp{Path: path, Delete: true}
	}
	return catalog.FileOp{Path: path, Digest: bundle.DigestOf([]byte(content)), Size: int64(len(content))}
}

// encoded returns the manifest of files, whose pages p then knows.
func (p *Primary) encoded(t *rapid.T, files map[string]string) *bundle.Manifest {
	s := &bundle.Snapshot{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		op := opOf(path, files[path])
		s.Files = append(s.Files, bundle.File{Path: path, Digest: op.Digest, Size: op.Size})
	}
	root, pages, err := bundle.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		p.pages.add(page.Digest, page.Bytes)
	}
	m, err := p.manifest(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
