package primary

import (
	"context"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// check compares every bundle's newest version, and every draft, with the model.
func (r *modelRun) check(t *rapid.T) {
	for _, b := range r.bundles {
		row, err := look(context.Background(), r.Primary, b.id, (*catalog.View).Bundle)
		if b.gone {
			if !bundle.IsKind(err, bundle.KindNotFound) {
				t.Fatalf("the deleted bundle: %v", err)
			}
			continue
		}
		if err != nil || row.Head != uint64(len(b.versions)-1) {
			t.Fatalf("the newest version is %d, not %d: %v", row.Head, len(b.versions)-1, err)
		}
		if row.Head > 0 {
			r.checkVersion(t, b, int(row.Head))
		}
	}
	for _, d := range r.drafts {
		r.checkDraft(t, d)
	}
}

func (r *modelRun) checkVersion(t *rapid.T, b *modelBundle, number int) {
	ref := bundle.VersionRef{Bundle: b.id, Number: uint64(number)}
	want := b.versions[number]
	list, err := r.Files(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	_, m, err := r.Snapshot(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(want.files) || len(m.Links()) != len(want.links) {
		t.Fatalf("version %d holds %v and %v, not %v", number, list, m.Links(), want)
	}
	for _, f := range list {
		r.checkFile(t, f, want.files[f.Path])
	}
	for _, l := range m.Links() {
		r.checkLink(t, l, want.links[l.Name])
	}
}

func (r *modelRun) checkFile(t *rapid.T, f FileInfo, text string) {
	if want := bundle.BlobOf([]byte(text)); text == "" || f.Digest != want.Digest || f.Hash != want.Hash || f.Size != want.Size {
		t.Fatalf("%+v does not hold %q", f, text)
	}
}

func (r *modelRun) checkLink(t *rapid.T, l bundle.Link, want modelLink) {
	if want.to == nil {
		t.Fatalf("a link %s that should not be", l.Name)
	}
	got := append([]bundle.Dependency{l.Direct}, l.Indirect...)
	all := append([]modelLink{want}, want.reaches()...)
	same := slices.EqualFunc(got, all, func(d bundle.Dependency, m modelLink) bool {
		return d.Bundle == m.to.id && d.Version == uint64(m.number)
	})
	if !same {
		t.Fatalf("link %s leads to %v, not %v", l.Name, got, all)
	}
}

func (r *modelRun) checkDraft(t *rapid.T, d *modelDraft) {
	v, err := r.DraftView(context.Background(), d.id)
	if d.missing() {
		if !bundle.IsKind(err, bundle.KindNotFound) {
			t.Fatalf("the deleted draft: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := d.view()
	if v.Draft.Base != uint64(d.base) || len(v.Files) != len(want.files) || len(v.Links) != len(want.links) {
		t.Fatalf("the draft shows %v and %v on %d, not %v on %d", v.Files, v.Links, v.Draft.Base, want, d.base)
	}
	for _, f := range v.Files {
		r.checkFile(t, f.FileInfo, want.files[f.Path])
		if _, modified := d.overlay.files[f.Path]; f.Modified != modified {
			t.Fatalf("%s is modified: %v, want %v", f.Path, f.Modified, modified)
		}
	}
	for _, l := range v.Links {
		r.checkLink(t, l.Link, want.links[l.Name])
		if _, modified := d.overlay.links[l.Name]; l.Modified != modified {
			t.Fatalf("%s is modified: %v, want %v", l.Name, l.Modified, modified)
		}
	}
}

// history reads every version that was ever made, to the byte.
func (r *modelRun) history(t *rapid.T) {
	for _, b := range r.bundles {
		if b.gone {
			continue
		}
		for number := 1; number < len(b.versions); number++ {
			r.checkVersion(t, b, number)
			ref := bundle.VersionRef{Bundle: b.id, Number: uint64(number)}
			if got := r.site.contents(t, ref); !maps.Equal(got, b.versions[number].files) {
				t.Fatalf("version %d holds %v, not %v", number, got, b.versions[number].files)
			}
		}
	}
}
