package syndication

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
)

// clock is set by hand.
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

// testSite is a real instance but for Raft: catalog, storage, listener.
type testSite struct {
	t        *testing.T
	db       *catalog.DB
	store    *storage.Store
	contents *storage.Contents
	sealer   *access.Sealer
	identity *Identity
	clock    *clock
	server   *Server
	url      string
	peering  *Peering
	served   chan Served // what the server answered, dropped when full
	describe string      // the description of changes that publish gives

	mu    sync.Mutex
	index uint64
}

// Propose applies at once.
func (s *testSite) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	s.index++
	results, err := s.db.Apply([]catalog.Entry{{Index: s.index, Term: 1, Data: b}})
	if err != nil {
		return catalog.Result{}, err
	}
	return results[0], nil
}

func newSite(t *testing.T, name string) *testSite {
	t.Helper()
	folder := t.TempDir()
	s := &testSite{t: t, clock: &clock{now: time.Now().Truncate(time.Second)}, served: make(chan Served, 1000)}
	var err error
	s.db, err = catalog.Open(t.Context(), filepath.Join(folder, "catalog"), catalog.Options{})
	s.must(err)
	t.Cleanup(func() { s.db.Close() })
	driver, err := dir.Open(filepath.Join(folder, "blobs"))
	s.must(err)
	t.Cleanup(func() { driver.Close() })
	s.store = storage.New(storage.Config{Driver: driver})
	t.Cleanup(func() { s.store.Close() })
	s.contents = storage.NewContents(s.store, s.db)
	s.sealer, err = access.CreateSealer(filepath.Join(folder, access.KeyFile))
	s.must(err)
	s.listen()
	init, err := NewIdentity(s.sealer, IdentityParams{Name: name, Endpoints: []string{s.url}, Now: s.clock.Now()})
	s.must(err)
	s.propose(init)
	s.view(func(v *catalog.View) { s.identity, err = LoadIdentity(v, s.sealer) })
	s.must(err)
	s.peering = NewPeering(PeeringConfig{Proposer: s, Identity: func() *Identity { return s.identity }, Now: s.clock.Now})
	return s
}

func (s *testSite) listen() {
	s.t.Helper()
	s.server = NewServer(ServerConfig{
		Catalog: s.db, Contents: s.contents, Store: s.store, Proposer: s, Now: s.clock.Now,
		Observe: func(served Served) {
			select {
			case s.served <- served:
			default:
			}
		},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.url = "http://" + listener.Addr().String()
	h := NewHTTPServer(s.server.Handler())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(listener)
	}()
	s.t.Cleanup(func() {
		s.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			s.t.Error(err)
		}
		<-done
	})
}

func (s *testSite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *testSite) propose(body catalog.Body) catalog.Result {
	s.t.Helper()
	r, err := s.Propose(s.t.Context(), catalog.NewCommand(s.clock.Now(), body))
	s.must(err)
	if r.Err != nil {
		s.t.Fatalf("%T: %v", body, r.Err)
	}
	return r
}

func (s *testSite) view(fn func(v *catalog.View)) {
	s.t.Helper()
	s.must(s.db.View(context.Background(), func(v *catalog.View) error { fn(v); return nil }))
}

func (s *testSite) collection(title string) bundle.ID {
	s.t.Helper()
	id := bundle.NewID()
	s.propose(catalog.CreateCollection{ID: id, Title: title})
	return id
}

func (s *testSite) bundle(collection bundle.ID, slug string) bundle.ID {
	s.t.Helper()
	id := bundle.NewID()
	s.propose(catalog.CreateBundle{ID: id, Collection: collection, Slug: slug, Title: "title of " + slug})
	return id
}

// publish commits files, and links to versions, as the next version.
func (s *testSite) publish(id bundle.ID, files map[string]string, links ...bundle.VersionRef) bundle.VersionRef {
	s.t.Helper()
	snapshot, blobs, size := &bundle.Snapshot{}, []bundle.Frame{}, int64(0)
	var located []bundle.Located
	for path, content := range files {
		snapshot.Files = append(snapshot.Files, bundle.File{Path: path, Digest: bundle.DigestOf([]byte(content)), Size: int64(len(content))})
		size += int64(len(content))
		if len(content) <= bundle.MaxFrameBlob {
			blobs = append(blobs, bundle.MakeFrame([]byte(content)))
			continue
		}
		l, err := s.store.Put(s.t.Context(), []byte(content))
		s.must(err)
		located = append(located, l)
	}
	meta := catalog.Snapshot{Files: int64(len(files)), Bytes: size}
	for i, ref := range links {
		snapshot.Links = append(snapshot.Links, bundle.Link{Name: fmt.Sprint("link", i), Direct: bundle.Dependency{Bundle: ref.Bundle, Version: ref.Number}})
		meta.Deps = append(meta.Deps, catalog.Dep{VersionRef: ref, Direct: true})
	}
	snapshot.Sort()
	root, pages, err := bundle.Encode(snapshot)
	s.must(err)
	meta.Manifest = root
	for _, p := range pages {
		blobs = append(blobs, bundle.MakeFrame(p.Bytes))
	}
	more, err := s.store.PutFrames(s.t.Context(), blobs)
	s.must(err)
	located = append(located, more...)
	draft := bundle.NewID()
	s.propose(catalog.CreateDraft{ID: draft, Bundle: id, Name: draft.String()})
	var d catalog.Draft
	s.view(func(v *catalog.View) { d, err = v.Draft(draft) })
	s.must(err)
	r := s.propose(catalog.CommitVersion{
		Draft: draft, Revision: d.Revision, ExpectedHead: d.Base, Snapshot: meta, Blobs: located,
		ChangeDescription: s.describe,
	})
	return bundle.VersionRef{Bundle: id, Number: r.Number}
}

// checkpoint signs the log as it is.
func (s *testSite) checkpoint() {
	s.t.Helper()
	s.clock.advance(CheckpointEvery)
	published, err := publish(s.t.Context(), PublisherConfig{
		Catalog: s.db, Proposer: s, Identity: func() *Identity { return s.identity }, Now: s.clock.Now,
	})
	if err != nil || !published {
		s.t.Fatalf("published %v, %v", published, err)
	}
}

// peerWith makes other a peer of s with the given grants, and returns its
// client.
func (s *testSite) peerWith(other *testSite, grants ...catalog.Selector) *Client {
	s.t.Helper()
	other.clock = s.clock
	other.peering.cfg.Now = s.clock.Now
	i, err := s.peering.Invite(s.t.Context(), InviteRequest{Name: "peer", Grants: grants, Addresses: []string{s.url}})
	s.must(err)
	_, err = other.peering.Accept(s.t.Context(), i.Token, AcceptOptions{As: "publisher"})
	s.must(err)
	return other.client(s)
}

// client returns a client of s that asks to.
func (s *testSite) client(to *testSite) *Client {
	s.t.Helper()
	c, err := NewClient(ClientConfig{Identity: s.identity, Peer: to.identity.ID(), Addresses: []string{to.url}, Now: to.clock.Now})
	s.must(err)
	s.t.Cleanup(c.Close)
	return c
}

// follow is what replica does with polls: it keeps what it verified.
type follow struct {
	t       *testing.T
	client  *Client
	known   Known
	from    int64
	grants  uint64
	records []VerifiedRecord
	clock   *clock
}

func newFollow(t *testing.T, c *Client, of *testSite) *follow {
	return &follow{t: t, client: c, clock: of.clock, known: Known{Instance: of.identity.ID(), Keys: of.identity.Descriptor().LogKeys}}
}

func (f *follow) request() PollRequest {
	return PollRequest{
		Size: f.known.Checkpoint.Size, Root: f.known.Checkpoint.Root, Generation: f.known.Checkpoint.Generation,
		From: f.from, GrantRevision: f.grants,
	}
}

// poll polls once and returns what is new.
func (f *follow) poll(change func(*PollRequest)) []VerifiedRecord {
	f.t.Helper()
	req := f.request()
	if change != nil {
		change(&req)
	}
	a, err := f.client.Poll(f.t.Context(), req)
	if err != nil {
		f.t.Fatal(err)
	}
	v, err := Check(f.known, req, a, f.clock.Now(), Limits{})
	if err != nil {
		f.t.Fatal(err)
	}
	f.known.Checkpoint, f.from, f.grants = v.Checkpoint, v.Next, v.GrantRevision
	f.records = append(f.records, v.Records...)
	return v.Records
}

// all polls to the end of the log.
func (f *follow) all() []VerifiedRecord {
	f.t.Helper()
	f.poll(nil)
	for f.from < f.known.Checkpoint.Size {
		f.poll(nil)
	}
	return f.records
}

// versions lists the version records among records.
func versions(records []VerifiedRecord) map[bundle.VersionRef]*publog.VersionBody {
	m := make(map[bundle.VersionRef]*publog.VersionBody)
	for _, r := range records {
		if r.Record != nil && r.Record.Version != nil {
			m[bundle.VersionRef{Bundle: r.Record.Subject, Number: r.Record.Version.Number}] = r.Record.Version
		}
	}
	return m
}

func kindsOf(records []VerifiedRecord, subject bundle.ID) []publog.RecordKind {
	var kinds []publog.RecordKind
	for _, r := range records {
		if r.Record != nil && r.Record.Subject == subject {
			kinds = append(kinds, r.Record.Kind)
		}
	}
	return kinds
}

var all = catalog.Selector{Scope: access.ScopeAll}

func onlyCollection(id bundle.ID) catalog.Selector {
	return catalog.Selector{Scope: access.ScopeCollection, Target: id}
}

func onlyBundle(id bundle.ID) catalog.Selector {
	return catalog.Selector{Scope: access.ScopeBundle, Target: id}
}
