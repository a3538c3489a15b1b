package primary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// TestClientsOfTwoNodesFollowTheModel lets clients at two nodes patch, commit,
// rebase, create and delete drafts of a few bundles that link to each other. Some
// calls begin, then another runs to its end, then they go on; some are
// repeated later under their request id. After each step the store says what
// the model says.
func TestClientsOfTwoNodesFollowTheModel(t *testing.T) {
	s := newSite(t)
	other := New(Config{Proposer: s.log, Catalog: s.db, Store: s.store, Contents: s.Primary.contents})
	rapid.Check(t, func(t *rapid.T) {
		r := &modelRun{site: s, nodes: [2]*Primary{s.Primary, other}}
		for range 2 {
			r.begin(t)
		}
		actions := map[string]func(*rapid.T){"together": r.together, "repeat": r.repeat, "": r.check}
		for name, draw := range r.calls() {
			actions[name] = func(t *rapid.T) { r.alone(t, draw(t), rapid.IntRange(0, 1).Draw(t, "node")) }
		}
		t.Repeat(actions)
		r.history(t)
	})
}

type modelRun struct {
	*site
	world
	nodes [2]*Primary
	past  []call // that may be repeated
	names int
}

// begin makes a bundle with a version and two drafts.
func (r *modelRun) begin(t *rapid.T) {
	row, first := r.site.bundle(t)
	b := &modelBundle{id: row.ID, versions: []content{noContent()}}
	r.bundles = append(r.bundles, b)
	for _, id := range []bundle.ID{first.ID, r.draft(t, b.id, "other").ID} {
		d := &modelDraft{id: id, of: b, overlay: noContent()}
		d.name = []string{"work", "other"}[len(r.drafts)%2]
		r.drafts = append(r.drafts, d)
	}
	d := r.drafts[len(r.drafts)-2]
	r.alone(t, r.patching(d, content{files: map[string]string{"a": "1"}}), 0)
	r.alone(t, r.committing(d), 0)
}

// answer is what a call returned, as far as a repetition returns it again.
type answer struct {
	id     bundle.ID
	number uint64
}

// call is one call of a client.
type call struct {
	request catalog.RequestID
	do      func(ctx context.Context, p *Primary) (answer, error)
	// judge holds the answer against the model, and changes that. It is
	// called at the moment at which the call takes effect.
	judge func(t *rapid.T, a answer, err error)
	// kept reports whether what the call answers with is still there.
	kept func() bool

	first answer
}

// calls are what clients can do.
func (r *modelRun) calls() map[string]func(*rapid.T) *call {
	return map[string]func(*rapid.T) *call{
		"create draft": r.createDraft, "patch": r.patchDraft, "patch again": r.patchDraft, "link": r.linkDraft,
		"commit": r.commitDraft, "commit too": r.commitDraft, "rebase": r.rebaseDraft,
		"delete draft": r.deleteDraft, "delete bundle": r.deleteBundle,
	}
}

func (c *call) ask(p *Primary) (answer, error) {
	return c.do(WithRequest(context.Background(), c.request), p)
}

// alone makes a call while nobody else makes one.
func (r *modelRun) alone(t *rapid.T, c *call, node int) {
	a, err := c.ask(r.nodes[node])
	r.judged(t, c, a, err)
}

func (r *modelRun) judged(t *rapid.T, c *call, a answer, err error) {
	c.judge(t, a, err)
	if c.first = a; err == nil && c.kept != nil {
		r.past = append(r.past, *c)
	}
}

// together begins a call at one node, makes another at the other node when the
// first has proposed a command or two, and lets the first go on.
func (r *modelRun) together(t *rapid.T) {
	names := slices.Sorted(maps.Keys(r.calls()))
	draw := func(label string) *call { return r.calls()[rapid.SampledFrom(names).Draw(t, label)](t) }
	one, two := draw("one"), draw("two")
	wait, met := rapid.IntRange(0, 1).Draw(t, "proposals before"), false
	r.log.before = func(catalog.Command) (*catalog.Result, error) {
		if wait--; wait >= 0 {
			return nil, nil
		}
		r.log.before, met = nil, true
		r.alone(t, two, 1)
		return nil, nil
	}
	a, err := one.ask(r.nodes[0])
	r.log.before = nil
	r.judged(t, one, a, err)
	if !met {
		r.alone(t, two, 1)
	}
}

// repeat makes a call again that was answered before, at any node.
func (r *modelRun) repeat(t *rapid.T) {
	if len(r.past) == 0 {
		t.Skip("nothing to repeat")
	}
	c := rapid.SampledFrom(r.past).Draw(t, "call")
	a, err := c.ask(r.nodes[rapid.IntRange(0, 1).Draw(t, "node")])
	if c.kept() && (err != nil || a != c.first) || err != nil && !bundle.IsKind(err, bundle.KindNotFound) {
		t.Fatalf("a repeated call got %+v, %v; the first %+v", a, err, c.first)
	}
}

func (r *modelRun) aDraft(t *rapid.T) *modelDraft {
	live := slices.DeleteFunc(slices.Clone(r.drafts), (*modelDraft).missing)
	if len(live) == 0 || rapid.IntRange(0, 9).Draw(t, "any") == 0 {
		live = r.drafts // some are gone
	}
	return rapid.SampledFrom(live).Draw(t, "draft")
}

func (r *modelRun) request() (id catalog.RequestID) {
	return catalog.RequestID(bundle.NewID())
}

func (r *modelRun) createDraft(t *rapid.T) *call {
	b := rapid.SampledFrom(r.bundles).Draw(t, "bundle")
	r.names++
	name := rapid.SampledFrom([]string{"work", "other", fmt.Sprint(r.names)}).Draw(t, "name")
	made := &modelDraft{name: name, of: b, overlay: noContent()}
	return &call{
		request: r.request(),
		do: func(ctx context.Context, p *Primary) (answer, error) {
			d, err := p.CreateDraft(ctx, NewDraft{Bundle: b.id, Name: name})
			return answer{id: d.ID}, err
		},
		judge: func(t *rapid.T, a answer, err error) {
			taken := slices.ContainsFunc(r.drafts, func(d *modelDraft) bool { return d.of == b && d.name == name && !d.gone })
			if (b.gone || taken) != bundle.IsKind(err, bundle.KindInvalid) || !b.gone && !taken && err != nil {
				t.Fatalf("a draft %q (taken: %v) of a bundle (gone: %v): %v", name, taken, b.gone, err)
			}
			if err == nil {
				made.id, made.base = a.id, len(b.versions)-1
				r.drafts = append(r.drafts, made)
			}
		},
		kept: func() bool { return !made.missing() },
	}
}

func (r *modelRun) patchDraft(t *rapid.T) *call {
	paths := rapid.SampledFrom([]string{"a", "b", "c", "a-b", "d/e", "d/e", "d", "a/b", "d/e/f"})
	edits := content{files: rapid.MapOfN(paths, rapid.SampledFrom([]string{"", "1", "2"}), 0, 4).Draw(t, "files")}
	return r.patching(r.aDraft(t), edits)
}

func (r *modelRun) linkDraft(t *rapid.T) *call {
	targets := rapid.Custom(func(t *rapid.T) modelLink {
		if rapid.IntRange(0, 4).Draw(t, "unlink") == 0 {
			return modelLink{}
		}
		return modelLink{rapid.SampledFrom(r.bundles).Draw(t, "target"), rapid.SampledFrom([]int{1, 1, 1, 2, 2, 3, 0}).Draw(t, "version")}
	})
	edits := content{links: rapid.MapOfN(rapid.SampledFrom([]string{"x", "y"}), targets, 1, 2).Draw(t, "links")}
	return r.patching(r.aDraft(t), edits)
}

func (r *modelRun) patching(d *modelDraft, edits content) *call {
	var patch Patch
	for _, path := range slices.Sorted(maps.Keys(edits.files)) {
		text := edits.files[path]
		patch.Files = append(patch.Files, FileEdit{Path: path, Content: []byte(text), Delete: text == ""})
	}
	for _, name := range slices.Sorted(maps.Keys(edits.links)) {
		e, l := LinkEdit{Name: name, Delete: true}, edits.links[name]
		if l.to != nil {
			e = LinkEdit{Name: name, Bundle: l.to.id, Version: int64(l.number)}
		}
		patch.Links = append(patch.Links, e)
	}
	return &call{
		request: r.request(),
		do: func(ctx context.Context, p *Primary) (answer, error) {
			got, err := p.PatchDraft(ctx, d.id, patch)
			return answer{id: got.ID}, err
		},
		judge: func(t *rapid.T, _ answer, err error) {
			after := content{maps.Clone(d.overlay.files), maps.Clone(d.overlay.links)}
			maps.Copy(after.files, edits.files)
			maps.Copy(after.links, edits.links)
			allowed := clashFree(d.under().with(after).files)
			for _, l := range edits.links {
				allowed = allowed && (l.to == nil || l.exists() && !l.leadsTo(d.of))
			}
			switch {
			case d.missing():
				if !bundle.IsKind(err, bundle.KindNotFound) && !bundle.IsKind(err, bundle.KindInvalid) {
					t.Fatalf("patch of a draft that is gone: %v", err)
				}
			case allowed && err != nil, !allowed && !bundle.IsKind(err, bundle.KindInvalid):
				t.Fatalf("patch of %v onto %v (allowed: %v): %v", edits, d.view(), allowed, err)
			case allowed:
				d.overlay = after
			}
		},
		kept: func() bool { return true },
	}
}

func (r *modelRun) commitDraft(t *rapid.T) *call { return r.committing(r.aDraft(t)) }

func (r *modelRun) committing(d *modelDraft) *call {
	return &call{
		request: r.request(),
		do: func(ctx context.Context, p *Primary) (answer, error) {
			v, err := p.Commit(ctx, d.id, CommitOptions{})
			return answer{v.Bundle, v.Number}, err
		},
		judge: func(t *rapid.T, a answer, err error) {
			changed := !d.mine().empty()
			if !d.merged(t, err) {
				return
			}
			if !changed {
				if field(err, "reason") != "no_changes" {
					t.Fatalf("no changes: %v", err)
				}
				return
			}
			if d.commit(); err != nil || a.number != uint64(d.base) {
				t.Fatalf("version %d, want %d: %v", a.number, d.base, err)
			}
		},
		kept: func() bool { return !d.of.gone },
	}
}

func (r *modelRun) rebaseDraft(t *rapid.T) *call {
	d := r.aDraft(t)
	c := &call{
		request: r.request(),
		do: func(ctx context.Context, p *Primary) (answer, error) {
			got, err := p.Rebase(ctx, d.id)
			return answer{id: got.ID}, err
		},
	}
	c.judge = func(t *rapid.T, _ answer, err error) {
		behind := d.behind()
		if !d.merged(t, err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.rebase(); behind { // else nothing was changed, and nothing is kept of the call
			c.kept = func() bool { return true }
		}
	}
	return c
}

// merged holds err against the model and reports whether the draft is there and
// has no conflicts.
func (d *modelDraft) merged(t *rapid.T, err error) bool {
	if d.missing() {
		if !bundle.IsKind(err, bundle.KindNotFound) {
			t.Fatalf("the draft is gone: %v", err)
		}
		return false
	}
	var want, got []Conflict
	if d.behind() {
		want = d.conflicts()
	}
	if ce, ok := errors.AsType[*ConflictError](err); ok {
		got = ce.Conflicts
	}
	if !slices.Equal(got, want) {
		t.Fatalf("conflicts %v (%v), want %v", got, err, want)
	}
	return want == nil
}

func (r *modelRun) deleteDraft(t *rapid.T) *call {
	d := r.aDraft(t)
	return r.deleting(d.missing, func() { d.gone = true },
		func(ctx context.Context, p *Primary) error { return p.DeleteDraft(ctx, d.id) })
}

func (r *modelRun) deleteBundle(t *rapid.T) *call {
	b := rapid.SampledFrom(r.bundles).Draw(t, "bundle")
	if rapid.IntRange(0, 5).Draw(t, "really") > 0 {
		t.Skip("keep some")
	}
	return r.deleting(func() bool { return b.gone }, func() { b.gone = true },
		func(ctx context.Context, p *Primary) error { return p.DeleteBundle(ctx, b.id) })
}

func (r *modelRun) deleting(gone func() bool, remove func(), do func(context.Context, *Primary) error) *call {
	return &call{
		request: r.request(),
		do:      func(ctx context.Context, p *Primary) (answer, error) { return answer{}, do(ctx, p) },
		judge: func(t *rapid.T, _ answer, err error) {
			if gone() != bundle.IsKind(err, bundle.KindNotFound) || !gone() && err != nil {
				t.Fatalf("deleted (gone: %v): %v", gone(), err)
			}
			remove()
		},
		kept: func() bool { return true },
	}
}
