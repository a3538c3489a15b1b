package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/blockstoredtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange asks the host and returns its answer.
func exchange(t *testing.T, method, url, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// want is one exchange and what it must answer.
type want struct {
	method, path, body string
	status             int
	text               string // that the answer begins with
}

func hold(t *testing.T, base string, exchanges []want) {
	t.Helper()
	for _, e := range exchanges {
		status, text := exchange(t, e.method, base+e.path, e.body)
		if status != e.status || !strings.HasPrefix(text, e.text) {
			t.Errorf("%s %s: %d %q, want %d %q", e.method, e.path, status, text, e.status, e.text)
		}
	}
}

var life = []want{
	{"GET", "/", "", 200, "nothing is published yet\n"},
	{"GET", "/pages/about", "", 404, ""},
	{"PUT", "/pages/about", "first", 204, ""},
	{"GET", "/pages/about", "", 404, ""}, // staged is not published
	{"POST", "/publish", "", 200, "version 1 is published\n"},
	{"GET", "/pages/about", "", 200, "first"},
	{"PUT", "/pages/about", "second", 204, ""},
	{"PUT", "/pages/notes/today", "<b>rain</b>", 204, ""},
	{"POST", "/publish", "", 200, "version 2 is published\n"},
	{"GET", "/", "", 200, "version 2\n/pages/about (6 bytes)\n/pages/notes/today (11 bytes)\n"},
	{"GET", "/pages/about", "", 200, "second"},
	{"GET", "/pages/about?version=1", "", 200, "first"},
	{"GET", "/pages/about?version=9", "", 404, ""},
	{"GET", "/pages/about?version=x", "", 400, ""},
	{"DELETE", "/pages/about", "", 204, ""},
	{"POST", "/publish", "", 200, "version 3 is published\n"},
	{"GET", "/pages/about", "", 404, ""},
	{"GET", "/pages/about?version=2", "", 200, "second"},
}

func TestPagesAreStagedPublishedAndReadAtEachVersion(t *testing.T) {
	kit := blockstoredtest.New(t)
	s, err := newSite(t.Context(), kit.Instance)
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(handler(s, kit.Instance))
	defer host.Close()
	hold(t, host.URL, life)
	hold(t, host.URL, []want{
		{"GET", "/health/", "", 200, ""},
		{"GET", "/api/v1/bundles", "", 401, ""},
		{"PUT", "/pages/big", strings.Repeat("x", maxPage+1), 413, ""},
	})

	again, err := newSite(t.Context(), kit.Client) // as if the instance ran elsewhere
	if err != nil || again.bundle != s.bundle {
		t.Fatalf("a second start found bundle %v, %v; want %v", again.bundle, err, s.bundle)
	}
	remote := httptest.NewServer(handler(again, kit.Instance))
	defer remote.Close()
	hold(t, remote.URL, []want{
		{"GET", "/pages/notes/today", "", 200, "<b>rain</b>"},
		{"PUT", "/pages/about", "third", 204, ""},
		{"POST", "/publish", "", 200, "version 4 is published\n"},
		{"GET", "/pages/about", "", 200, "third"},
	})
}

func TestTheProgramServesStopsAndKeepsItsPages(t *testing.T) {
	program := filepath.Join(t.TempDir(), "embedded")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	data := filepath.Join(t.TempDir(), "data")
	base, stop := start(t, program, data)
	hold(t, base, life)
	stop()
	base, stop = start(t, program, data)
	hold(t, base, []want{{"GET", "/pages/notes/today", "", 200, "<b>rain</b>"}})
	stop()
}

// start runs the program and returns where it serves, and what ends it in
// order.
func start(t *testing.T, program, data string) (base string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, "--data", data, "--listen", "127.0.0.1:0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	base, found := strings.CutPrefix(strings.TrimSpace(line), "pages at ")
	if err != nil || !found {
		cancel()
		t.Fatalf("it said %q: %v, %v\n%s", line, err, cmd.Wait(), stderr.String())
	}
	return strings.TrimSuffix(base, "/"), func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v\n%s", err, stderr.String())
		}
	}
}
