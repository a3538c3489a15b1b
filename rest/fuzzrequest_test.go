package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// FuzzRequest holds: whatever is asked of the API with a valid token is answered,
// and is never this program's fault. {c}, {b} and {d} in a target are a
// collection, a bundle with a version, and a draft; header is the value of every
// header that is read.
func FuzzRequest(f *testing.F) {
	s := newStack(f, nil)
	c, b, d := bundle.NewID(), bundle.NewID(), bundle.NewID()
	s.propose(catalog.CreateCollection{ID: c, Title: "Course"})
	s.propose(catalog.CreateBundle{ID: b, Collection: c, Slug: "unit", Title: "Unit"})
	s.propose(catalog.CreateDraft{ID: d, Bundle: b, Name: "studio"})
	_, err := s.api.cfg.Primary.PutFile(f.Context(), d, 0, "a.txt", strings.NewReader("a"), 1)
	check(f, err)
	names := strings.NewReplacer("{c}", c.String(), "{b}", b.String(), "{d}", d.String())
	for _, seed := range [][4]string{
		{"GET", "/api/v1/bundles?text_search=un&limit=1&cursor=NQ&uuid={b},x", "", ""},
		{"GET", "/api/v1/bundles", "application/json", `{"uuid":["{b}",7],"text_search":null,"collection__uuid":{}}`},
		{"GET", "/api/v1/bundle_versions?limit=3&bundle__uuid={b}&cursor=ZZZZ", "\"3\"", ""},
		{"GET", "/api/v1/bundle_versions/{b},1/diff/2", "bytes=0-", ""},
		{"GET", "/api/v1/drafts/{d}/files/a.txt", "bytes=-1,0-", ""},
		{"PATCH", "/api/v1/drafts/{d}", "application/json", `{"files":{"a":"YQ==","b/c":null},"links":{"x":{"bundle_uuid":"{b}","version":1}}}`},
		{"PUT", "/api/v1/drafts/{d}/files/%2e%2e/x", "7", "x"},
		{"POST", "/api/v1/drafts/{d}/commit", "application/json", `{"redistribute":"none","change_description":7}`},
		{"POST", "/api/v1/drafts/{d}/rebase", "\"1\", \"2\"", ""},
		{"POST", "/api/v1/bundles/{b}/fork", "application/json", `{"collection_uuid":"{c}","version":9223372036854775807}`},
		{"POST", "/api/v1/blobs", bundle.FramesType, "\x00\x01\xff"},
		{"POST", "/api/v1/blobs/missing", "application/json", `{"digests":["x"]}`},
		{"PUT", "/api/v1/blobs/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "", ""},
		{"GET", "/api/v1/bundles/{b}/borrowers?limit=2&cursor=AAAA", "", ""},
		{"GET", "/files/drafts/{d}/a.txt?expires=9e9&signature=x", "*", ""},
		{"OPTIONS", "/api/v1/", "strong", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]))
	}
	handler := s.api.Handler()
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://h"+names.Replace(target), bytes.NewReader([]byte(names.Replace(string(body)))))
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		for _, name := range []string{
			"Content-Type", "Accept", "If-Match", "If-None-Match", "Range", "Idempotency-Key", headerRequestID, headerConsistency, "Origin",
		} {
			if name != "Accept" || acceptsJSON(header) {
				r.Header.Set(name, header)
			}
		}
		r.Header.Set("Authorization", "Token "+s.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %d and what is no JSON: %q", method, target, w.Code, w.Body)
		}
	})
}
