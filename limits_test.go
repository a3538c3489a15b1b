package blockstored_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/blockstoredtest"
)

func TestATokenKeepsToTheConfiguredRate(t *testing.T) {
	k := blockstoredtest.New(t, func(c *blockstored.Config) {
		c.Limits.RequestsPerSecond, c.Limits.Burst = 1, 5
		start := time.Now() // a clock that stands still
		c.Now = func() time.Time { return start }
	})
	for range 5 {
		if resp, text := ask(t, k, "GET", "/api/v1/", ""); resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	}
	resp, text := ask(t, k, "GET", "/api/v1/", "")
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if resp, _ := ask(t, k, "GET", "/livez", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("a probe is counted: %d", resp.StatusCode)
	}
}

func TestFilesHaveTheConfiguredPolicy(t *testing.T) {
	const policy = "sandbox allow-scripts"
	k := blockstoredtest.New(t, func(c *blockstored.Config) { c.Files.CSP = policy })
	path := strings.TrimPrefix(publishedURL(t, k), k.URL)
	if resp, _ := ask(t, k, "GET", path, "", "Authorization", ""); resp.Header.Get("Content-Security-Policy") != policy {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestHeadersOfMoreThan64KiBAreRefused(t *testing.T) {
	k := blockstoredtest.New(t)
	for size, want := range map[int]int{40 << 10: http.StatusOK, 80 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		if resp, text := ask(t, k, "GET", "/livez", "", "X-Large", strings.Repeat("x", size)); resp.StatusCode != want {
			t.Errorf("%d bytes: %d %s", size, resp.StatusCode, text)
		}
	}
}

// TestBelowMinFreeNewContentIsRefused keeps more free than any disk has: what
// brings content is refused, and nothing else.
func TestBelowMinFreeNewContentIsRefused(t *testing.T) {
	k := blockstoredtest.New(t, func(c *blockstored.Config) { c.Storage.MinFree = 1 << 60 })
	object := func(path, body string) string {
		t.Helper()
		resp, text := ask(t, k, "POST", "/api/v1/"+path, body)
		_, id, _ := strings.Cut(resp.Header.Get("Location"), "/api/v1/"+path+"/")
		if resp.StatusCode != http.StatusCreated || id == "" {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
		}
		return id
	}
	collection := object("collections", `{"title":"Physics"}`)
	bundle := object("bundles", `{"title":"Unit","slug":"unit","collection_uuid":"`+collection+`"}`)
	draft := object("drafts", `{"bundle_uuid":"`+bundle+`","name":"studio"}`)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"PATCH", "/api/v1/drafts/" + draft, `{"files":{"a":"YQ=="}}`, 507},
		{"PUT", "/api/v1/drafts/" + draft + "/files/a", "a", 507},
		{"PUT", "/api/v1/drafts/" + draft + "/files/large", strings.Repeat("a", 1<<20), 507},
		{"GET", "/api/v1/drafts/" + draft, "", 200},
		{"PATCH", "/api/v1/drafts/" + draft, `{"files":{"a":null}}`, 204},
		{"PATCH", "/api/v1/bundles/" + bundle, `{"title":"Other"}`, 200},
		{"DELETE", "/api/v1/bundles/" + bundle, "", 204},
	} {
		resp, text := ask(t, k, c.method, c.path, c.body)
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, resp.StatusCode, text)
		}
		if c.want == 507 && (resp.Header.Get("Blockstored-Error") != "no_space" || !strings.Contains(text, "(min_free): free some space or lower the limit")) {
			t.Errorf("%s %s: %v %s", c.method, c.path, resp.Header, text)
		}
	}
}
