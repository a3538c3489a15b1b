package primary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// model is what a bundle and its drafts should be, in the plainest terms.
type model struct {
	versions []map[string]string // versions[0] is nothing
	drafts   map[bundle.ID]*modelDraft
}

type modelDraft struct {
	base    int
	overlay map[string]string // "" deletes
}

func over(base, overlay map[string]string) map[string]string {
	out := maps.Clone(base)
	for path, content := range overlay {
		if out[path] = content; content == "" {
			delete(out, path)
		}
	}
	return out
}

func (m *model) head() map[string]string { return m.versions[len(m.versions)-1] }

func (m *model) view(d *modelDraft) map[string]string { return over(m.versions[d.base], d.overlay) }

func clashFree(files map[string]string) bool {
	return bundle.CheckPathSet(slices.Sorted(maps.Keys(files))) == nil
}

// effective is the overlay without what the base has anyway.
func (m *model) effective(d *modelDraft) map[string]string {
	out := make(map[string]string)
	for path, content := range d.overlay {
		if m.versions[d.base][path] != content {
			out[path] = content
		}
	}
	return out
}

// conflicts returns the paths in conflict with the newest version.
func (m *model) conflicts(d *modelDraft) []string {
	var out []string
	base, head := m.versions[d.base], m.head()
	mine := m.effective(d)
	kept := make(map[string]string)
	for path, content := range mine {
		if base[path] != head[path] && head[path] != content {
			out = append(out, path)
		} else if head[path] != content {
			kept[path] = content
		}
	}
	after := over(head, kept)
	for path, content := range kept {
		if content == "" {
			continue
		}
		for other := range after {
			if strings.HasPrefix(other, path+"/") || strings.HasPrefix(path, other+"/") {
				out = append(out, path)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestDraftsAndVersionsFollowTheModel drives several drafts of one bundle with
// random patches, commits, rebases and deletions.
func TestDraftsAndVersionsFollowTheModel(t *testing.T) {
	s := newSite(t)
	rapid.Check(t, func(t *rapid.T) {
		b, d := s.bundle(t)
		run := &modelRun{site: s, bundle: b.ID, names: 1}
		run.versions = []map[string]string{{}}
		run.drafts = map[bundle.ID]*modelDraft{d.ID: {overlay: map[string]string{}}}
		run.ids = []bundle.ID{d.ID}
		t.Repeat(map[string]func(*rapid.T){
			"create": run.create, "patch": run.patchDraft, "commit": run.commitDraft,
			"rebase": run.rebase, "delete": run.remove, "": run.check,
		})
	})
}

type modelRun struct {
	*site
	model
	bundle bundle.ID
	ids    []bundle.ID
	names  int
}

func (r *modelRun) pick(t *rapid.T) (bundle.ID, *modelDraft) {
	if len(r.ids) == 0 {
		t.Skip("no draft")
	}
	id := rapid.SampledFrom(r.ids).Draw(t, "draft")
	return id, r.drafts[id]
}

func (r *modelRun) create(t *rapid.T) {
	if len(r.ids) == 4 {
		t.Skip("enough drafts")
	}
	r.names++
	d := r.draft(t, r.bundle, fmt.Sprint("draft ", r.names))
	r.ids = append(r.ids, d.ID)
	r.drafts[d.ID] = &modelDraft{base: len(r.versions) - 1, overlay: map[string]string{}}
}

func (r *modelRun) patchDraft(t *rapid.T) {
	id, d := r.pick(t)
	paths := rapid.SampledFrom([]string{"a", "b", "a/b", "a/c", "a/b/c", "a-b", "d"})
	edits := rapid.MapOfN(paths, rapid.SampledFrom([]string{"", "1", "2"}), 0, 4).Draw(t, "edits")
	var patch Patch
	for _, path := range slices.Sorted(maps.Keys(edits)) {
		patch.Files = append(patch.Files, FileEdit{Path: path, Content: []byte(edits[path]), Delete: edits[path] == ""})
	}
	overlay := maps.Clone(d.overlay)
	maps.Copy(overlay, edits)
	allowed := clashFree(over(r.versions[d.base], overlay))
	_, err := r.PatchDraft(context.Background(), id, patch)
	if allowed != (err == nil) {
		t.Fatalf("patch of %v onto %v: %v", edits, r.view(d), err)
	}
	if allowed {
		d.overlay = overlay
	}
}

// view hides the site's, which reads from it.
func (r *modelRun) view(d *modelDraft) map[string]string { return r.model.view(d) }

func (r *modelRun) commitDraft(t *rapid.T) {
	id, d := r.pick(t)
	v, err := r.Commit(context.Background(), id, CommitOptions{})
	if r.expect(t, d, len(r.effective(d)) > 0, err) {
		r.versions = append(r.versions, over(r.head(), r.effective(d)))
		*d = modelDraft{base: len(r.versions) - 1, overlay: map[string]string{}}
		if v.Number != uint64(d.base) || v.Files != int64(len(r.head())) {
			t.Fatalf("version %d of %d files, want %d of %d", v.Number, v.Files, d.base, len(r.head()))
		}
	}
}

func (r *modelRun) rebase(t *rapid.T) {
	id, d := r.pick(t)
	_, err := r.Rebase(context.Background(), id)
	if d.base == len(r.versions)-1 {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if r.expect(t, d, true, err) {
		mine := r.effective(d)
		for path := range d.overlay {
			if _, ok := mine[path]; !ok {
				d.overlay[path] = r.head()[path]
			}
		}
		d.base = len(r.versions) - 1
	}
}

// expect holds err against the model and reports whether the draft was merged.
func (r *modelRun) expect(t *rapid.T, d *modelDraft, changed bool, err error) bool {
	want := r.conflicts(d)
	if d.base == len(r.versions)-1 {
		want = nil
	}
	var got []string
	if ce, ok := errors.AsType[*ConflictError](err); ok {
		for _, c := range ce.Conflicts {
			got = append(got, c.Path)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("conflicts %v (%v), want %v", got, err, want)
	}
	if want != nil {
		return false
	}
	if !changed {
		if field(err, "reason") != "no_changes" {
			t.Fatalf("no changes: %v", err)
		}
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func (r *modelRun) remove(t *rapid.T) {
	id, _ := r.pick(t)
	if err := r.DeleteDraft(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	delete(r.drafts, id)
	r.ids = slices.DeleteFunc(r.ids, func(other bundle.ID) bool { return other == id })
}

// check compares the newest version, the number of versions, and all drafts.
func (r *modelRun) check(t *rapid.T) {
	row, err := look(context.Background(), r.Primary, r.bundle, (*catalog.View).Bundle)
	if err != nil || row.Head != uint64(len(r.versions)-1) {
		t.Fatalf("the newest version is %d, not %d: %v", row.Head, len(r.versions)-1, err)
	}
	if row.Head > 0 {
		ref := bundle.VersionRef{Bundle: r.bundle, Number: row.Head}
		if got := r.site.contents(t, ref); !maps.Equal(got, r.head()) {
			t.Fatalf("version %d holds %v, not %v", row.Head, got, r.head())
		}
	}
	for id, d := range r.drafts {
		if got := r.site.view(t, id); !maps.Equal(got, r.view(d)) {
			t.Fatalf("draft shows %v, not %v", got, r.view(d))
		}
	}
}
