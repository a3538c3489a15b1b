package catalog

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
)

// draftModel is a draft in the plainest terms.
type draftModel struct {
	id       bundle.ID
	overlay  map[string]string // "" deletes
	staged   map[bundle.ID]map[string]string
	base     uint64
	revision uint64
	updated  int64
}

// model drives random commands against a catalog and a plain model of drafts
// and versions.
type model struct {
	*site
	t      *rapid.T
	bundle bundle.ID
	head   uint64
	drafts []*draftModel
	n      int
}

var paths = []string{"a", "b/c", "b/d", "é", "z z"}

func (m *model) files() (ops []FileOp, blobs []bundle.Located, content map[string]string) {
	content = make(map[string]string)
	for _, path := range rapid.SliceOfN(rapid.SampledFrom(paths), 0, 4).Draw(m.t, "paths") {
		text := rapid.SampledFrom([]string{"", "x", "y", "zz"}).Draw(m.t, "content")
		if content[path] = text; text == "" {
			ops = append(ops, FileOp{Path: path, Delete: true})
			continue
		}
		ops, blobs = append(ops, fileOp(path, text)), append(blobs, blobOf(text))
	}
	return ops, blobs, content
}

func (m *model) draft() *draftModel { return rapid.SampledFrom(m.drafts).Draw(m.t, "draft") }

func (m *model) newDraft(t *rapid.T) {
	m.n++
	d := &draftModel{id: m.id(fmt.Sprint("draft", m.n)), overlay: map[string]string{}, staged: map[bundle.ID]map[string]string{},
		base: m.head, revision: 1}
	d.updated = m.must(CreateDraft{ID: d.id, Bundle: m.bundle, Name: fmt.Sprint("draft", m.n)}).Time
	m.drafts = append(m.drafts, d)
}

func (m *model) stage(t *rapid.T) {
	d := m.draft()
	patch := idOf(fmt.Sprint("patch", rapid.IntRange(0, 50).Draw(t, "patch")))
	ops, blobs, content := m.files()
	if r := m.do(StagePatch{Draft: d.id, Patch: patch, Files: ops, Blobs: blobs}); r.Err != nil {
		if d.staged[patch] != nil || r.Err.Kind != bundle.KindConflict {
			t.Fatal(r.Err)
		}
		return
	}
	if d.staged[patch] == nil {
		d.staged[patch] = map[string]string{}
	}
	maps.Copy(d.staged[patch], content)
}

func (m *model) patch(t *rapid.T) {
	d := m.draft()
	var patch bundle.ID
	ids := slices.SortedFunc(maps.Keys(d.staged), func(a, b bundle.ID) int { return bytes.Compare(a[:], b[:]) })
	if len(ids) > 0 && rapid.Bool().Draw(t, "flip") {
		patch = rapid.SampledFrom(ids).Draw(t, "which")
	}
	ops, blobs, content := m.files()
	r := m.must(PatchDraft{Draft: d.id, Patch: patch, Files: ops, Blobs: blobs, IfRevision: d.revision})
	maps.Copy(d.overlay, d.staged[patch])
	delete(d.staged, patch)
	maps.Copy(d.overlay, content)
	if d.revision++; r.Revision != d.revision || r.Time <= d.updated {
		t.Fatalf("revision %d at %d after %d at %d", r.Revision, r.Time, d.revision-1, d.updated)
	}
	d.updated = r.Time
}

func (m *model) publish(t *rapid.T) {
	d := m.draft()
	r := m.must(m.commitOf(d.id))
	if m.head++; r.Number != m.head {
		t.Fatalf("version %d after %d", r.Number, m.head-1)
	}
	d.base, d.overlay, d.updated = m.head, map[string]string{}, r.Time
	d.revision++
}

func (m *model) stale(t *rapid.T) {
	d := m.draft()
	c := m.commitOf(d.id)
	c.ExpectedHead++
	if r := m.do(c); r.Err == nil || r.Err.Fields["reason"] != "head" {
		t.Fatalf("%+v", r)
	}
}

func (m *model) rebase(t *rapid.T) {
	d := m.draft()
	d.updated = m.must(RebaseDraft{ID: d.id, Revision: d.revision, Base: m.head}).Time
	d.base = m.head
	d.revision++
}

func (m *model) forget(t *rapid.T) {
	d := m.draft()
	some := rapid.SliceOfN(rapid.SampledFrom(paths), 0, 3).Draw(t, "paths")
	if r := m.do(ForgetEdits{Draft: d.id, Revision: d.revision + 1, Files: some}); r.Err == nil || r.Err.Kind != bundle.KindPrecondition {
		t.Fatalf("%+v", r)
	}
	d.updated = m.must(ForgetEdits{Draft: d.id, Revision: d.revision, Files: some}).Time
	for _, path := range some {
		delete(d.overlay, path)
	}
	d.revision++
}

func (m *model) drop(t *rapid.T) {
	if len(m.drafts) < 2 {
		return
	}
	i := rapid.IntRange(0, len(m.drafts)-1).Draw(t, "i")
	m.must(DeleteDraft{ID: m.drafts[i].id})
	m.drafts = slices.Delete(m.drafts, i, i+1)
}

func (m *model) purge(t *rapid.T) { m.must(Purge{Limit: rapid.IntRange(0, 7).Draw(t, "limit")}) }

// tomorrow removes all that has waited for a day, and what was staged.
func (m *model) tomorrow(t *rapid.T) {
	c := m.command(Purge{Limit: 100})
	c.Time = m.DB.state.lastTime + 25*hour
	if r := m.apply(c)[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	for _, d := range m.drafts {
		clear(d.staged)
	}
}

func (m *model) check(t *rapid.T) {
	m.view(func(v *View) error {
		for _, want := range m.drafts {
			d, err := v.Draft(want.id)
			if err != nil {
				return err
			}
			if d.Base != want.base || d.Revision != want.revision || d.Updated != want.updated {
				t.Fatalf("got %+v, want %+v", d, want)
			}
			files, _, err := v.Overlay(want.id)
			if err != nil {
				return err
			}
			got := make(map[string]string)
			for i, f := range files {
				if i > 0 && files[i-1].Path >= f.Path {
					t.Fatal("files are out of order")
				}
				got[f.Path] = f.Digest.String()
			}
			for path, text := range want.overlay {
				digest := bundle.Digest{}
				if text != "" {
					digest = bundle.DigestOf([]byte(text))
				}
				if got[path] != digest.String() {
					t.Fatalf("%s is %s, want %q", path, got[path], text)
				}
			}
			if len(got) != len(want.overlay) {
				t.Fatalf("%d files, want %d", len(got), len(want.overlay))
			}
		}
		b, err := v.Bundle(m.bundle)
		if err != nil || b.Head != m.head {
			t.Fatalf("%+v %v", b, err)
		}
		counts, err := v.Counts()
		if err != nil || counts.Drafts != int64(len(m.drafts)) || counts.Versions != int64(m.head) {
			t.Fatalf("%+v %v", counts, err)
		}
		return nil
	})
}

// TestI11TheSameLogMakesTheSameState runs random commands against the model
// and replays their log elsewhere: in other batches, with repeated entries, and
// with a copy taken and installed on the way.
func TestI11TheSameLogMakesTheSameState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{site: newSite(t), t: rt}
		defer m.Close()
		m.bundle, _ = m.bundleIn("model")
		m.must(DeleteDraft{ID: idOf("draft model")})
		m.newDraft(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"draft": m.newDraft, "stage": m.stage, "patch": m.patch, "commit": m.publish, "stale": m.stale,
			"rebase": m.rebase, "forget": m.forget, "drop": m.drop, "purge": m.purge, "tomorrow": m.tomorrow, "": m.check,
		})
		other := open(t)
		defer other.Close()
		rest := m.log
		for len(rest) > 0 {
			n := rapid.IntRange(min(5, len(rest)), len(rest)).Draw(rt, "batch")
			if _, err := other.Apply(rest[:n]); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "again") {
				if _, err := other.Apply(rest[:n]); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.IntRange(0, 7).Draw(rt, "install") == 7 {
				if err := install(other.DB, copyOf(t, other.DB)); err != nil {
					rt.Fatal(err)
				}
			}
			rest = rest[n:]
		}
		if dumpOf(t, other.DB) != dumpOf(t, m.DB) {
			rt.Fatal("the same log made another state")
		}
	})
}

func TestARepeatedRequestGetsTheFirstAnswer(t *testing.T) {
	s := newSite(t)
	create, bad := s.command(CreateCollection{ID: idOf("c"), Title: "one"}), s.command(DeleteBundle{ID: idOf("none")})
	first := s.apply(create, bad)
	after := s.digest()
	again := s.apply(create, bad, create)
	for i, want := range []Result{first[0], first[1], first[0]} {
		got := again[i]
		if got.Index != want.Index || got.Time != want.Time || (got.Err == nil) != (want.Err == nil) || got.ID != want.ID {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if again[1].Err.Kind != bundle.KindNotFound || again[1].Err.Message != first[1].Err.Message {
		t.Errorf("%+v", again[1].Err)
	}
	if s.digest() != after {
		t.Error("a repetition changed something")
	}
	if r := read(s, func(v *View) (Result, error) { return v.Result(create.Request) }); r.Index != first[0].Index {
		t.Errorf("%+v", r)
	}
	fails(s, bundle.KindNotFound, func(v *View) (Result, error) { return v.Result(RequestID{9}) })
	if index, term, err := s.Applied(); err != nil || index != s.index || term != 1 {
		t.Error(index, term, err)
	}
	// A day later the first answer is forgotten, and the id is used up all the same.
	late := s.command(Purge{Limit: 100})
	late.Time += 25 * hour
	if r := s.apply(late)[0]; r.Err != nil || r.Number != 3 {
		t.Fatalf("%+v", r)
	}
	if r := s.apply(create)[0]; r.Err == nil || r.Err.Kind != bundle.KindConflict {
		t.Fatalf("%+v", r)
	}
}

func TestAFaultInABatchLeavesThePriorState(t *testing.T) {
	s := newSite(t)
	before, index := dumpOf(t, s.DB), s.index
	good, err := s.command(CreateCollection{ID: idOf("c"), Title: "one"}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.handle.writer.run(`CREATE TEMP TRIGGER broken BEFORE INSERT ON secrets BEGIN SELECT RAISE(FAIL, 'disk on fire'); END`); err != nil {
		t.Fatal(err)
	}
	bad, err := s.command(PutSecret{Name: "x"}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, entries := range [][]Entry{
		{{Index: index + 1, Term: 1, Data: good}, {Index: index + 2, Term: 1, Data: bad}},
		{{Index: index + 1, Term: 1, Data: good}, {Index: index + 2, Term: 1, Data: []byte("no command")}},
	} {
		if _, err := s.Apply(entries); err == nil {
			t.Fatal("the fault was overlooked")
		}
		if dumpOf(t, s.DB) != before {
			t.Fatal("half a batch took effect")
		}
	}
	if err := s.handle.writer.run(`DROP TRIGGER broken`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply([]Entry{{Index: index + 1, Term: 1, Data: good}, {Index: index + 2, Term: 1, Data: bad}}); err != nil {
		t.Fatal(err)
	}
}
