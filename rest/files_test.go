package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// draft makes a bundle and a draft of it.
func (s *stack) draft(t *testing.T) (bundle, draft string) {
	t.Helper()
	c := s.json("POST", "/api/v1/collections", `{"title":"Course"}`).want(t, 201).field(t, "uuid")
	bundle = s.json("POST", "/api/v1/bundles", `{"collection_uuid":"`+c+`","slug":"u","title":"U"}`).want(t, 201).field(t, "uuid")
	return bundle, s.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+bundle+`","name":"x"}`).want(t, 201).field(t, "uuid")
}

// noise is n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func TestALargeFileIsReadInAnyRange(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	content := noise(3<<20 + 17)
	path := "/api/v1/drafts/" + draft + "/files/big.bin"
	s.do("PUT", path, "", string(content)).want(t, 204)
	if got := s.do("GET", path, "", "").want(t, 200); got.body != string(content) || got.ContentLength != int64(len(content)) {
		t.Fatalf("read %d bytes, told %d", len(got.body), got.ContentLength)
	}
	n := len(content)
	for _, c := range []struct {
		header     string
		status     int
		start, end int
	}{
		{"bytes=0-0", 206, 0, 1},
		{"bytes=5-9", 206, 5, 10},
		{"bytes=1048576-2097151", 206, 1 << 20, 2 << 20},
		{"bytes=3145740-", 206, 3145740, n},
		{"bytes=-17", 206, n - 17, n},
		{"bytes=10-99999999999", 206, 10, n},
		{"bytes=0-" + fmt.Sprint(n-1), 206, 0, n},
		{"lines=1-2", 416, 0, 0},
		{fmt.Sprintf("bytes=%d-", n), 416, 0, 0},
	} {
		a := s.do("GET", path, "", "", "Range", c.header).want(t, c.status)
		if c.status == 206 && a.body != string(content[c.start:c.end]) {
			t.Errorf("%s: %d bytes, want %d to %d", c.header, len(a.body), c.start, c.end)
		}
	}
	several := s.do("GET", path, "", "", "Range", "bytes=0-3,1000000-1000003").want(t, 206)
	if !strings.HasPrefix(several.Header.Get("Content-Type"), "multipart/byteranges") || !strings.Contains(several.body, string(content[1000000:1000004])) {
		t.Errorf("two ranges: %s", several.Header.Get("Content-Type"))
	}
	stale := s.do("GET", path, "", "", "Range", "bytes=0-3", "If-Range", `"other"`).want(t, 200)
	if len(stale.body) != n {
		t.Errorf("If-Range of another content: %d bytes", len(stale.body))
	}
}

func TestFramesAreStoredInBulk(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	var stream []byte
	var digests []string
	files := make(map[string]any)
	for i := range 3000 + 7 { // more than one batch
		blob := fmt.Appendf(nil, "file %d", i)
		stream = bundle.MakeFrame(blob).AppendTo(stream)
		d := bundle.DigestOf(blob)
		digests = append(digests, d.String())
		files[fmt.Sprintf("f/%04d", i)] = map[string]any{"digest": d, "size": len(blob)}
	}
	if got := s.do("POST", "/api/v1/blobs", bundle.FramesType, string(stream)).want(t, 200).body; got != fmt.Sprintf(`{"stored":%d}`, len(digests)) {
		t.Error(got)
	}
	asked, err := json.Marshal(map[string]any{"digests": digests})
	check(t, err)
	if got := s.json("POST", "/api/v1/blobs/missing", string(asked)).want(t, 200).body; got != `{"missing":[]}` {
		t.Error(got[:min(len(got), 200)])
	}
	patch, err := json.Marshal(map[string]any{"files": files})
	check(t, err)
	s.json("PATCH", "/api/v1/drafts/"+draft, string(patch)).want(t, 204)
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	if got := s.do("GET", "/api/v1/drafts/"+draft+"/files/f/2999", "", "").want(t, 200).body; got != "file 2999" {
		t.Error(got)
	}

	damaged := bytes.Clone(stream)
	damaged[len(damaged)-1] ^= 1
	a := s.do("POST", "/api/v1/blobs", bundle.FramesType, string(damaged)).want(t, 400)
	if a.Header.Get(headerError) != "invalid" {
		t.Errorf("damage is %s: %s", a.Header.Get(headerError), a.body)
	}
	s.do("POST", "/api/v1/blobs", bundle.FramesType, string(stream[:len(stream)-1])).want(t, 400)
}

func TestAnUploadThatBreaksOffStagesNothing(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.server.URL+"/api/v1/drafts/"+draft+"/files/x",
		io.MultiReader(bytes.NewReader(noise(1<<20)), iotest.ErrReader(errors.New("unplugged"))))
	check(t, err)
	r.Header.Set("Authorization", "Token "+s.token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Do(r); err == nil {
		t.Errorf("status %d", resp.StatusCode)
		check(t, resp.Body.Close())
	}
	s.json("GET", "/api/v1/drafts/"+draft+"/files/x", "").want(t, 404)
}

func TestABodyOverTheLimitIsRefusedBeforeItIsRead(t *testing.T) {
	s := newStack(t, func(c *Config) { c.MaxBody = 1000 })
	_, draft := s.draft(t)
	big := `{"files":{"x":"` + strings.Repeat("QUFB", 1000) + `"}}`
	a := s.json("PATCH", "/api/v1/drafts/"+draft, big).want(t, 413)
	if a.Header.Get(headerError) != "too_large" || !strings.Contains(a.body, "1000 bytes") {
		t.Errorf("%s: %s", a.Header.Get(headerError), a.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.server.URL+"/api/v1/drafts/"+draft, io.MultiReader(strings.NewReader(big)))
	check(t, err)
	r.Header = http.Header{"Authorization": {"Token " + s.token}, "Content-Type": {"application/json"}}
	s.send(r).want(t, 413) // chunked: known when it is read
	s.do("PUT", "/api/v1/drafts/"+draft+"/files/x", "", string(noise(5000))).want(t, 204)
}

func TestChunkedBodiesAreRead(t *testing.T) {
	s := newStack(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.server.URL+"/api/v1/collections", io.MultiReader(strings.NewReader(`{"title":"x"}`)))
	check(t, err)
	r.Header = http.Header{"Authorization": {"Token " + s.token}, "Content-Type": {"application/json"}}
	s.send(r).want(t, 201)
}

func TestABodyThatDoesNotMoveIsCutOff(t *testing.T) {
	s := newStack(t, func(c *Config) { c.IdleTimeout = 50 * time.Millisecond })
	_, draft := s.draft(t)
	pr, pw := io.Pipe()
	defer pw.Close()
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.server.URL+"/api/v1/drafts/"+draft+"/files/x", pr)
	check(t, err)
	r.Header = http.Header{"Authorization": {"Token " + s.token}}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return // cut off without a word
	}
	check(t, resp.Body.Close())
	if resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestNoSignatureNoWaiting counts the reads that the cluster is asked to make sure
// of, which costs other nodes a round: a URL must be signed for it.
func TestNoSignatureNoWaiting(t *testing.T) {
	var levels []string
	s := newStack(t, func(c *Config) {
		c.Read = func(_ context.Context, level string) (uint64, bool, error) {
			if level != "local" { // what a refusal shows of the index
				levels = append(levels, level)
			}
			return 1, false, nil
		}
	})
	_, b := s.publish(t)
	_, draft := s.draft(t)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"a":"YQ=="}}`).want(t, 204)
	committed := s.json("GET", "/api/v1/bundle_versions/"+b+",1", "").want(t, 200).field(t, "unit.xml\":{\"url")
	staged := s.json("GET", "/api/v1/drafts/"+draft, "").want(t, 200).field(t, "a\":{\"url")
	for _, url := range []string{committed, staged} {
		levels = nil
		s.do("GET", url+"&consistency=strong", "", "", "Authorization", "").want(t, 200)
		if !slices.Equal(levels, []string{"strong"}) {
			t.Errorf("%s waited for %v", url, levels)
		}
		levels = nil
		s.do("GET", strings.Replace(url, "signature=", "signature=x", 1)+"&consistency=strong", "", "", "Authorization", "").want(t, 403)
		if len(levels) != 0 {
			t.Errorf("without a signature %s waited for %v", url, levels)
		}
	}
}

func TestURLsOfFilesHoldForADayAndStayTheSameForHours(t *testing.T) {
	s := newStack(t, nil)
	_, b := s.publish(t)
	url := func() string {
		t.Helper()
		return s.json("GET", "/api/v1/bundle_versions/"+b+",1", "").want(t, 200).field(t, "unit.xml\":{\"url")
	}
	first := url()
	a := s.do("GET", first, "", "", "Authorization", "").want(t, 200)
	if c := a.Header.Get("Cache-Control"); !strings.HasPrefix(c, "public, max-age=") || !strings.HasSuffix(c, ", immutable") {
		t.Error(c)
	}
	s.clock.advance(time.Second)
	if url() != first {
		t.Error("the URL changed within a second")
	}
	s.clock.advance(23 * time.Hour)
	s.do("GET", first, "", "", "Authorization", "").want(t, 200)
	if url() == first {
		t.Error("the URL is given out again shortly before its end")
	}
	s.clock.advance(8 * time.Hour)
	s.do("GET", first, "", "", "Authorization", "").want(t, 403)
}

func TestFilesOfAnotherOriginNeedNoSandbox(t *testing.T) {
	s := newStack(t, func(c *Config) {
		c.PublicURL, c.FilesURL, c.CORSOrigins = "https://store.example/", "https://files.example", []string{"https://studio.example"}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	_, b := s.publish(t)
	v := s.json("GET", "/api/v1/bundle_versions/"+b+",1", "").want(t, 200)
	if got := v.field(t, "url"); got != "https://store.example/api/v1/bundle_versions/"+b+",1" {
		t.Error(got)
	}
	url := v.field(t, "unit.xml\":{\"url")
	path, found := strings.CutPrefix(url, "https://files.example")
	if !found {
		t.Fatal(url)
	}
	a := s.do("GET", path, "", "", "Authorization", "", "Origin", "https://studio.example", "X-Forwarded-Host", "files.example").want(t, 200)
	if a.Header.Get("Content-Security-Policy") != "" || a.Header.Get("Access-Control-Allow-Origin") != "https://studio.example" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error(a.Header)
	}
	a = s.do("GET", path, "", "", "Authorization", "", "Origin", "https://evil.example").want(t, 200)
	if a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error(a.Header)
	}
	for host, want := range map[string]string{
		"files.example": "", "FILES.example:443": "", "store.example": "sandbox", "": "sandbox", "evil.example": "sandbox",
	} {
		a := s.do("GET", path, "", "", "Authorization", "", "X-Forwarded-Host", host).want(t, 200)
		if got := a.Header.Get("Content-Security-Policy"); got != want {
			t.Errorf("asked for at host %q, the policy is %q, not %q", host, got, want)
		}
	}
}

func TestContentTypesComeFromTheNameAlone(t *testing.T) {
	for path, want := range map[string]string{
		"a.txt": "text/plain", "a.HTML": "text/html", "d.x/a": "application/octet-stream", "a.js": "text/javascript",
		"a.unknown": "application/octet-stream", ".png": "image/png", "a.tar.gz": "application/gzip", "a.": "application/octet-stream",
	} {
		if got := contentType(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

func TestLenientBase64IsTheOriginals(t *testing.T) {
	for _, c := range []struct{ in, want, problem string }{
		{"", "", ""},
		{"YQ==", "a", ""},
		{"Y Q\n=\t=", "a", ""},
		{"YQ====", "a", ""},
		{"YQ==YQ==", "a", ""}, // what follows the padding is ignored
		{"Y-Q_=!=", "a", ""},  // not of the alphabet: skipped
		{"YWI", "", "Incorrect padding"},
		{"YQ=", "", "Incorrect padding"},
		{"Y", "", "Invalid base64-encoded string: number of data characters (1) cannot be 1 more than a multiple of 4"},
		{"%", "", "Incorrect padding"},
		{" \n", "", ""},
		{"=", "", ""},
		{"é", "", "string argument should contain only ASCII characters"},
	} {
		got, problem := decodeBase64(c.in)
		if string(got) != c.want || problem != c.problem {
			t.Errorf("%q: %q %q, want %q %q", c.in, got, problem, c.want, c.problem)
		}
	}
}

// entry is how a test keeps a file's content in a PATCH.
func entry(content string) string { return base64.StdEncoding.EncodeToString([]byte(content)) }
