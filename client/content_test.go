package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func TestListsFollowTheCursorWhateverTheHostInTheLink(t *testing.T) {
	var queries []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		if r.URL.Query().Get("cursor") == "" {
			w.Header().Set("Link", `<https://public.example/api/v1/collections?cursor=a%2Bb&limit=1000>; rel="next"`)
			fmt.Fprint(w, `[{"title":"one"},{"title":"two"}]`)
			return
		}
		fmt.Fprint(w, `[{"title":"three"}]`)
	})
	var titles []string
	for item, err := range c.Collections(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		titles = append(titles, item.Title)
	}
	if got := fmt.Sprint(titles); got != "[one two three]" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(queries); got != "[limit=1000 cursor=a%2Bb&limit=1000]" {
		t.Errorf("asked %s", got)
	}
}

func TestAListThatFailsEndsWithItsError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[{"title":`) })
	n := 0
	for _, err := range c.Collections(t.Context()) {
		n++
		if !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d items", n)
	}
}

func TestALongFilterThatFailsEndsWithItsErrorWhateverCameBefore(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[{"title":"one"},{"title":2}]`) })
	n := 0
	for _, err := range c.Bundles(t.Context(), api.BundleFilter{IDs: make([]bundle.ID, longQuery+1)}) {
		n++
		if !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d items", n)
	}
}

func TestCommitIsRepeatedUnderOneKey(t *testing.T) {
	var keys []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"bundle_version":"http://h/api/v1/bundle_versions/x,7","updated_draft":""}`)
	})
	n, err := c.CommitDraft(t.Context(), bundle.NewID(), api.Commit{})
	if err != nil || n != 7 {
		t.Errorf("got %d, %v", n, err)
	}
	if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("keys %q", keys)
	}
}

func TestABundlesURLsBecomeNumbersAndIDs(t *testing.T) {
	draft := bundle.NewID()
	for _, tt := range []struct {
		body string
		want string // versions and drafts; "" if it cannot be read
	}{
		{`{"versions":[],"drafts":{}}`, "[] map[]"},
		{`{"versions":["http://h/x/bundle_versions/u,1","/u,3"],"drafts":{"work":"http://h/x/drafts/` + draft.String() + `"}}`,
			"[1 3] map[work:" + draft.String() + "]"},
		{`{"versions":["http://h/bundle_versions/u"]}`, ""},
		{`{"drafts":{"work":"http://h/drafts/"}}`, ""},
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"7"`)
			fmt.Fprint(w, tt.body)
		})
		b, err := c.Bundle(t.Context(), bundle.NewID())
		if got := fmt.Sprint(b.Versions, b.Drafts); (err != nil) != (tt.want == "") || err == nil && (got != tt.want || b.Revision != 7) {
			t.Errorf("%s: got %s at %d, %v", tt.body, got, b.Revision, err)
		}
	}
}

func TestAPatchIsWrittenAsTheAPIReadsIt(t *testing.T) {
	stored, target := bundle.DigestOf(nil), bundle.NewID()
	got, err := json.Marshal(wireOf(api.Patch{
		Files: map[string]api.FileEdit{"d": {Delete: true}, "e": {}, "i": {Content: []byte("text")}, "s": {Stored: stored}},
		Links: map[string]api.LinkEdit{"d": {Delete: true}, "l": {Bundle: target, Version: 3}},
	}))
	want := `{"files":{"d":null,"e":"","i":"dGV4dA==","s":{"digest":"` + stored.String() + `"}},` +
		`"links":{"d":null,"l":{"bundle_uuid":"` + target.String() + `","version":3}}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestFilePathsAreEscapedBySegment(t *testing.T) {
	for path, want := range map[string]string{
		"a/b": "a/b", "a b": "a%20b", "a?b#c": "a%3Fb%23c", "100%": "100%25", "ü/x": "%C3%BC/x", "a;b": "a%3Bb",
	} {
		if got := escapePath(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

func TestSelectorsAreWrittenAsTheAPIReadsThem(t *testing.T) {
	id := bundle.ID{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x41, 0x11, 0x81}
	for _, tt := range []struct {
		s          api.Selector
		json, text string
	}{
		{api.Selector{Scope: "all"}, `{"scope":"all"}`, "all"},
		{api.Selector{Scope: "bundle", Target: id}, `{"scope":"bundle","target":"` + id.String() + `"}`, "bundle=" + id.String()},
	} {
		got, err := tt.s.MarshalJSON()
		if err != nil || string(got) != tt.json || tt.s.String() != tt.text {
			t.Errorf("got %s %s, %v", got, tt.s, err)
		}
		var back api.Selector
		if err := back.UnmarshalJSON(got); err != nil || back != tt.s {
			t.Errorf("read back %v, %v", back, err)
		}
	}
}
