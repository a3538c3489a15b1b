package replica

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
	"github.com/blockstored/blockstored/syndication"
)

func TestMain(m *testing.M) {
	// Each check opens two sites; the command line may ask for more of them.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// tester is a *testing.T or a *rapid.T with somewhere to put files.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
	Cleanup(func())
}

// clock is the real one, moved by hand.
type clock struct{ offset atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// site is a real instance but for Raft: catalog, storage, peer listener.
type site struct {
	t        tester
	name     string
	db       *catalog.DB
	driver   *faultyDriver
	store    *storage.Store
	contents *storage.Contents
	sealer   *access.Sealer
	identity *syndication.Identity
	clock    *clock
	url      string
	peering  *syndication.Peering

	mu       sync.Mutex
	index    uint64
	proposed map[catalog.Kind]int
	// before, if set, sees each command first; its error is an unknown outcome,
	// which lost says whether the command was applied all the same.
	before func(catalog.Command) (lost bool, err error)
}

// Propose applies at once.
func (s *site) Propose(_ context.Context, cmd catalog.Command) (catalog.Result, error) {
	b, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := false
	if s.before != nil {
		if lost, err = s.before(cmd); err != nil && lost {
			return catalog.Result{}, err
		}
	}
	s.index++
	s.proposed[cmd.Body.CommandKind()]++
	results, aerr := s.db.Apply([]catalog.Entry{{Index: s.index, Term: 1, Data: b}})
	if aerr != nil {
		return catalog.Result{}, aerr
	}
	return results[0], err
}

func newSite(t tester, folder, name string, c *clock) *site {
	t.Helper()
	s := &site{t: t, name: name, clock: c, proposed: make(map[catalog.Kind]int)}
	s.sealer = must(access.CreateSealer(filepath.Join(folder, access.KeyFile)))(t)
	s.open(folder)
	t.Cleanup(func() { s.close() })
	s.listen()
	init := must(syndication.NewIdentity(s.sealer, syndication.IdentityParams{Name: name, Endpoints: []string{s.url}, Now: c.Now()}))(t)
	s.propose(init)
	s.view(func(v *catalog.View) (err error) { s.identity, err = syndication.LoadIdentity(v, s.sealer); return err })
	s.peering = syndication.NewPeering(syndication.PeeringConfig{
		Proposer: s, Identity: func() *syndication.Identity { return s.identity }, Now: c.Now,
	})
	s.runPublisher()
	return s
}

func (s *site) open(folder string) {
	s.db = must(catalog.Open(context.Background(), filepath.Join(folder, "catalog"), catalog.Options{}))(s.t)
	s.driver = &faultyDriver{Driver: must(dir.Open(filepath.Join(folder, "blobs")))(s.t)}
	s.store = storage.New(storage.Config{Driver: s.driver})
	s.contents = storage.NewContents(s.store, s.db)
}

func (s *site) close() {
	for _, err := range []error{s.store.Close(), s.driver.Close(), s.db.Close()} {
		if err != nil {
			s.t.Errorf("close %s: %v", s.name, err)
		}
	}
}

func (s *site) listen() {
	s.t.Helper()
	server := syndication.NewServer(syndication.ServerConfig{
		Catalog: s.db, Contents: s.contents, Store: s.store, Proposer: s, Now: s.clock.Now,
	})
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(s.t)
	s.url = "http://" + listener.Addr().String()
	h := syndication.NewHTTPServer(server.Handler())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(listener) // always ends with ErrServerClosed
	}()
	s.t.Cleanup(func() {
		server.Close()
		h.Close()
		<-done
	})
}

// runPublisher signs checkpoints as the log grows.
func (s *site) runPublisher() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := syndication.RunPublisher(ctx, syndication.PublisherConfig{
			Catalog: s.db, Proposer: s, Identity: func() *syndication.Identity { return s.identity }, Now: s.clock.Now,
		})
		if err != nil {
			s.t.Errorf("publisher: %v", err)
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done })
}

// must turns (value, err) into the value, or the end of the test.
func must[T any](v T, err error) func(tester) T {
	return func(t tester) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (s *site) propose(body catalog.Body) catalog.Result {
	s.t.Helper()
	r := must(s.Propose(context.Background(), catalog.NewCommand(s.clock.Now(), body)))(s.t)
	if r.Err != nil {
		s.t.Fatalf("%T: %v", body, r.Err)
	}
	return r
}

func (s *site) view(fn func(v *catalog.View) error) {
	s.t.Helper()
	if err := s.db.View(context.Background(), fn); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) collection(title string) bundle.ID {
	s.t.Helper()
	id := bundle.NewID()
	s.propose(catalog.CreateCollection{ID: id, Title: title})
	return id
}

func (s *site) bundle(collection bundle.ID, slug string) bundle.ID {
	s.t.Helper()
	id := bundle.NewID()
	s.propose(catalog.CreateBundle{ID: id, Collection: collection, Slug: slug, Title: "title of " + slug})
	return id
}

// publish commits files, and links to versions, as the next version.
func (s *site) publish(id bundle.ID, files map[string]string, links ...bundle.VersionRef) bundle.VersionRef {
	s.t.Helper()
	snapshot := &bundle.Snapshot{Links: s.links(links)}
	var blobs []bundle.Frame
	var located []bundle.Located
	for path, content := range files {
		snapshot.Files = append(snapshot.Files, bundle.File{Path: path, Digest: bundle.DigestOf([]byte(content)), Size: int64(len(content))})
		if len(content) <= bundle.MaxFrameBlob {
			blobs = append(blobs, bundle.MakeFrame([]byte(content)))
			continue
		}
		located = append(located, must(s.store.Put(context.Background(), []byte(content)))(s.t))
	}
	located = append(located, must(s.store.PutFrames(context.Background(), blobs))(s.t)...)
	s.locate(located)
	snapshot.Sort()
	return s.publishSnapshot(id, snapshot)
}

func (s *site) locate(located []bundle.Located) {
	s.t.Helper()
	for chunk := range slices.Chunk(located, locateBlobs) {
		s.propose(catalog.LocateBlobs{Blobs: chunk})
	}
}

// publishSnapshot commits a snapshot whose files are stored.
func (s *site) publishSnapshot(id bundle.ID, snapshot *bundle.Snapshot) bundle.VersionRef {
	s.t.Helper()
	root, pages, err := bundle.Encode(snapshot)
	if err != nil {
		s.t.Fatal(err)
	}
	var located []bundle.Located
	for _, p := range pages {
		located = append(located, must(s.store.Put(context.Background(), p.Bytes))(s.t))
	}
	s.locate(located)
	size := int64(0)
	for _, f := range snapshot.Files {
		size += f.Size
	}
	draft := bundle.NewID()
	s.propose(catalog.CreateDraft{ID: draft, Bundle: id, Name: draft.String()})
	var d catalog.Draft
	s.view(func(v *catalog.View) (err error) { d, err = v.Draft(draft); return err })
	r := s.propose(catalog.CommitVersion{
		Draft: draft, Revision: d.Revision, ExpectedHead: d.Base,
		Snapshot: catalog.Snapshot{Manifest: root, Files: int64(len(snapshot.Files)), Bytes: size, Deps: catalog.DepsOf(snapshot.Links)},
	})
	return bundle.VersionRef{Bundle: id, Number: r.Number}
}

func (s *site) links(refs []bundle.VersionRef) (links []bundle.Link) {
	for i, ref := range refs {
		l := bundle.Link{Name: fmt.Sprint("link", i), Direct: bundle.Dependency{Bundle: ref.Bundle, Version: ref.Number}}
		s.view(func(v *catalog.View) error {
			deps, err := v.Deps(ref)
			for _, d := range deps {
				l.Indirect = append(l.Indirect, bundle.Dependency{Bundle: d.Bundle, Version: d.Number})
			}
			return err
		})
		links = append(links, l)
	}
	return links
}

var all = catalog.Selector{Scope: scopeAll}

func onlyCollection(id bundle.ID) catalog.Selector {
	return catalog.Selector{Scope: scopeCollection, Target: id}
}

func onlyBundle(id bundle.ID) catalog.Selector {
	return catalog.Selector{Scope: scopeBundle, Target: id}
}

// peerWith makes south a peer of s with the given grants; it follows all that
// it is granted.
func (s *site) peerWith(south *site, grants ...catalog.Selector) {
	s.t.Helper()
	ctx := context.Background()
	i := must(s.peering.Invite(ctx, syndication.InviteRequest{Name: south.name, Grants: grants, Addresses: []string{s.url}}))(s.t)
	must(south.peering.Accept(ctx, i.Token, syndication.AcceptOptions{As: s.name}))(s.t)
}

func (s *site) id() bundle.ID { return s.identity.ID() }

// running is a replica that runs.
type running struct {
	*Replica
	s    *site
	stop func()
}

// operators proposes what they decide, and nothing that is for the leader of a
// term alone to decide.
type operators struct{ s *site }

func (o operators) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	switch b := cmd.Body.(type) {
	case catalog.Park, catalog.ClearAlarms: // released, cleared
	case catalog.Intake: // of a recovered peer's log, from its start
		if len(b.Items) > 0 || b.Cursor > 0 {
			o.s.t.Errorf("%d records were taken in past the leader", len(b.Items))
		}
	default:
		o.s.t.Errorf("a %T was proposed past the leader", b)
	}
	return o.s.Propose(ctx, cmd)
}

// follow runs a replica on s until the test ends or stop is called. wrap may
// replace the clients.
func (s *site) follow(wrap func(PeerClient) PeerClient, change ...func(*Config)) *running {
	s.t.Helper()
	cfg := Config{
		Proposer: operators{s}, Catalog: s.db, Store: s.store, Contents: s.contents, Now: s.clock.Now,
		RetryAfter: 20 * time.Millisecond,
		Pause:      func(ctx context.Context, d time.Duration) error { return pause(ctx, min(d, 20*time.Millisecond)) },
		Connect: func(p catalog.Peer, observe func(syndication.Transfer)) (PeerClient, error) {
			c, err := syndication.NewClient(syndication.ClientConfig{
				Identity: s.identity, Peer: p.ID, Addresses: p.Addresses, Now: s.clock.Now, Observe: observe,
			})
			if err != nil || wrap == nil {
				return c, err
			}
			return wrap(c), nil
		},
	}
	for _, fn := range change {
		fn(&cfg)
	}
	r := &running{Replica: New(cfg), s: s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, s) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	s.t.Cleanup(r.stop)
	return r
}

// faultyDriver fails on demand.
type faultyDriver struct {
	storage.Driver
	mu     sync.Mutex
	onDone func() error // before an object becomes durable
	wrote  atomic.Int64 // bytes made durable
}

func (d *faultyDriver) setFault(fn func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onDone = fn
}

func (d *faultyDriver) Create(ctx context.Context, hint int64) (storage.Upload, error) {
	u, err := d.Driver.Create(ctx, hint)
	return &faultyUpload{Upload: u, d: d}, err
}

type faultyUpload struct {
	storage.Upload
	d *faultyDriver
	n int64
}

func (u *faultyUpload) Write(p []byte) (int, error) {
	n, err := u.Upload.Write(p)
	u.n += int64(n)
	return n, err
}

func (u *faultyUpload) Commit(ctx context.Context, key string, digest bundle.Digest) error {
	u.d.mu.Lock()
	fault := u.d.onDone
	u.d.mu.Unlock()
	if fault != nil {
		if err := fault(); err != nil {
			return err
		}
	}
	u.d.wrote.Add(u.n)
	return u.Upload.Commit(ctx, key, digest)
}

// text is n deterministic bytes that do not compress well.
func text(seed string, n int) string {
	var b bytes.Buffer
	for d := bundle.DigestOf([]byte(seed)); b.Len() < n; d = bundle.DigestOf(d[:]) {
		b.WriteString(d.String())
	}
	return string(b.Bytes()[:n])
}

// two returns a publisher and a subscriber that was granted all.
func two(t *testing.T) (north, south *site) {
	t.Helper()
	c := &clock{}
	north = newSite(t, t.TempDir(), "north", c)
	south = newSite(t, t.TempDir(), "south", c)
	north.peerWith(south, all)
	return north, south
}
