package deploy_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

// host is a host application that comes through nginx as everybody does: by
// the public name, with a token.
type host struct {
	*front
	site  *site.Site
	token string
}

func newHost(t *testing.T, f *front, s *site.Site) *host {
	t.Helper()
	out, err := s.Command(t.Context(), "token", "create", "host", "--role", "writer", "--format", "json")
	var created struct{ Token string }
	if err == nil {
		err = json.Unmarshal(out, &created)
	}
	if err != nil || created.Token == "" {
		t.Fatalf("token create: %v: %s", err, out)
	}
	return &host{front: f, site: s, token: created.Token}
}

// answer is a response with its whole body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends one request. The target is a whole URL or a path below the public
// one; it goes out as it is written. Headers are pairs.
func (h *host) send(t *testing.T, method, target string, body io.Reader, headers ...string) answer {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = "https://" + name + target
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return exchange(t, h.http, r)
}

// api sends a request of the host's API; in, if not nil, as JSON.
func (h *host) api(t *testing.T, method, path string, in any, headers ...string) answer {
	t.Helper()
	headers = append(headers, "Authorization", "Token "+h.token)
	if in == nil {
		return h.send(t, method, "/api/v1/"+path, nil, headers...)
	}
	encoded, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return h.send(t, method, "/api/v1/"+path, bytes.NewReader(encoded), append(headers, "Content-Type", "application/json")...)
}

func exchange(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// want ends the test unless the answer has the status.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, not %d: %.500s", a.status, status, a.body)
	}
	return a
}

// decode reads the answer's JSON.
func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%v in %.500s", err, a.body)
	}
}

// uuid returns the uuid of the object that was made.
func (a answer) uuid(t *testing.T) string {
	t.Helper()
	var object struct{ UUID string }
	a.want(t, http.StatusCreated).decode(t, &object)
	return object.UUID
}

// bundle makes an empty bundle with a draft.
func (h *host) bundle(t *testing.T) (collection, bundle, draft string) {
	t.Helper()
	collection = h.api(t, "POST", "collections", map[string]string{"title": "Collection"}).uuid(t)
	bundle = h.api(t, "POST", "bundles", map[string]string{"collection_uuid": collection, "title": "Bundle", "slug": "b"}).uuid(t)
	draft = h.api(t, "POST", "drafts", map[string]string{"bundle_uuid": bundle, "name": "draft"}).uuid(t)
	return collection, bundle, draft
}

// publish stages files by their paths, which are escaped already, and commits
// them as version 1.
func (h *host) publish(t *testing.T, files map[string]string) (bundle string) {
	t.Helper()
	_, bundle, draft := h.bundle(t)
	for path, content := range files {
		h.send(t, "PUT", "/api/v1/drafts/"+draft+"/files/"+path, strings.NewReader(content),
			"Authorization", "Token "+h.token).want(t, http.StatusNoContent)
	}
	h.api(t, "POST", "drafts/"+draft+"/commit", nil).want(t, http.StatusCreated)
	return bundle
}

// fileURLs returns the URLs of a version's files by path.
func (h *host) fileURLs(t *testing.T, bundle string) map[string]string {
	t.Helper()
	var detail struct {
		Snapshot struct {
			Files map[string]struct{ URL string }
		}
	}
	h.api(t, "GET", "bundle_versions/"+bundle+",1", nil).want(t, http.StatusOK).decode(t, &detail)
	urls := make(map[string]string, len(detail.Snapshot.Files))
	for path, f := range detail.Snapshot.Files {
		urls[path] = f.URL
	}
	return urls
}
