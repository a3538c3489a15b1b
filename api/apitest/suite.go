package apitest

import (
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// Run holds s to the contract. The instance may hold anything: what the suite
// needs it makes, in collections of its own, and it leaves some of it there.
func Run(t *testing.T, s api.Store) {
	for _, one := range []struct {
		name string
		test func(*suite)
	}{
		{"collections are made, changed and deleted", (*suite).collections},
		{"bundles are made, changed and deleted", (*suite).bundles},
		{"bundles are found by every filter", (*suite).filters},
		{"a change that names another revision is refused", (*suite).revisions},
		{"lists of any length are whole", (*suite).longLists},
		{"a draft gathers changes and becomes a version", (*suite).life},
		{"drafts are edited file by file", (*suite).files},
		{"links lead to versions, and back to borrowers", (*suite).links},
		{"both sides of a conflict stay as they were", (*suite).conflicts},
		{"a fork is an own bundle of the same content", (*suite).forks},
		{"versions differ by what a diff says", (*suite).diffs},
		{"files are read in any range", (*suite).ranges},
		{"archives hold all files", (*suite).archives},
		{"blobs are stored ahead of the patch that names them", (*suite).blobs},
		{"content of another length than announced is refused", (*suite).sizes},
		{"a call repeated with its key happens once", (*suite).repeats},
		{"refusals have kinds and texts", (*suite).refusals},
		{"reads are of every level, and of no other", (*suite).levels},
		{"a call ends with its context", (*suite).cancelled},
		{"the instance says that it is well", (*suite).healthy},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(&suite{t, s}) })
	}
}

// suite is one test of a store.
type suite struct {
	t *testing.T
	s api.Store
}

func (s *suite) ctx() context.Context { return s.t.Context() }

// must fails the test on an error.
func (s *suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// must returns v, and fails the test on an error.
func must[T any](s *suite, v T, err error) T {
	s.t.Helper()
	s.must(err)
	return v
}

// kind reports an error that is not of that kind.
func (s *suite) kind(what string, err error, want bundle.Kind) {
	s.t.Helper()
	if !bundle.IsKind(err, want) {
		s.t.Errorf("%s: %v (kind %v), want kind %v", what, err, bundle.KindOf(err), want)
	}
}

func equal[T comparable](s *suite, what string, got, want T) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// all returns every item of a list.
func all[T any](s *suite, items iter.Seq2[T, error]) []T {
	s.t.Helper()
	var out []T
	for item, err := range items {
		s.must(err)
		out = append(out, item)
	}
	return out
}

// last returns the error that a list ends with.
func last[T any](items iter.Seq2[T, error]) (err error) {
	for _, e := range items {
		err = e
	}
	return err
}

// collection makes a collection of the test's own.
func (s *suite) collection() api.Collection {
	s.t.Helper()
	c, err := s.s.CreateCollection(s.ctx(), "Suite")
	return must(s, c, err)
}

// newBundle makes a bundle in a collection of the test's own.
func (s *suite) newBundle(title string) api.Bundle {
	s.t.Helper()
	b, err := s.s.CreateBundle(s.ctx(), api.NewBundle{Collection: s.collection().ID, Title: title, Slug: "suite"})
	return must(s, b, err)
}

// draftOf makes a draft of a new bundle.
func (s *suite) draftOf() (api.Bundle, api.Draft) {
	s.t.Helper()
	b := s.newBundle("Suite")
	d, err := s.s.CreateDraft(s.ctx(), b.ID, "work")
	return b, must(s, d, err)
}

// patch stages files with their contents.
func (s *suite) patch(draft bundle.ID, pathsAndContents ...string) {
	s.t.Helper()
	p := api.Patch{Files: map[string]api.FileEdit{}}
	for k := 0; k < len(pathsAndContents); k += 2 {
		p.Files[pathsAndContents[k]] = api.FileEdit{Content: []byte(pathsAndContents[k+1])}
	}
	_, err := s.s.PatchDraft(s.ctx(), draft, p)
	s.must(err)
}

// link makes a link of a draft.
func (s *suite) link(draft bundle.ID, name string, to bundle.ID, n uint64) {
	s.t.Helper()
	_, err := s.s.PatchDraft(s.ctx(), draft, api.Patch{Links: map[string]api.LinkEdit{name: {Bundle: to, Version: n}}})
	s.must(err)
}

func (s *suite) commit(draft bundle.ID) uint64 {
	s.t.Helper()
	n, err := s.s.CommitDraft(s.ctx(), draft, api.Commit{})
	return must(s, n, err)
}

// published makes a bundle whose version 1 has these files.
func (s *suite) published(pathsAndContents ...string) (api.Bundle, api.Draft) {
	s.t.Helper()
	b, d := s.draftOf()
	s.patch(d.ID, pathsAndContents...)
	equal(s, "first version", s.commit(d.ID), 1)
	return b, d
}

// read returns what a reader yields, and closes it.
func (s *suite) read(r io.ReadCloser, err error) string {
	s.t.Helper()
	s.must(err)
	raw, err := io.ReadAll(r)
	s.must(err)
	s.must(r.Close())
	return string(raw)
}

// file returns the content of a version's file.
func (s *suite) file(b bundle.ID, n uint64, path string) string {
	s.t.Helper()
	return s.read(s.s.OpenVersionFile(s.ctx(), b, n, path, api.Range{}))
}

// paths returns the keys of a map in order, in one text.
func paths[V any](m map[string]V) string {
	out := ""
	for k, path := range slices.Sorted(maps.Keys(m)) {
		if k > 0 {
			out += " "
		}
		out += path
	}
	return out
}
