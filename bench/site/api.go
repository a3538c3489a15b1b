package site

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// API is a host application's view of a site: plain HTTP with a token, knowing
// of the program only the REST API.
type API struct {
	base, token string
	http        *http.Client
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Code int
	Text string
}

func (e *StatusError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Text) }

// requestTimeout bounds each exchange; the largest are small files.
const requestTimeout = 60 * time.Second

// NewAPI returns a host application that uses the site at base with a token.
func NewAPI(base, token string) *API {
	return &API{base: base, token: token, http: &http.Client{
		Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
}

// Close drops idle connections, as those to a process that is gone. The API may
// be used again afterwards.
func (a *API) Close() { a.http.CloseIdleConnections() }

// Do sends one request; in is sent as JSON, out receives the answer's. Either
// may be nil. key, if not empty, is the Idempotency-Key.
func (a *API) Do(ctx context.Context, method, path, key string, in, out any) error {
	answer, err := a.Answer(ctx, method, path, key, in)
	if err == nil {
		err = answer.refusal()
	}
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer.Body, out)
}

// Answer is what a site answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// refusal returns a *StatusError if the answer is not of the 2xx kind.
func (a Answer) refusal() error {
	if a.Status/100 != 2 {
		return &StatusError{a.Status, string(a.Body[:min(len(a.Body), 300)])}
	}
	return nil
}

// Answer sends one request as [API.Do] does, and returns the answer whatever its
// status. An error means that none, or not all of one, arrived.
func (a *API) Answer(ctx context.Context, method, path, key string, in any) (Answer, error) {
	return a.Ask(ctx, method, path, key, nil, in)
}

// Ask is Answer with further headers.
func (a *API) Ask(ctx context.Context, method, path, key string, header map[string]string, in any) (Answer, error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return Answer{}, err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+"/api/v1/"+path, body)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Authorization", "Token "+a.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		// Written so, the transport does not take it as leave to repeat the request by
		// itself: the caller counts how often it was sent.
		req.Header["idempotency-key"] = []string{key}
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	return a.send(req)
}

// Health returns nil if the site says that it is well.
func (a *API) Health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/health/", nil)
	if err != nil {
		return err
	}
	_, err = a.exchange(req)
	return err
}

func (a *API) send(req *http.Request) (Answer, error) {
	resp, err := a.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, body}, err
}

// exchange returns the body of an answer of the 2xx kind.
func (a *API) exchange(req *http.Request) ([]byte, error) {
	answer, err := a.send(req)
	if err == nil {
		err = answer.refusal()
	}
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Listed is a version that the API's list shows.
type Listed struct {
	Bundle  string `json:"bundle_uuid"`
	Version int    `json:"version_num"`
}

// Versions returns every version that the site lists.
func (a *API) Versions(ctx context.Context) ([]Listed, error) {
	var list []Listed
	err := a.Do(ctx, http.MethodGet, "bundle_versions", "", nil, &list)
	return list, err
}

// Newest returns the number of a bundle's newest version, 0 if it has none or
// is not known here.
func (a *API) Newest(ctx context.Context, bundle string) (int, error) {
	var b struct{ Versions []string }
	err := a.Do(ctx, http.MethodGet, "bundles/"+bundle, "", nil, &b)
	if status, ok := err.(*StatusError); ok && status.Code == http.StatusNotFound { //nolint:errorlint // Do returns it bare
		return 0, nil
	}
	if err != nil || len(b.Versions) == 0 {
		return 0, err
	}
	return VersionOf(b.Versions[len(b.Versions)-1])
}

// VersionOf returns the version number at the end of a version's URL.
func VersionOf(url string) (int, error) {
	return strconv.Atoi(url[strings.LastIndexByte(url, ',')+1:])
}

// WaitVersion asks again and again, with a pause of every, until the bundle's
// version is visible.
func (a *API) WaitVersion(ctx context.Context, bundle string, version int, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n, err := a.Newest(ctx, bundle)
		if err == nil && n >= version {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bundle %s has version %d, not %d: %w (last answer: %v)", bundle, n, version, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Fetch downloads every file of a version by the URLs that the API gives. It
// fails if a size is not as listed.
func (a *API) Fetch(ctx context.Context, v Listed) (map[string][]byte, error) {
	type file struct {
		URL  string
		Size int64
	}
	var detail struct {
		Snapshot struct{ Files map[string]file }
	}
	if err := a.Do(ctx, http.MethodGet, fmt.Sprintf("bundle_versions/%s,%d", v.Bundle, v.Version), "", nil, &detail); err != nil {
		return nil, err
	}
	var (
		mu    sync.Mutex
		files = map[string][]byte{}
		first error
		work  sync.WaitGroup
		slots = make(chan struct{}, 8)
	)
	for name, f := range detail.Snapshot.Files {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			content, err := a.file(ctx, f.URL)
			if err == nil && int64(len(content)) != f.Size {
				err = fmt.Errorf("%d bytes, listed with %d", len(content), f.Size)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = fmt.Errorf("%s,%d %s: %w", v.Bundle, v.Version, name, err)
			}
			files[name] = content
		})
	}
	work.Wait()
	return files, first
}

// file fetches a file's URL as a browser would, without the token.
func (a *API) file(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return a.exchange(req)
}

// Read fetches a URL with the token.
func (a *API) Read(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Token "+a.token)
	return a.exchange(req)
}

// Discard fetches a URL, with the token, throws the body away as it comes, and
// returns its length.
func (a *API) Discard(ctx context.Context, url string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Token "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return 0, &StatusError{resp.StatusCode, url}
	}
	return io.Copy(io.Discard, resp.Body)
}

// PutDraftFile stages one file of any size.
func (a *API) PutDraftFile(ctx context.Context, draft, path string, content []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, a.base+"/api/v1/drafts/"+draft+"/files/"+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Token "+a.token)
	_, err = a.exchange(req)
	return err
}

// CreateBundle makes an empty bundle and returns its uuid.
func (a *API) CreateBundle(ctx context.Context, collection, title string) (string, error) {
	var b struct{ UUID string }
	err := a.Do(ctx, http.MethodPost, "bundles", "", map[string]string{
		"collection_uuid": collection, "title": title, "slug": strings.ReplaceAll(title, " ", "-"),
	}, &b)
	return b.UUID, err
}

// CreateDraft makes a draft of a bundle and returns its uuid.
func (a *API) CreateDraft(ctx context.Context, bundle, name string) (string, error) {
	var d struct{ UUID string }
	err := a.Do(ctx, http.MethodPost, "drafts", "", map[string]string{"bundle_uuid": bundle, "name": name}, &d)
	return d.UUID, err
}

// PatchDraft writes files into a draft.
func (a *API) PatchDraft(ctx context.Context, draft string, files map[string][]byte) error {
	encoded := make(map[string]string, len(files))
	for p, content := range files {
		encoded[p] = base64.StdEncoding.EncodeToString(content)
	}
	return a.Do(ctx, http.MethodPatch, "drafts/"+draft, "", map[string]any{"files": encoded}, nil)
}

// Commit publishes a draft and returns the new version's number. A second call
// with the same key returns the first one's answer.
func (a *API) Commit(ctx context.Context, draft, key string) (int, error) {
	var c struct {
		Version string `json:"bundle_version"`
	}
	if err := a.Do(ctx, http.MethodPost, "drafts/"+draft+"/commit", key, nil, &c); err != nil {
		return 0, err
	}
	return VersionOf(path.Base(c.Version))
}
