package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func TestATokenMayMakeSoManyRequestsASecond(t *testing.T) {
	s := newStack(t, func(c *Config) { c.RequestsPerSecond, c.Burst = 2, 3 })
	other := s.newToken("other", "reader")
	for i := range 3 {
		if a := s.json("GET", "/api/v1/", ""); a.StatusCode != 200 {
			t.Fatalf("request %d of the burst: %d", i, a.StatusCode)
		}
	}
	a := s.json("GET", "/api/v1/", "").want(t, 429)
	if a.Header.Get("Retry-After") != "1" || a.Header.Get(headerError) != "rate_limited" || !strings.Contains(a.body, "2 a second") {
		t.Errorf("%v: %s", a.Header, a.body)
	}
	s.do("GET", "/api/v1/", "", "", "Authorization", "Token "+other).want(t, 200)
	s.do("GET", "/api/v1/", "", "", "Authorization", "Token unknown").want(t, 401)
	s.do("GET", "/livez", "", "").want(t, 200)
	s.clock.advance(500 * time.Millisecond) // one more
	s.json("GET", "/api/v1/", "").want(t, 200)
	s.json("GET", "/api/v1/", "").want(t, 429)
	s.clock.advance(time.Hour)
	for range 3 {
		s.json("GET", "/api/v1/", "").want(t, 200)
	}
	s.json("GET", "/api/v1/", "").want(t, 429)
	for range 10 { // who needs no token is not counted
		s.operate("GET", "/admin/v1/tokens", "").want(t, 200)
	}
}

func TestAPaceForgetsTheTokensThatWereQuiet(t *testing.T) {
	p, err := newPace(1, 0)
	check(t, err)
	now := time.Unix(0, 0)
	first := bundle.NewID()
	for range 2 {
		if p.admit(first, now) != 0 {
			t.Fatal("the burst is not twice the rate")
		}
	}
	if p.admit(first, now) == 0 {
		t.Fatal("there is no bound")
	}
	for range maxPaced {
		p.admit(bundle.NewID(), now)
	}
	if p.tokens.Len() != maxPaced || p.admit(first, now) != 0 {
		t.Errorf("%d tokens are remembered", p.tokens.Len())
	}
}

// stuck begins an upload, which the server has begun to read when stuck returns,
// and which ends when the returned function is called. That returns its status.
func (s *stack) stuck(t *testing.T, path string) (finish func() int) {
	t.Helper()
	pr, pw := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.server.URL+path, pr)
	check(t, err)
	r.Header = http.Header{"Authorization": {"Token " + s.token}, "Expect": {"100-continue"}}
	done := make(chan int, 1)
	go func() {
		defer close(done)
		transport := &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return
		}
		_ = resp.Body.Close() // the status is all that matters
		done <- resp.StatusCode
	}()
	_, err = pw.Write([]byte("x")) // which nobody takes before the server wants it
	check(t, err)
	return func() int {
		check(t, pw.Close())
		return <-done
	}
}

func TestSoManyUploadsAreTakenInAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *Config) { c.MaxUploads = 2 })
	s.api.uploadWait = time.Millisecond
	_, draft := s.draft(t)
	file := "/api/v1/drafts/" + draft + "/files/"
	first, second := s.stuck(t, file+"first"), s.stuck(t, file+"second")

	large := string(noise(smallUpload + 1))
	blob := "/api/v1/blobs/" + bundle.DigestOf([]byte(large)).String()
	for _, c := range []struct{ method, path, contentType string }{
		{"PUT", file + "third", ""}, {"PUT", blob, ""}, {"POST", "/api/v1/blobs", bundle.FramesType},
	} {
		// The client asks before it sends, so it is told before it has.
		a := s.do(c.method, c.path, c.contentType, large, "Expect", "100-continue").want(t, 503)
		if a.Header.Get("Retry-After") != "5" || !strings.Contains(a.body, "2 uploads are under way") {
			t.Errorf("%s %s: %v %s", c.method, c.path, a.Header, a.body)
		}
	}
	s.do("PUT", file+"small", "", "no more than a request").want(t, 204)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"x":"YQ=="}}`).want(t, 204)

	if got := first(); got != 204 {
		t.Errorf("the first upload ends with %d", got)
	}
	s.do("PUT", file+"third", "", large).want(t, 204)

	s.api.uploadWait = time.Minute // one that waits gets the slot that is freed
	third := s.stuck(t, file+"fourth")
	waiting := make(chan answer)
	go func() { waiting <- s.do("PUT", file+"fifth", "", large) }()
	for _, finish := range []func() int{second, third} {
		if got := finish(); got != 204 {
			t.Errorf("an upload ends with %d", got)
		}
	}
	(<-waiting).want(t, 204)
	if n := len(s.api.uploads); n != 0 {
		t.Errorf("%d slots are taken", n)
	}
}

func TestALongListIsRefusedBeforeItsFirstByte(t *testing.T) {
	s := newStack(t, func(c *Config) { c.MaxList = 3 })
	collection, b := s.publish(t)
	draft := s.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+b+`","name":"mine"}`).want(t, 201).field(t, "uuid")
	for i := range 3 {
		made := s.json("POST", "/api/v1/bundles", fmt.Sprintf(`{"collection_uuid":"%s","slug":"u%d","title":"Ünit %d"}`, collection, i, i)).want(t, 201).field(t, "uuid")
		s.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+made+`","name":"x"}`).want(t, 201)
		s.json("PATCH", "/api/v1/drafts/"+draft, fmt.Sprintf(`{"files":{"f":"%s"}}`, entry(fmt.Sprint(i)))).want(t, 204)
		s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
		s.propose(catalog.CreateCollection{ID: bundle.NewID(), Title: fmt.Sprint(i)})
	}
	for _, path := range []string{
		"collections", "bundles", "drafts", "bundle_versions", "bundles?collection__uuid=" + collection, "bundle_versions?bundle__uuid=" + b,
		"bundles?text_search=n", // looks at all of them
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := s.do(method, "/api/v1/"+path, "", "").want(t, 400)
			if method == "GET" && !strings.HasPrefix(a.body, `{"limit":["This list goes over more than 3 rows. Give limit, from 1 to 1000, `) {
				t.Errorf("%s: %s", path, a.body)
			}
		}
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		var rows []any
		a := s.do("GET", "/api/v1/"+path+sep+"limit=1000", "", "").want(t, 200)
		check(t, json.Unmarshal([]byte(a.body), &rows))
		if len(rows) < 3 || a.Header.Get("Link") != "" {
			t.Errorf("%s in pages: %d rows, %q", path, len(rows), a.Header.Get("Link"))
		}
	}
	for _, path := range []string{
		"bundles?text_search=%C3%BCnit", "bundles?uuid=" + b, "bundles?collection__uuid=" + bundle.NewID().String(),
		"bundle_versions?bundle__uuid=" + bundle.NewID().String(), "bundles/" + b + "/borrowers",
	} {
		s.do("GET", "/api/v1/"+path, "", "").want(t, 200)
	}
}

func TestTheFilterOfIDsIsBounded(t *testing.T) {
	s := newStack(t, nil)
	b, _ := s.draft(t)
	ids := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = bundle.NewID().String()
		}
		all[n-1] = b
		list, err := json.Marshal(map[string]any{"uuid": all})
		check(t, err)
		return string(list)
	}
	if a := s.json("GET", "/api/v1/bundles", ids(maxFilterIDs)).want(t, 200); strings.Count(a.body, `"slug"`) != 1 {
		t.Errorf("%d bytes", len(a.body))
	}
	if a := s.json("GET", "/api/v1/bundles", ids(maxFilterIDs+1)).want(t, 400); a.body != `{"uuid":["Ask for at most 10000 at once."]}` {
		t.Error(a.body[:min(len(a.body), 200)])
	}
}

func TestASearchGoesOnOverPagesWithoutAHit(t *testing.T) {
	l := listing[int]{
		count: func(*catalog.View, int64) (int64, error) { return 0, nil },
		rows: func(_ *catalog.View, p catalog.Page) (f catalog.Found[int], err error) {
			f.Next, f.More = p.After+1, p.After < 4
			if p.After == 1 || p.After == 3 {
				f.Rows = []catalog.Paged[int]{{Row: int(p.After), Cursor: p.After}}
			}
			return f, nil
		},
		show: func(_ *printer, b []byte, row int) ([]byte, error) { return appendInt(b, int64(row)), nil },
	}
	s := newStack(t, nil)
	s.undescribed = true
	s.server.Config.Handler = s.api.handler(&route{pattern: "/list", manner: asProbe, methods: map[string]handle{
		"GET": func(x *exchange) error { return list(x, l) },
	}}, true)
	if a := s.do("GET", "/list", "", "").want(t, 200); a.body != "[1,3]" {
		t.Errorf("whole: %s", a.body)
	}
	if a := s.do("GET", "/list", "", "", "Accept", "application/json; indent=1").want(t, 200); a.body != "[\n 1,\n 3\n]" {
		t.Errorf("indented: %s", a.body)
	}
	var got []string
	next := "/list?limit=1"
	for next != "" {
		a := s.do("GET", next, "", "").want(t, 200)
		got = append(got, a.body)
		next, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	}
	if fmt.Sprint(got) != "[[] [1] [] [3] []]" {
		t.Errorf("in pages: %v", got)
	}
}

func TestAPatchOfTooManyFilesIsRefused(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	var b strings.Builder
	for i := range primary.MaxPatchFiles + 1 {
		fmt.Fprintf(&b, `,"%d":null`, i)
	}
	a := s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{`+b.String()[1:]+`}}`).want(t, 413)
	if a.body != `{"detail":"One PATCH changes at most 100000 files: send several."}` {
		t.Error(a.body)
	}
}

func TestFilesHaveTheConfiguredPolicy(t *testing.T) {
	for _, c := range []struct{ csp, files, want string }{
		{"", "", "sandbox"}, {"", "https://files.example", "sandbox"}, {"", "http://127.0.0.1", ""},
		{"sandbox allow-scripts", "", "sandbox allow-scripts"}, {"default-src 'none'", "https://files.example", "default-src 'none'"},
	} {
		s := newStack(t, func(cfg *Config) { cfg.FilesCSP, cfg.FilesURL = c.csp, c.files })
		_, b := s.publish(t)
		a := s.do("GET", "/api/v1/bundle_versions/"+b+",1/files/unit.xml", "", "").want(t, 200)
		if got := a.Header.Get("Content-Security-Policy"); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
