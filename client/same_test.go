package client_test

import (
	"encoding/json"
	"iter"
	"net/url"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// everything is what a store shows of one bundle.
type everything struct {
	Collections []api.Collection
	Bundles     []api.Bundle
	Bundle      api.Bundle
	Versions    []api.Version
	Version     api.Version
	Drafts      []api.Draft
	Draft       api.Draft
}

// look reads everything. Signed URLs stand with the host of the way they came.
func look(t *testing.T, s api.Store, b, draft bundle.ID) (e everything) {
	t.Helper()
	ctx := t.Context()
	e.Collections, e.Bundles = gather(t, s.Collections(ctx)), gather(t, s.Bundles(ctx, api.BundleFilter{}))
	e.Versions, e.Drafts = gather(t, s.Versions(ctx, api.VersionFilter{})), gather(t, s.Drafts(ctx))
	var errs [3]error
	e.Bundle, errs[0] = s.Bundle(ctx, b)
	e.Version, errs[1] = s.Version(ctx, b, 1)
	e.Draft, errs[2] = s.Draft(ctx, draft)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, f := range e.Version.Snapshot.Files {
		f.URL = withoutHost(t, f.URL)
		e.Version.Snapshot.Files[path] = f
	}
	for path, f := range e.Draft.Staged.Files {
		f.URL = withoutHost(t, f.URL)
		e.Draft.Staged.Files[path] = f
	}
	return e
}

func gather[T any](t *testing.T, items iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for item, err := range items {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}

// withoutHost checks that a URL begins with a scheme and a host, and drops them.
func withoutHost(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		t.Fatalf("%q is no absolute URL", text)
	}
	u.Scheme, u.Host = "", ""
	return u.String()
}

func compare(t *testing.T, way string, got, want everything) {
	t.Helper()
	a, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("%s it shows\n%s\nnot\n%s", way, a, b)
	}
}
