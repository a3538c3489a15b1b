package site

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProxyCountsBytesAndRequestsOfEveryConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write([]byte(strings.Repeat("x", 1000) + string(body)))
	}))
	defer server.Close()
	p, err := StartProxy(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	client := &http.Client{Transport: tr}
	before := p.Count()
	for _, path := range []string{"/peer/v1/poll", "/peer/v1/poll", "/peer/v1/blobs/a/b"} {
		resp, err := client.Post(p.URL()+path, "text/plain", strings.NewReader(strings.Repeat("y", 500)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || len(body) != 1500 {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tr.CloseIdleConnections()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	w := p.Count().Since(before)
	if w.Total() != 3 || w.Requests["POST /peer/v1/poll"] != 2 || w.Requests["POST /peer/v1/blobs/…"] != 1 {
		t.Errorf("requests: %v", w.Requests)
	}
	if w.Up < 1500 || w.Up > 3000 || w.Down < 4500 || w.Down > 6000 {
		t.Errorf("bytes up %d, down %d", w.Up, w.Down)
	}
}

func TestProxyEndsWithConnectionsOpen(t *testing.T) {
	arrived, block := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-block
	}))
	defer server.Close()
	defer close(block)
	p, err := StartProxy(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	go func() {
		resp, err := (&http.Client{Transport: tr}).Get(p.URL())
		if err == nil {
			err = resp.Body.Close()
		}
		failed <- err
	}()
	select {
	case <-arrived:
	case err := <-failed:
		t.Fatalf("the request did not arrive: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if <-failed == nil {
		t.Error("a request outlived its proxy")
	}
}

func TestMetricsSumTheSamplesThatCarryTheLabels(t *testing.T) {
	m, err := parseMetrics(strings.NewReader(`# HELP blockstored_objects_written_total Objects.
# TYPE blockstored_objects_written_total counter
blockstored_objects_written_total{kind="blob"} 3
blockstored_objects_written_total{kind="pack"} 4
blockstored_objects_written_total_other{kind="pack"} 40
blockstored_blob_bytes_stored_total 1.5e+06
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		labels []string
		want   float64
	}{{nil, 7}, {[]string{`kind="pack"`}, 4}, {[]string{`kind="other"`}, 0}} {
		if got := m.Sum("objects_written_total", c.labels...); got != c.want {
			t.Errorf("%v: %v, want %v", c.labels, got, c.want)
		}
	}
	if got := m.Sum("blob_bytes_stored_total"); got != 1.5e6 {
		t.Errorf("bytes: %v", got)
	}
}

func TestTreesDifferByMissingOtherAndSurplusFiles(t *testing.T) {
	files := map[string][]byte{"a": []byte("1"), "b/c": []byte("22"), "b/d": nil}
	dir := t.TempDir()
	if err := WriteTree(dir, files); err != nil {
		t.Fatal(err)
	}
	tree, size, err := ReadTree(dir)
	if err != nil || size != 3 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	if err := tree.Compare(TreeOf(files)); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func() error{
		"is missing":          func() error { return os.Remove(filepath.Join(dir, "a")) },
		"has other bytes":     func() error { return os.WriteFile(filepath.Join(dir, "b", "c"), []byte("23"), 0o600) },
		"should not be there": func() error { return os.WriteFile(filepath.Join(dir, "e"), nil, 0o600) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		tree, _, err := ReadTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Compare(TreeOf(files)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpreadOfDurations(t *testing.T) {
	d := Durations{30 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}
	if got := d.String(); got != "min 10 / median 20 / max 30 ms" {
		t.Error(got)
	}
	if got := (Durations)(nil).String(); got != "min 0 / median 0 / max 0 ms" {
		t.Error(got)
	}
}

func TestRacesAreFoundInTheLog(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Site{log: log}
	for text, want := range map[string]int{"ready\n": 0, "ready\nWARNING: DATA RACE\nRead at 1\nWARNING: DATA RACE\nRead at 2\n": 2} {
		if err := os.WriteFile(log.Name(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n, tail, err := s.Races()
		if err != nil || n != want || (want > 0) != strings.HasPrefix(tail, "WARNING: DATA RACE\nRead at 1") {
			t.Errorf("%d races, want %d; %q, %v", n, want, tail, err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFreeAddressIsNoneOfOutgoingConnections(t *testing.T) {
	for range 20 {
		address, err := FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if port, err := strconv.Atoi(text); err != nil || port < firstPort || port >= endPort {
			t.Errorf("%s, %v", address, err)
		}
	}
}
