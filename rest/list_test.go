package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestLongListsAreWholeAndPagesMeet(t *testing.T) {
	s := newStack(t, nil)
	const n = 2*pageRows + 3
	for i := range n {
		s.propose(catalog.CreateCollection{ID: bundle.NewID(), Title: fmt.Sprint(i)})
	}
	whole := s.json("GET", "/api/v1/collections", "").want(t, 200)
	var rows []struct{ Title string }
	check(t, json.Unmarshal([]byte(whole.body), &rows))
	if len(rows) != n {
		t.Fatalf("%d rows, want %d", len(rows), n)
	}
	for i, r := range rows {
		if r.Title != fmt.Sprint(i) {
			t.Fatalf("row %d is %s", i, r.Title)
		}
	}
	next := regexp.MustCompile(`<(.*)>; rel="next"`)
	var paged []string
	for url := s.server.URL + "/api/v1/collections?limit=400&x=%20y"; url != ""; {
		a := s.json("GET", url, "").want(t, 200)
		paged = append(paged, strings.Trim(a.body, "[]"))
		if url = ""; next.MatchString(a.Header.Get("Link")) {
			url = next.FindStringSubmatch(a.Header.Get("Link"))[1]
		}
	}
	if len(paged) != 3 || "["+strings.Join(paged, ",")+"]" != whole.body {
		t.Errorf("%d pages do not make the whole list", len(paged))
	}
	indented := s.do("GET", "/api/v1/collections", "", "", "Accept", "application/json; indent=2").want(t, 200).body
	var compact bytes.Buffer
	check(t, json.Compact(&compact, []byte(indented)))
	if compact.String() != whole.body {
		t.Error("an indented list is another one")
	}
	if a := s.do("HEAD", "/api/v1/collections", "", "").want(t, 200); a.body != "" {
		t.Errorf("HEAD has a body of %d bytes", len(a.body))
	}
}

func TestAbsoluteURLsComeFromTheRequest(t *testing.T) {
	root := func(s *stack, headers ...string) string {
		t.Helper()
		return s.do("GET", "/api/v1/", "", "", headers...).want(t, 200).field(t, "drafts")
	}
	forwarded := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example, store.example"}
	plain := newStack(t, nil)
	if got := root(plain, forwarded...); got != plain.server.URL+"/api/v1/drafts" {
		t.Errorf("headers of a proxy that nobody trusts make %s", got)
	}
	proxied := newStack(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	if got := root(proxied, forwarded...); got != "https://store.example/api/v1/drafts" {
		t.Errorf("a trusted proxy makes %s", got)
	}
	if got := root(proxied); got != proxied.server.URL+"/api/v1/drafts" {
		t.Errorf("without headers a trusted proxy makes %s", got)
	}
}

func TestOverAUnixSocketURLsAreOfLocalhost(t *testing.T) {
	s := newStack(t, nil)
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	check(t, err)
	srv := &http.Server{Handler: s.api.Handler(), ReadHeaderTimeout: 1e9}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(ln) })
	defer served.Wait()
	defer srv.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://anything/api/v1/", nil)
	check(t, err)
	r.Header.Set("Authorization", "Token "+s.token)
	resp, err := transport.RoundTrip(r)
	check(t, err)
	defer resp.Body.Close()
	var out map[string]string
	check(t, json.NewDecoder(resp.Body).Decode(&out))
	if out["drafts"] != "http://localhost/api/v1/drafts" {
		t.Error(out["drafts"])
	}
}

// logBuffer is a log that tests read while handlers write.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestNoTokenAndNoSignatureIsEverLogged(t *testing.T) {
	var logged logBuffer
	s := newStack(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	_, b := s.publish(t)
	url := s.json("GET", "/api/v1/bundle_versions/"+b+",1", "").want(t, 200).field(t, "unit.xml\":{\"url")
	s.do("GET", url, "", "", "Authorization", "").want(t, 200)
	made := s.operate("POST", "/admin/v1/tokens", `{"name":"x","role":"reader"}`).want(t, 201).field(t, "token")
	a := s.do("GET", "/api/v1/", "", "", "X-Request-Id", "from-the-proxy").want(t, 200)
	if a.Header.Get("X-Request-Id") != "from-the-proxy" {
		t.Error(a.Header)
	}
	_, signature, _ := strings.Cut(url, "signature=")
	for _, secret := range []string{s.token, made, signature} {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	if !strings.Contains(logged.String(), "id=from-the-proxy") || !strings.Contains(logged.String(), "token=host") {
		t.Error("the log does not name requests")
	}
}

func TestEveryAnswerCarriesTheIndexItShows(t *testing.T) {
	s := newStack(t, nil)
	before := s.json("GET", "/api/v1/collections", "").want(t, 200).Header.Get(headerIndex)
	made := s.json("POST", "/api/v1/collections", `{"title":"x"}`).want(t, 201).Header.Get(headerIndex)
	after := s.json("GET", "/api/v1/collections", "").want(t, 200).Header.Get(headerIndex)
	if before == made || made != after {
		t.Errorf("before %s, made %s, after %s", before, made, after)
	}
}

func TestOneOfTwoCommitsOfTheSameDraftHasNothingToCommit(t *testing.T) {
	s := newStack(t, nil)
	b, draft := s.draft(t)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"a":"`+entry("a")+`"}}`).want(t, 204)
	var wg sync.WaitGroup
	got := make(chan int, 8)
	for range cap(got) {
		wg.Go(func() { got <- s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").StatusCode })
	}
	wg.Wait()
	close(got)
	counts := make(map[int]int)
	for status := range got {
		counts[status]++
	}
	if counts[201] != 1 || counts[400] != cap(got)-1 {
		t.Errorf("statuses %v", counts)
	}
	s.json("GET", "/api/v1/bundle_versions/"+b+",2", "").want(t, 404)
}

func TestParallelPatchesLoseNoFile(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s.json("PATCH", "/api/v1/drafts/"+draft, fmt.Sprintf(`{"files":{"f%d":"%s"}}`, i, entry("x")))
		})
	}
	wg.Wait()
	got := s.json("GET", "/api/v1/drafts/"+draft, "").want(t, 200).body
	if n := strings.Count(got, `"modified":true`); n != 20 {
		t.Errorf("%d files, want 20", n)
	}
}

func TestAHandlerThatPanicsIsA500ThatNamesTheRequest(t *testing.T) {
	var logged logBuffer
	s := newStack(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		c.MetricsHandler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })
	})
	a := s.do("GET", "/metrics", "", "", "X-Request-Id", "r1").want(t, 500)
	if a.body != `{"detail":"This failed inside the server; its log says why under request id r1."}` || !strings.Contains(logged.String(), "panic=broken") {
		t.Errorf("%s\n%s", a.body, logged.String())
	}
}
