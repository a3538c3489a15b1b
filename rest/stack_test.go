package rest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct applies commands at once: a log of one node without Raft.
type direct struct {
	mu    sync.Mutex
	db    *catalog.DB
	index uint64
}

func (d *direct) Propose(_ context.Context, cmd catalog.Command) (catalog.Result, error) {
	b, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.index++
	results, err := d.db.Apply([]catalog.Entry{{Index: d.index, Term: 1, Data: b}})
	if err != nil {
		return catalog.Result{}, err
	}
	return results[0], nil
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// stack is a whole instance but for Raft and peers, served over TCP.
type stack struct {
	t      testing.TB
	api    *API
	log    *direct
	db     *catalog.DB
	clock  *clock
	self   bundle.ID
	folder string           // where it keeps everything
	server *httptest.Server // the host's listener
	admin  *httptest.Server // the operators'
	token  string           // of role writer

	undescribed bool // it serves what is no part of the API
}

// newStack starts an empty instance. change may be nil.
func newStack(t testing.TB, change func(*Config)) *stack {
	t.Helper()
	folder := t.TempDir()
	driver, err := dir.Open(folder + "/objects")
	check(t, err)
	db, err := catalog.Open(t.Context(), folder+"/catalog", catalog.Options{})
	check(t, err)
	s := &stack{t: t, db: db, log: &direct{db: db}, self: bundle.NewID(), folder: folder,
		clock: &clock{now: time.Date(2026, 11, 23, 7, 23, 6, 414325000, time.UTC)}}
	store := storage.New(storage.Config{Driver: driver, Now: s.clock.Now})
	contents := storage.NewContents(store, db)
	signer, err := access.NewURLSigner(bytes.Repeat([]byte{7}, 32), 0)
	check(t, err)
	cfg := Config{
		Primary: primary.New(primary.Config{
			Proposer: s.log, Catalog: db, Store: store, Contents: contents, Now: s.clock.Now,
		}),
		Proposer: s.log, Catalog: db, Contents: contents, URLSigner: signer, Now: s.clock.Now,
	}
	if change != nil {
		change(&cfg)
	}
	s.api, err = New(cfg)
	check(t, err)
	s.server = httptest.NewServer(s.api.Handler())
	s.admin = httptest.NewServer(s.api.AdminHandler())
	t.Cleanup(func() {
		s.server.Close()
		s.admin.Close()
		for _, end := range []func() error{store.Close, db.Close, driver.Close} {
			check(t, end())
		}
	})
	s.propose(catalog.InitInstance{Instance: s.self, Name: "north", Descriptor: []byte("descriptor"), Generation: 1})
	s.token = s.newToken("host", "writer")
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *stack) propose(body catalog.Body) catalog.Result {
	s.t.Helper()
	r, err := s.log.Propose(s.t.Context(), catalog.NewCommand(s.clock.Now(), body))
	check(s.t, err)
	if r.Err != nil {
		s.t.Fatal(r.Err)
	}
	return r
}

func (s *stack) newToken(name, role string) string {
	s.t.Helper()
	token, hash := access.NewToken()
	s.propose(catalog.CreateToken{ID: bundle.NewID(), Name: name, Role: role, Hash: hash})
	return token
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

// do sends a request to the host's listener with the writer's token.
func (s *stack) do(method, path, contentType, body string, headers ...string) answer {
	s.t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = s.server.URL + path
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	check(s.t, err)
	r.Header.Set("Authorization", "Token "+s.token)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return s.send(r)
}

func (s *stack) json(method, path, body string) answer {
	s.t.Helper()
	return s.do(method, path, "application/json", body)
}

// send sends a request. Its answer must be as the API is described.
func (s *stack) send(r *http.Request) answer {
	s.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	check(s.t, err)
	b, err := io.ReadAll(resp.Body)
	check(s.t, err)
	check(s.t, resp.Body.Close())
	client.CloseIdleConnections()
	if !s.undescribed {
		described(s.t, resp, string(b))
	}
	return answer{resp, string(b)}
}

// want fails the test unless the answer has that status.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	return a
}
