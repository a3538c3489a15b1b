package primary

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary/primarytest"
)

// TestClientsOfTwoNodesFollowTheModel lets clients at two nodes change drafts;
// some calls begin, then another runs to its end, then they go on.
func TestClientsOfTwoNodesFollowTheModel(t *testing.T) {
	s := newSite(t)
	other := New(Config{Proposer: s.log, Catalog: s.db, Store: s.store, Contents: s.Primary.contents})
	primarytest.Check(t, primarytest.Options{
		Clients: []primarytest.Store{modelNode{s, s.Primary, t}, modelNode{s, other, t}},
		Between: func(proposals int, fn func()) func() {
			s.log.before = func(catalog.Command) (*catalog.Result, error) {
				if proposals--; proposals < 0 {
					s.log.before = nil
					fn()
				}
				return nil, nil
			}
			return func() { s.log.before = nil }
		},
	})
}

// modelNode is a site's node as the model's test sees it.
type modelNode struct {
	site *site
	*Primary
	t *testing.T
}

// keyed returns a context for the call of a key.
func keyed(key string) context.Context {
	sum := sha256.Sum256([]byte(key))
	return WithRequest(context.Background(), catalog.RequestID(sum[:16]))
}

// asRefusal returns what err says in the model's words.
func asRefusal(err error) error {
	conflicts, conflict := errors.AsType[*ConflictError](err)
	switch {
	case err == nil:
		return nil
	case conflict:
		r := &primarytest.Refusal{Reason: primarytest.Conflicts, Text: err.Error()}
		for _, c := range conflicts.Conflicts {
			r.Conflicts = append(r.Conflicts, primarytest.Conflict{Path: c.Path, Link: c.Link, Kind: string(c.Kind)})
		}
		return r
	case bundle.IsKind(err, bundle.KindNotFound):
		return &primarytest.Refusal{Reason: primarytest.NotFound, Text: err.Error()}
	case field(err, "reason") == "no_changes":
		return &primarytest.Refusal{Reason: primarytest.NoChanges, Text: err.Error()}
	case bundle.IsKind(err, bundle.KindInvalid):
		return &primarytest.Refusal{Reason: primarytest.Invalid, Text: err.Error()}
	}
	return err
}

func (n modelNode) CreateBundle() (bundle.ID, error) {
	b, err := n.Primary.CreateBundle(context.Background(), NewBundle{Collection: n.site.coll, Slug: "unit", Title: "Unit"})
	return b.ID, asRefusal(err)
}

func (n modelNode) DeleteBundle(key string, b bundle.ID) error {
	return asRefusal(n.Primary.DeleteBundle(keyed(key), b))
}

func (n modelNode) CreateDraft(key string, b bundle.ID, name string) (bundle.ID, error) {
	d, err := n.Primary.CreateDraft(keyed(key), NewDraft{Bundle: b, Name: name})
	return d.ID, asRefusal(err)
}

func (n modelNode) Patch(key string, draft bundle.ID, edits primarytest.Content) error {
	var patch Patch
	for _, path := range slices.Sorted(maps.Keys(edits.Files)) {
		text := edits.Files[path]
		patch.Files = append(patch.Files, FileEdit{Path: path, Content: []byte(text), Delete: text == ""})
	}
	for _, name := range slices.Sorted(maps.Keys(edits.Links)) {
		e, l := LinkEdit{Name: name, Delete: true}, edits.Links[name]
		if l.To != nil {
			e = LinkEdit{Name: name, Bundle: l.To.ID, Version: int64(l.Number)}
		}
		patch.Links = append(patch.Links, e)
	}
	_, err := n.PatchDraft(keyed(key), draft, patch)
	return asRefusal(err)
}

func (n modelNode) Commit(key string, draft bundle.ID) (int, error) {
	v, err := n.Primary.Commit(keyed(key), draft, CommitOptions{})
	return int(v.Number), asRefusal(err)
}

func (n modelNode) Rebase(key string, draft bundle.ID) error {
	_, err := n.Primary.Rebase(keyed(key), draft, 0)
	return asRefusal(err)
}

func (n modelNode) DeleteDraft(key string, draft bundle.ID) error {
	return asRefusal(n.Primary.DeleteDraft(keyed(key), draft, 0))
}

func (n modelNode) Head(b bundle.ID) (int, error) {
	row, err := look(context.Background(), n.Primary, b, (*catalog.View).Bundle)
	return int(row.Head), asRefusal(err)
}

func (n modelNode) Version(b bundle.ID, number int) (primarytest.Shown, error) {
	ref := bundle.VersionRef{Bundle: b, Number: uint64(number)}
	shown := primarytest.Shown{Links: make(map[string][]primarytest.Ref)}
	v, m, err := n.Snapshot(context.Background(), ref)
	if err != nil {
		return shown, asRefusal(err)
	}
	shown.Files = (&site{Primary: n.Primary}).contents(n.t, ref)
	if len(shown.Files) != int(v.Files) {
		n.t.Fatalf("%d files, and the row says %d", len(shown.Files), v.Files)
	}
	for _, l := range m.Links() {
		shown.Links[l.Name] = modelRefs(l)
	}
	return shown, nil
}

func (n modelNode) Draft(id bundle.ID) (primarytest.Shown, error) {
	shown := primarytest.Shown{Links: make(map[string][]primarytest.Ref), Modified: make(map[string]bool)}
	v, err := n.DraftView(context.Background(), id)
	if err != nil {
		return shown, asRefusal(err)
	}
	shown.Files = (&site{Primary: n.Primary}).view(n.t, id)
	for _, f := range v.Files {
		shown.Modified[f.Path] = f.Modified
	}
	for _, l := range v.Links {
		shown.Links[l.Name], shown.Modified[l.Name] = modelRefs(l.Link), l.Modified
	}
	return shown, nil
}

func modelRefs(l bundle.Link) (refs []primarytest.Ref) {
	for _, d := range append([]bundle.Dependency{l.Direct}, l.Indirect...) {
		refs = append(refs, primarytest.Ref{Bundle: d.Bundle, Number: int(d.Version)})
	}
	return refs
}
