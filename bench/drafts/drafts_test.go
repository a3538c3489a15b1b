package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

func TestNothingIsLostOrDoubledByManyClientsWhileTheServerIsKilled(t *testing.T) {
	contended(t, options{clients: 24, drafts: 6, lasting: 2 * time.Second, killEvery: time.Second, kills: 2, seed: 5, storage: "dir"})
}

func TestNothingIsLostOrDoubledByManyClientsOnS3(t *testing.T) {
	sitetest.NeedGateway(t)
	contended(t, options{clients: 16, drafts: 4, lasting: 2 * time.Second, seed: 6, storage: "s3"})
}

func contended(t *testing.T, o options) {
	t.Helper()
	r, err := contend(t.Context(), o, program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.report(&text, false); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if r.verdict() != nil || r.Kills < o.kills || r.Commits == 0 || r.Versions != r.Commits || r.Files == 0 || r.Bytes == 0 {
		t.Errorf("%d kills, %d commits, %d versions", r.Kills, r.Commits, r.Versions)
	}
}

// answers is a contest whose server is fn.
func answers(t *testing.T, fn http.HandlerFunc) *contest {
	server := httptest.NewServer(fn)
	c := &contest{result: &result{}, history: &history{}, api: site.NewAPI(server.URL, "token")}
	t.Cleanup(func() { c.api.Close(); server.Close() })
	c.drafts, c.bundles, c.options.drafts = []string{"d"}, []string{"b"}, 1
	return c
}

func TestAChangeIsRepeatedWithItsKeyUntilItIsAnswered(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	healthy := false
	c := answers(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path == "/health/" && !healthy:
			w.WriteHeader(http.StatusServiceUnavailable)
			healthy = true
		case r.URL.Path == "/health/":
		default:
			switch keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) {
			case 1:
				panic(http.ErrAbortHandler)
			case 2:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				w.WriteHeader(http.StatusNoContent)
			}
		}
	})
	if err := newClient(c, 0).patch(t.Context(), "key", map[string][]byte{"a": nil}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, key := range keys {
		if key != "key" {
			t.Errorf("keys %q", keys)
		}
	}
	if c.Retries == 0 || c.Patches != 1 || len(c.writes) != 1 || c.verdict() != nil {
		t.Errorf("%+v", c.result)
	}
}

func TestWhatNoClientAskedForIsAViolation(t *testing.T) {
	for name, a := range map[string]struct {
		status int
		body   string
		count  func(r *result) int
	}{
		"500":                    {500, "{}", func(r *result) int { return r.Failures }},
		"404":                    {404, "{}", func(r *result) int { return r.Refused }},
		"409 without conflicts":  {409, "{}", func(r *result) int { return r.Refused }},
		"409 at an own path":     {409, `{"conflicts":[{"path":"client-00/0.txt","kind":"changed"}]}`, func(r *result) int { return r.Refused }},
		"409 file and folder":    {409, `{"conflicts":[{"path":"shared/1","kind":"file_and_folder"}]}`, func(r *result) int { return r.Refused }},
		"400 of another meaning": {400, `["Something else."]`, func(r *result) int { return r.Refused }},
	} {
		t.Run(name, func(t *testing.T) {
			c := answers(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.Method {
				case http.MethodPost:
					w.WriteHeader(a.status)
					_, _ = w.Write([]byte(a.body))
				case http.MethodPatch:
					w.WriteHeader(http.StatusNoContent)
				default:
					_, _ = w.Write([]byte(`{"versions":["http://x/b,1"],"snapshot":{"files":{}}}`))
				}
			})
			if err := newClient(c, 0).commitDraft(t.Context()); err != nil {
				t.Fatal(err)
			}
			if a.count(c.result) != 1 || c.verdict() == nil {
				t.Errorf("%+v", c.result)
			}
		})
	}
}

func TestAClientReadsWhatItWrote(t *testing.T) {
	for _, shows := range []string{"content", "other"} {
		c := answers(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			fmt.Fprintf(w, `{"staged_draft":{"files":{"a":{"hash_digest":%q}}}}`, hash([]byte(shows)))
		})
		one := newClient(c, 0)
		if err := one.patch(t.Context(), "key", map[string][]byte{"a": []byte("content")}); err != nil {
			t.Fatal(err)
		}
		if err := one.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if (c.Lost == 1) != (shows == "other") {
			t.Errorf("%s: %+v", shows, c.result)
		}
	}
}

func TestBytesOfAnotherHashAreAViolation(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("bytes")) }))
	defer server.Close()
	c := &contest{result: &result{}, api: site.NewAPI(server.URL, "token")}
	defer c.api.Close()
	for content, lost := range map[string]int{"bytes": 0, "others": 1} {
		c.Lost = 0
		if err := c.compareBytes(t.Context(), map[string]listed{"a": {server.URL, hash([]byte(content))}}); err != nil {
			t.Fatal(err)
		}
		if c.Lost != lost {
			t.Errorf("%d lost when the hash is of %q", c.Lost, content)
		}
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{"--drafts 0", "--clients 3 --drafts 4", "--for 0s", "--race --program x", "--nothing", "surplus"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
	if o, err := parse(nil); err != nil || o.clients != 64 || o.drafts != 16 || o.lasting != time.Minute {
		t.Errorf("%+v, %v", o, err)
	}
}
