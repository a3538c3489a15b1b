package deploy_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

const trusting = "trusted_proxies: [127.0.0.1]\n"

// behindTrusted starts a site that trusts the proxy, and the proxy.
func behindTrusted(t *testing.T) *host {
	t.Helper()
	s := startSite(t, site.Config{Name: "trusting", Settings: trusting})
	return newHost(t, startNginx(t, upstream{api: s.Listen(), peer: "127.0.0.1:9"}), s)
}

func TestURLsAreThePublicOnesBehindATrustedProxy(t *testing.T) {
	h := behindTrusted(t)
	h.checkURLs(t, "https://"+name+"/")
	for _, other := range []string{name + ":8443", strings.ToUpper(name)} { // several names lead here
		r := request(t, "GET", "https://"+name+"/api/v1/", h.token)
		r.Host = other
		checkBase(t, exchange(t, h.http, r).want(t, http.StatusOK), "https://"+strings.ToLower(other)+"/")
	}
}

func TestURLsAreThePublicOnesWithAPublicURLOverTheSocket(t *testing.T) {
	socket := filepath.Join(shortDir(t), "api.sock")
	s := startSite(t, site.Config{Name: "public", Settings: "public_url: https://public.example.org\nsocket:\n  path: " + socket + "\n"})
	h := newHost(t, startNginx(t, upstream{socket: socket, peer: "127.0.0.1:9"}), s)
	h.checkURLs(t, "https://public.example.org/")
	r := request(t, "GET", "https://"+name+"/api/v1/", h.token)
	r.Host = "evil.example.org"
	checkBase(t, exchange(t, h.http, r).want(t, http.StatusOK), "https://public.example.org/")
}

// checkURLs makes one of everything and looks at every URL that is answered.
func (h *host) checkURLs(t *testing.T, base string) {
	t.Helper()
	check := func(a answer, status int) answer {
		t.Helper()
		checkBase(t, a.want(t, status), base)
		return a
	}
	check(h.api(t, "GET", "", nil), 200)
	made := func(a answer) string {
		t.Helper()
		check(a, 201)
		if l := a.header.Get("Location"); !strings.HasPrefix(l, base+"api/v1/") {
			t.Errorf("Location: %q", l)
		}
		return a.uuid(t)
	}
	collection := made(h.api(t, "POST", "collections", map[string]string{"title": "C"}))
	bundle := made(h.api(t, "POST", "bundles", map[string]string{"collection_uuid": collection, "title": "B", "slug": "b"}))
	made(h.api(t, "POST", "bundles", map[string]string{"collection_uuid": collection, "title": "B2", "slug": "b2"}))
	draft := made(h.api(t, "POST", "drafts", map[string]string{"bundle_uuid": bundle, "name": "d"}))
	h.api(t, "PATCH", "drafts/"+draft, map[string]any{"files": map[string]string{"a.txt": "YQ=="}}).want(t, 204)
	check(h.api(t, "GET", "drafts/"+draft, nil), 200)
	check(h.api(t, "POST", "drafts/"+draft+"/commit", nil), 201)
	check(h.api(t, "GET", "bundles/"+bundle, nil), 200)
	check(h.api(t, "GET", "bundle_versions/"+bundle+",1", nil), 200)
	page := check(h.api(t, "GET", "bundles?limit=1", nil), 200)
	if next := page.header.Get("Link"); !strings.HasPrefix(next, "<"+base+"api/v1/bundles?") {
		t.Errorf("Link: %q", next)
	}
}

// checkBase fails unless an answer has URLs and all of them begin with base.
func checkBase(t *testing.T, a answer, base string) {
	t.Helper()
	var value any
	a.decode(t, &value)
	urls := urlsIn(value)
	if len(urls) == 0 {
		t.Errorf("no URL in %s", a.body)
	}
	for _, u := range urls {
		if !strings.HasPrefix(u, base) {
			t.Errorf("%s does not begin with %s", u, base)
		}
	}
}

func urlsIn(value any) (urls []string) {
	switch v := value.(type) {
	case string:
		if strings.Contains(v, "://") {
			urls = append(urls, v)
		}
	case []any:
		for _, one := range v {
			urls = append(urls, urlsIn(one)...)
		}
	case map[string]any:
		for _, one := range v {
			urls = append(urls, urlsIn(one)...)
		}
	}
	return urls
}

func TestLongFiltersPassInQueriesAndInBodies(t *testing.T) {
	h := behindTrusted(t)
	collection, bundle, _ := h.bundle(t)
	second := h.api(t, "POST", "bundles", map[string]string{"collection_uuid": collection, "title": "B2", "slug": "b2"}).uuid(t)
	uuids := make([]string, 1000, 1002)
	for i := range uuids {
		uuids[i] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	}
	filter := strings.Join(append(uuids, bundle, second), ",")
	for what, a := range map[string]answer{
		"query": h.api(t, "GET", "bundles?uuid="+filter, nil), "body": h.api(t, "GET", "bundles", map[string]string{"uuid": filter}),
	} {
		var found []struct{ UUID string }
		if a.want(t, 200).decode(t, &found); len(found) != 2 || found[0].UUID != bundle || found[1].UUID != second {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	page := h.api(t, "GET", "bundles?limit=1&uuid="+filter, nil).want(t, 200)
	next, _, _ := strings.Cut(strings.TrimPrefix(page.header.Get("Link"), "<"), ">")
	var found []struct{ UUID string }
	h.send(t, "GET", next, nil, "Authorization", "Token "+h.token).want(t, 200).decode(t, &found)
	if len(found) != 1 || found[0].UUID != second {
		t.Errorf("the next page has %v", found)
	}
}

func TestAClientCannotForgeWhatAProxySays(t *testing.T) {
	h := behindTrusted(t)
	forge := func(r *http.Request) *http.Request {
		r.Header.Set("X-Forwarded-Proto", "http")
		r.Header.Set("X-Forwarded-Host", "evil.example.org")
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.Header.Set("Forwarded", "host=evil.example.org;proto=http")
		return r
	}
	through := forge(request(t, "GET", "https://"+name+"/api/v1/", h.token))
	checkBase(t, exchange(t, h.http, through).want(t, 200), "https://"+name+"/")

	// Past the proxy, the same headers count from the proxy's address alone.
	direct := func(from string) answer {
		t.Helper()
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		tr := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
		return exchange(t, &http.Client{Transport: tr}, forge(request(t, "GET", h.site.URL()+"/api/v1/", h.token))).want(t, 200)
	}
	checkBase(t, direct("127.0.0.2"), h.site.URL()+"/")
	checkBase(t, direct("127.0.0.1"), "http://evil.example.org/")
}

func TestTheOperatorsAPIIsNotReachedThroughNginx(t *testing.T) {
	h := behindTrusted(t)
	out, err := h.site.Command(t.Context(), "token", "create", "boss", "--role", "operator", "--format", "json")
	if err != nil {
		t.Fatal(err)
	}
	var boss struct{ Token string }
	if err := json.Unmarshal(out, &boss); err != nil {
		t.Fatal(err)
	}
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	exchange(t, direct, request(t, "GET", h.site.URL()+"/admin/v1/status", boss.Token)).want(t, 200)
	for _, path := range []string{
		"/admin/v1/status", "/admin", "/admin/", "//admin/v1/status", "/%61dmin/v1/status", "/admin%2Fv1/status",
		"/api/../admin/v1/status", "/api/%2E%2E/admin/v1/status", "/./admin/v1/status", "/api//../admin/v1/status",
	} {
		a := h.send(t, "GET", path, nil, "Authorization", "Token "+boss.Token)
		if a.status != http.StatusNotFound || a.header.Get("Blockstored-Index") != "" {
			t.Errorf("%s: %d, %v: %.200s", path, a.status, a.header, a.body)
		}
	}
}

func request(t *testing.T, method, url, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+token)
	return r
}
