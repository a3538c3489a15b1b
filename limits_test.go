package blockstored_test

import (
	"errors"
	"io"
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
		// The client asks before it sends: a refusal ends what is under way.
		resp, text := ask(t, k, c.method, c.path, c.body, "Expect", "100-continue")
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, resp.StatusCode, text)
		}
		if c.want == 507 && (resp.Header.Get("Blockstored-Error") != "no_space" || !strings.Contains(text, "(min_free): free some space or lower the limit")) {
			t.Errorf("%s %s: %v %s", c.method, c.path, resp.Header, text)
		}
	}
}

// TestUploadsKeepToTheConfiguredLimits has room for one upload, which stands still:
// another is refused after a moment, and the first is ended.
func TestUploadsKeepToTheConfiguredLimits(t *testing.T) {
	t.Parallel()
	k := blockstoredtest.New(t, func(c *blockstored.Config) {
		c.Limits.MaxUploads, c.Limits.IdleTimeout = 1, 5*time.Second
	})
	upload := func(body io.Reader) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", k.URL+"/api/v1/blobs/"+strings.Repeat("0", 64), body)
		if err != nil {
			return nil, err
		}
		r.Header = http.Header{"Authorization": {"Token " + k.Token}, "Expect": {"100-continue"}}
		transport := &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}
		resp, err := transport.RoundTrip(r)
		if err == nil {
			err = resp.Body.Close()
		}
		return resp, err
	}
	stuck, feed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		resp, err := upload(stuck)
		if err == nil && resp.StatusCode != http.StatusBadRequest {
			err = errors.New(resp.Status)
		}
		ended <- err
	}()
	if _, err := feed.Write([]byte("x")); err != nil { // taken when the server wants it
		t.Fatal(err)
	}
	resp, err := upload(strings.NewReader(strings.Repeat("x", 1<<20)))
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "5" {
		t.Errorf("the second upload: %v %v", resp, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the first upload: %v", err)
	}
	if err := feed.Close(); err != nil {
		t.Error(err)
	}
}
