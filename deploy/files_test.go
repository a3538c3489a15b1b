package deploy_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

func TestNamesOfAnyKindPassUnchanged(t *testing.T) {
	h := behindTrusted(t)
	names := map[string]string{ // as written in a URL, and what they mean
		"a%20b": "a b", "100%25": "100%", "a%252Fb": "a%2Fb", "c%2Fd": "c/d", "what%3F": "what?", "%23tag": "#tag", "p+q": "p+q",
		"r%2Bs": "r+s", "caf%C3%A9": "café", "%E6%97%A5%E6%9C%AC/%F0%9F%8C%B1": "日本/🌱", "a&b=c;d": "a&b=c;d", "%25%25": "%%", "q%22uote": `q"uote`,
	}
	contents := map[string]string{}
	for escaped := range names {
		contents[escaped] = "content of " + escaped
	}
	bundle := h.publish(t, contents)
	urls := h.fileURLs(t, bundle)
	if len(urls) != len(names) {
		t.Errorf("%d files are shown, not %d: %v", len(urls), len(names), urls)
	}
	for escaped, path := range names {
		for _, target := range []string{urls[path], "/api/v1/bundle_versions/" + bundle + ",1/files/" + escaped} {
			a := h.send(t, "GET", target, nil, "Authorization", "Token "+h.token)
			if a.status != http.StatusOK || string(a.body) != contents[escaped] {
				t.Errorf("%q at %s: %d %.200s", path, target, a.status, a.body)
			}
		}
		spoilt := strings.Replace(urls[path], "signature=", "signature=A", 1)
		h.send(t, "GET", spoilt, nil).want(t, http.StatusForbidden)
	}
}

func TestUncleanPathsAreRefusedNotMended(t *testing.T) {
	h := behindTrusted(t)
	_, _, draft := h.bundle(t)
	for path, status := range map[string]int{
		"d//e": 404, "d/./e": 404, "d/../e": 404, "d%2F%2Fe": 400, "%2E%2E/e": 400, "d/%2E/e": 400, "d%5C..%5Ce": 400,
	} {
		h.send(t, "PUT", "/api/v1/drafts/"+draft+"/files/"+path, strings.NewReader("x"), "Authorization", "Token "+h.token).want(t, status)
	}
	if a := h.api(t, "GET", "drafts/"+draft, nil); !strings.Contains(string(a.body), `"files":{}`) {
		t.Errorf("something was stored: %s", a.body)
	}
}

func TestRangesAndConditionsPass(t *testing.T) {
	h := behindTrusted(t)
	content := strings.Repeat("0123456789", 100_000) // more than nginx's buffers
	bundle := h.publish(t, map[string]string{"digits.html": content})
	url := h.fileURLs(t, bundle)["digits.html"]
	whole := h.send(t, "GET", url, nil, "Accept-Encoding", "gzip").want(t, http.StatusOK)
	tag := whole.header.Get("ETag")
	if string(whole.body) != content || tag == "" || strings.HasPrefix(tag, "W/") || whole.header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("%d bytes, %v", len(whole.body), whole.header)
	}
	for _, c := range []struct {
		headers []string
		status  int
		body    string
		part    string // Content-Range
	}{
		{[]string{"Range", "bytes=3-6"}, 206, "3456", "bytes 3-6/1000000"},
		{[]string{"Range", "bytes=-2"}, 206, "89", "bytes 999998-999999/1000000"},
		{[]string{"Range", "bytes=999990-"}, 206, "0123456789", "bytes 999990-999999/1000000"},
		{[]string{"Range", "bytes=1000000-"}, 416, "", "bytes */1000000"},
		{[]string{"Range", "bytes=1-2", "If-Range", tag}, 206, "12", "bytes 1-2/1000000"},
		{[]string{"Range", "bytes=1-2", "If-Range", `"other"`}, 200, content, ""},
		{[]string{"If-None-Match", tag}, 304, "", ""},
		{[]string{"If-None-Match", `"other"`}, 200, content, ""},
	} {
		a := h.send(t, "GET", url, nil, c.headers...)
		if a.status != c.status || a.header.Get("Content-Range") != c.part || c.status != 416 && string(a.body) != c.body {
			t.Errorf("%q: %d, %q, %d bytes", c.headers, a.status, a.header.Get("Content-Range"), len(a.body))
		}
	}
	head := h.send(t, "HEAD", url, nil).want(t, http.StatusOK)
	if head.header.Get("Content-Length") != "1000000" || len(head.body) != 0 {
		t.Errorf("HEAD: %v", head.header)
	}
}

// An upload whose sender pauses in the middle is with blockstored already, and
// neither it nor its download ever lies in nginx's folders.
func TestALargeUploadAndItsDownloadAreStreamed(t *testing.T) {
	const size, before = 200 << 20, 16 << 20
	s := startSite(t, site.Config{Name: "large", Settings: trusting})
	wire, err := site.StartProxy(t.Context(), s.Listen())
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, startNginx(t, upstream{api: strings.TrimPrefix(wire.URL(), "http://"), peer: "127.0.0.1:9"}), s)
	t.Cleanup(func() { // before nginx ends, which its connections hold
		if err := wire.Close(); err != nil {
			t.Error(err)
		}
	})
	_, bundle, draft := h.bundle(t)

	body, sender := io.Pipe()
	defer body.Close() //nolint:errcheck // ends the sender where the test ends early
	sum := sha256.New()
	paused, goOn, sent := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		content := io.TeeReader(rand.NewChaCha8([32]byte{1}), sum)
		_, err := io.CopyN(sender, content, before)
		close(paused)
		<-goOn
		if err == nil {
			_, err = io.CopyN(sender, content, size-before)
		}
		sent <- sender.CloseWithError(err)
	}()
	arrived := wire.Count().Up
	answered := make(chan *http.Response, 1)
	r := request(t, "PUT", "https://"+name+"/api/v1/drafts/"+draft+"/files/large.bin", h.token)
	r.Body, r.ContentLength = body, size
	go func() {
		resp, err := h.http.Do(r)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	<-paused
	const inFlight = 8 << 20 // at most, in buffers of sockets and programs
	waitFor(t, "blockstored to see the first part", func() bool { return wire.Count().Up-arrived > before-inFlight })
	h.keepsNothing(t)
	close(goOn)
	resp := <-answered
	if resp == nil {
		t.FailNow()
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%v, %v", resp.Status, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	h.keepsNothing(t)

	h.api(t, "POST", "drafts/"+draft+"/commit", nil).want(t, http.StatusCreated)
	resp, err = h.http.Do(request(t, "GET", h.fileURLs(t, bundle)["large.bin"], ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	got := sha256.New()
	if _, err := io.CopyN(got, resp.Body, size/2); err != nil { // and the rest waits in the site
		t.Fatal(err)
	}
	h.keepsNothing(t)
	if _, err := io.Copy(got, resp.Body); err != nil || string(got.Sum(nil)) != string(sum.Sum(nil)) {
		t.Errorf("other bytes came back: %v", err)
	}
}

// keepsNothing fails if nginx has a body on disk. Such a file has no name: it is
// seen among nginx's open files alone, as Linux shows them.
func (f *front) keepsNothing(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	fds := fmt.Sprintf("/proc/%d/fd", f.pid)
	open, err := os.ReadDir(fds)
	if err != nil || len(open) == 0 {
		t.Fatalf("%d open files, %v", len(open), err)
	}
	for _, fd := range open {
		to, err := os.Readlink(filepath.Join(fds, fd.Name()))
		if err == nil && (strings.HasPrefix(to, filepath.Join(f.dir, "bodies")) || strings.HasPrefix(to, filepath.Join(f.dir, "answers"))) {
			t.Errorf("nginx keeps %s", to)
		}
	}
}

func TestTheAccessLogHoldsNoSecret(t *testing.T) {
	h := behindTrusted(t)
	bundle := h.publish(t, map[string]string{"a.txt": "a"})
	url := h.fileURLs(t, bundle)["a.txt"]
	h.send(t, "GET", url, nil, "Referer", url).want(t, http.StatusOK)
	_, signature, _ := strings.Cut(url, "signature=")
	path := "/files/" + bundle + "/"
	waitFor(t, "the access log", func() bool { return strings.Contains(h.read(t, "access.log"), path) })
	for what, secret := range map[string]string{"a signature": signature, "a token": h.token, "a query": "?"} {
		if secret == "" || strings.Contains(h.read(t, "access.log"), secret) {
			t.Errorf("the access log holds %s", what)
		}
	}
}
