package primarytest

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

func (r *run) aBundle(t *rapid.T) *Bundle { return rapid.SampledFrom(r.bundles).Draw(t, "bundle") }

// aDraft is one that is there and where there is something to do, mostly.
func (r *run) aDraft(t *rapid.T, toDo func(*Draft) bool) *Draft {
	from := r.drafts
	for _, narrow := range []func(*Draft) bool{func(d *Draft) bool { return !d.Missing() }, toDo} {
		fewer := slices.DeleteFunc(slices.Clone(from), func(d *Draft) bool { return !narrow(d) })
		if len(fewer) == 0 || rapid.IntRange(0, 9).Draw(t, "any") == 0 {
			break
		}
		from = fewer
	}
	return rapid.SampledFrom(from).Draw(t, "draft")
}

func anything(*Draft) bool { return true }

func changed(d *Draft) bool { return !d.Mine().Empty() }

// about draws a call about a draft.
func (r *run) about(t *rapid.T, d *Draft, label string) *call {
	switch rapid.SampledFrom([]string{"commit", "commit", "patch", "link", "rebase", "delete"}).Draw(t, label) {
	case "commit":
		return r.committing(d)
	case "patch":
		return r.patching(d, someFiles(t))
	case "link":
		return r.patching(d, r.someLinks(t, d))
	case "rebase":
		return r.rebasing(d)
	}
	return r.removing(d)
}

func (r *run) createDraft(t *rapid.T) *call {
	names := []string{"work", "other", fmt.Sprint("draft ", len(r.drafts))}
	return r.creating(r.aBundle(t), rapid.SampledFrom(names).Draw(t, "name"))
}

func (r *run) creating(b *Bundle, name string) *call {
	var made *Draft
	return &call{
		do: func(s Store, key string) (answer, error) {
			id, err := s.CreateDraft(key, b.ID, name)
			return answer{id: id}, err
		},
		judge: func(t *rapid.T, a answer, err *Refusal) {
			taken := slices.ContainsFunc(r.drafts, func(d *Draft) bool { return d.Of == b && d.Name == name && !d.Gone })
			switch {
			case b.Gone || taken:
				want(t, err, Invalid)
			case err != nil:
				t.Fatal(err)
			default:
				made = NewDraft(a.id, name, b)
				r.drafts = append(r.drafts, made)
			}
		},
		kept: func() bool { return !made.Missing() },
	}
}

// want fails unless err is for one of the reasons.
func want(t *rapid.T, err *Refusal, reasons ...Reason) {
	if err == nil || !slices.Contains(reasons, err.Reason) {
		t.Fatalf("%v; it should be refused: %v", err, reasons)
	}
}

func (r *run) patch(t *rapid.T) *call { return r.patching(r.aDraft(t, anything), someFiles(t)) }

func someFiles(t *rapid.T) Content {
	paths := rapid.SampledFrom([]string{"a", "b", "c", "a-b", "d/e", "d/e", "d", "a/b", "d/e/f"})
	return Content{Files: rapid.MapOfN(paths, rapid.SampledFrom([]string{"", "1", "2"}), 0, 4).Draw(t, "files")}
}

func (r *run) link(t *rapid.T) *call {
	d := r.aDraft(t, anything)
	return r.patching(d, r.someLinks(t, d))
}

// someLinks sets or deletes links of d, mostly such as are allowed.
func (r *run) someLinks(t *rapid.T, d *Draft) Content {
	targets := []Link{{}, {d.Of, 1}, {r.bundles[0], 0}, {r.bundles[1], 99}}
	if rapid.IntRange(0, 5).Draw(t, "odd") < 5 {
		targets = targets[:1]
		for _, b := range r.bundles {
			for n := 1; n < len(b.Versions); n++ {
				if l := (Link{b, n}); l.Exists() && !l.LeadsTo(d.Of) {
					targets = append(targets, l)
				}
			}
		}
	}
	names := rapid.SampledFrom([]string{"x", "y"})
	return Content{Links: rapid.MapOfN(names, rapid.SampledFrom(targets), 1, 2).Draw(t, "links")}
}

func (r *run) patching(d *Draft, edits Content) *call {
	return &call{
		do: func(s Store, key string) (answer, error) { return answer{}, s.Patch(key, d.ID, edits) },
		judge: func(t *rapid.T, _ answer, err *Refusal) {
			after, allowed := d.Patched(edits)
			switch {
			case d.Missing():
				want(t, err, NotFound, Invalid) // the patch alone is looked at first
			case !allowed:
				want(t, err, Invalid)
			case err != nil:
				t.Fatalf("patch of %v onto %v: %v", edits, d.View(), err)
			default:
				d.Overlay = after
			}
		},
		kept: always,
	}
}

func (r *run) commit(t *rapid.T) *call { return r.committing(r.aDraft(t, changed)) }

func (r *run) committing(d *Draft) *call {
	return &call{
		do: func(s Store, key string) (answer, error) {
			number, err := s.Commit(key, d.ID)
			return answer{number: number}, err
		},
		judge: func(t *rapid.T, a answer, err *Refusal) {
			switch {
			case !merged(t, d, err):
			case d.Mine().Empty():
				want(t, err, NoChanges)
			case err != nil:
				t.Fatal(err)
			default:
				if d.Commit(); a.number != d.Base {
					t.Fatalf("version %d, want %d", a.number, d.Base)
				}
			}
		},
		kept: func() bool { return !d.Of.Gone },
	}
}

func (r *run) rebase(t *rapid.T) *call { return r.rebasing(r.aDraft(t, (*Draft).Behind)) }

func (r *run) rebasing(d *Draft) *call {
	c := &call{do: func(s Store, key string) (answer, error) { return answer{}, s.Rebase(key, d.ID) }}
	c.judge = func(t *rapid.T, _ answer, err *Refusal) {
		switch {
		case !merged(t, d, err):
		case err != nil:
			t.Fatal(err)
		default:
			if d.Behind() { // else nothing was changed, and nothing is kept of the call
				c.kept = func() bool { return !d.Missing() }
			}
			d.Rebase()
		}
	}
	return c
}

// merged holds err against the model and reports whether the draft is there and
// has no conflicts.
func merged(t *rapid.T, d *Draft, err *Refusal) bool {
	if d.Missing() {
		want(t, err, NotFound)
		return false
	}
	conflicts := d.Conflicts()
	if conflicts == nil && (err == nil || err.Reason != Conflicts) {
		return true
	}
	want(t, err, Conflicts)
	if !slices.Equal(err.Conflicts, conflicts) {
		t.Fatalf("conflicts %v, want %v", err.Conflicts, conflicts)
	}
	return false
}

func (r *run) deleteDraft(t *rapid.T) *call { return r.removing(r.aDraft(t, anything)) }

func (r *run) removing(d *Draft) *call {
	return deleting(d.Missing, func() { d.Gone = true }, func(s Store, key string) error { return s.DeleteDraft(key, d.ID) })
}

func (r *run) deleteBundle(t *rapid.T) *call {
	b := r.aBundle(t)
	if rapid.IntRange(0, 5).Draw(t, "really") > 0 {
		t.Skip("keep some")
	}
	return deleting(func() bool { return b.Gone }, func() { b.Gone = true },
		func(s Store, key string) error { return s.DeleteBundle(key, b.ID) })
}

func deleting(gone func() bool, remove func(), do func(s Store, key string) error) *call {
	return &call{
		do: func(s Store, key string) (answer, error) { return answer{}, do(s, key) },
		judge: func(t *rapid.T, _ answer, err *Refusal) {
			switch {
			case gone():
				want(t, err, NotFound)
			case err != nil:
				t.Fatal(err)
			default:
				remove()
			}
		},
		kept: always,
	}
}
