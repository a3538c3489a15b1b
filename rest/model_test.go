package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/primary/primarytest"
)

// TestDraftsOverHTTPFollowTheModel makes the calls of the model's clients over
// HTTP, and reads what drafts and versions hold as a host does: details, and the
// files by their URLs.
func TestDraftsOverHTTPFollowTheModel(t *testing.T) {
	s := newStack(t, nil)
	c := &hostClient{stack: s, fetched: make(map[string]string), digests: make(map[primarytest.Ref]string)}
	defer c.http.CloseIdleConnections()
	var made struct{ UUID string }
	check(t, json.Unmarshal([]byte(s.json("POST", "/api/v1/collections", `{"title":"Course"}`).want(t, http.StatusCreated).body), &made))
	c.collection = made.UUID
	primarytest.Check(t, primarytest.Options{Clients: []primarytest.Store{c}})
}

// hostClient is a host application as the model's test sees it.
type hostClient struct {
	*stack
	http       http.Client
	collection string
	fetched    map[string]string          // contents by URL and hash
	digests    map[primarytest.Ref]string // of the snapshots seen
}

// call sends a request and decodes the answer into out, if that is not nil. An
// answer other than 2xx is a refusal.
func (c *hostClient) call(method, path, key string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL+"/api/v1/"+path, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Token "+c.token)
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	status, answer, err := c.exchange(r)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return refusalOf(status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (c *hostClient) exchange(r *http.Request) (int, []byte, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	described(c.t, resp, string(body))
	return resp.StatusCode, body, err
}

func refusalOf(status int, body []byte) error {
	refusal := &primarytest.Refusal{Text: string(body)}
	var conflict struct {
		Detail    string
		Conflicts []primarytest.Conflict
	}
	switch {
	case status == http.StatusNotFound && refusal.Text == `{"detail":"Not found."}`:
		refusal.Reason = primarytest.NotFound
	case status == http.StatusConflict && json.Unmarshal(body, &conflict) == nil && conflict.Detail != "":
		refusal.Reason, refusal.Conflicts = primarytest.Conflicts, conflict.Conflicts
	case status == http.StatusBadRequest && refusal.Text == `["Draft has no changes to commit."]`:
		refusal.Reason = primarytest.NoChanges
	case status == http.StatusBadRequest:
		refusal.Reason = primarytest.Invalid
	default:
		return fmt.Errorf("%d %s", status, body)
	}
	return refusal
}

func (c *hostClient) create(path, key string, in map[string]string) (id bundle.ID, err error) {
	var made struct{ UUID string }
	if err := c.call("POST", path, key, in, &made); err != nil {
		return id, err
	}
	return bundle.ParseID(made.UUID)
}

// CreateBundle implements [primarytest.Store], as the following do.
func (c *hostClient) CreateBundle() (bundle.ID, error) {
	return c.create("bundles", "", map[string]string{"collection_uuid": c.collection, "slug": "unit", "title": "Unit"})
}

func (c *hostClient) DeleteBundle(key string, b bundle.ID) error {
	return c.call("DELETE", "bundles/"+b.String(), key, nil, nil)
}

func (c *hostClient) CreateDraft(key string, b bundle.ID, name string) (bundle.ID, error) {
	return c.create("drafts", key, map[string]string{"bundle_uuid": b.String(), "name": name})
}

func (c *hostClient) Patch(key string, draft bundle.ID, edits primarytest.Content) error {
	files, links := make(map[string][]byte), make(map[string]any)
	for path, text := range edits.Files {
		if files[path] = nil; text != "" {
			files[path] = []byte(text) // base64 in JSON
		}
	}
	for name, l := range edits.Links {
		if links[name] = nil; l.To != nil {
			links[name] = map[string]any{"bundle_uuid": l.To.ID.String(), "version": l.Number}
		}
	}
	return c.call("PATCH", "drafts/"+draft.String(), key, map[string]any{"files": files, "links": links}, nil)
}

func (c *hostClient) Commit(key string, draft bundle.ID) (number int, err error) {
	var made struct {
		Version string `json:"bundle_version"`
		Draft   string `json:"updated_draft"`
	}
	if err := c.call("POST", "drafts/"+draft.String()+"/commit", key, nil, &made); err != nil {
		return 0, err
	}
	if want := c.server.URL + "/api/v1/drafts/" + draft.String(); made.Draft != want {
		return 0, fmt.Errorf("a commit of %s updated %s", want, made.Draft)
	}
	_, err = fmt.Sscanf(made.Version[strings.LastIndexByte(made.Version, ','):], ",%d", &number)
	return number, err
}

func (c *hostClient) Rebase(key string, draft bundle.ID) error {
	return c.call("POST", "drafts/"+draft.String()+"/rebase", key, nil, nil)
}

func (c *hostClient) DeleteDraft(key string, draft bundle.ID) error {
	return c.call("DELETE", "drafts/"+draft.String(), key, nil, nil)
}

func (c *hostClient) Head(b bundle.ID) (int, error) {
	var shown struct{ Versions []string }
	if err := c.call("GET", "bundles/"+b.String(), "", nil, &shown); err != nil {
		return 0, err
	}
	for i, url := range shown.Versions {
		if want := fmt.Sprintf("%s/api/v1/bundle_versions/%s,%d", c.server.URL, b, i+1); url != want {
			return 0, fmt.Errorf("version %s stands where %s should", url, want)
		}
	}
	return len(shown.Versions), nil
}

// The content of versions and drafts, as the API answers it.
type (
	wireContent struct {
		Digest string `json:"hash_digest"`
		Files  map[string]wireFile
		Links  map[string]wireLink
	}
	wireFile struct {
		URL      string
		Size     int
		Hash     bundle.Hash20 `json:"hash_digest"`
		Modified bool
	}
	wireLink struct {
		Direct   wireRef
		Indirect []wireRef
		Modified bool
	}
	wireRef struct {
		Bundle  bundle.ID `json:"bundle_uuid"`
		Version int
		Digest  string `json:"snapshot_digest"`
	}
)

func (c *hostClient) Version(b bundle.ID, number int) (primarytest.Shown, error) {
	var v struct{ Snapshot wireContent }
	if err := c.call("GET", fmt.Sprintf("bundle_versions/%s,%d", b, number), "", nil, &v); err != nil {
		return primarytest.Shown{}, err
	}
	c.digests[primarytest.Ref{Bundle: b, Number: number}] = v.Snapshot.Digest
	return c.shown(v.Snapshot)
}

func (c *hostClient) Draft(id bundle.ID) (primarytest.Shown, error) {
	var d struct {
		Staged wireContent `json:"staged_draft"`
	}
	if err := c.call("GET", "drafts/"+id.String(), "", nil, &d); err != nil {
		return primarytest.Shown{}, err
	}
	return c.shown(d.Staged)
}

// shown fetches the files and brings content into the model's form.
func (c *hostClient) shown(w wireContent) (primarytest.Shown, error) {
	s := primarytest.Shown{
		Files: make(map[string]string), Links: make(map[string][]primarytest.Ref), Modified: make(map[string]bool),
	}
	for path, f := range w.Files {
		text, err := c.fetch(f)
		if err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
		s.Files[path], s.Modified[path] = text, f.Modified
	}
	for name, l := range w.Links {
		s.Modified[name] = l.Modified
		for _, ref := range append([]wireRef{l.Direct}, l.Indirect...) {
			to := primarytest.Ref{Bundle: ref.Bundle, Number: ref.Version}
			if digest, seen := c.digests[to]; seen && digest != ref.Digest {
				return s, fmt.Errorf("link %s: %v has the digest %s, the version itself %s", name, to, ref.Digest, digest)
			}
			s.Links[name] = append(s.Links[name], to)
		}
	}
	return s, nil
}

// fetch gets a file as a browser does: without the token.
func (c *hostClient) fetch(f wireFile) (string, error) {
	key := f.URL + " " + f.Hash.String()
	if text, ok := c.fetched[key]; ok {
		return text, nil
	}
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, f.URL, nil)
	if err != nil {
		return "", err
	}
	status, body, err := c.exchange(r)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK || len(body) != f.Size || bundle.HashOf(body) != f.Hash {
		return "", fmt.Errorf("%d, %q is not what %+v says", status, body, f)
	}
	c.fetched[key] = string(body)
	return c.fetched[key], nil
}
