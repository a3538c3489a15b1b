package blockstored_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

// ensemble is an instance of three nodes, and one address at which peers reach
// whichever of them answers.
type ensemble struct {
	t       *testing.T
	s3      *s3test.Server
	bucket  string
	peers   string // the address
	facing  atomic.Pointer[blockstored.Instance]
	configs []blockstored.Config
	nodes   []*blockstored.Instance
	fatal   chan error // of any node
}

func newEnsemble(t *testing.T) *ensemble {
	t.Helper()
	e := &ensemble{t: t, s3: s3test.Start(t), fatal: make(chan error, 8)}
	e.bucket = e.s3.NewBucket()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.facing.Load().PeerHandler().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	e.peers = server.URL
	for _, name := range []string{"n1", "n2", "n3"} {
		e.start(name)
	}
	e.facing.Store(e.nodes[0])
	awaitNodes(t, e.nodes[0], 3)
	return e
}

// start adds a node with an empty data folder.
func (e *ensemble) start(name string) *blockstored.Instance {
	e.t.Helper()
	cfg := nodeConfig(e.t, e.s3, e.bucket, name)
	cfg.Peer.Listen, cfg.Peer.Addresses = "", []string{e.peers}
	cfg.OnFatal = func(err error) { e.fatal <- err }
	if len(e.nodes) > 0 {
		cfg.Cluster.Join = inviteTo(e.t, e.nodes[len(e.nodes)-1])
	}
	n := open(e.t, cfg)
	e.configs, e.nodes = append(e.configs, cfg), append(e.nodes, n)
	return n
}

// publishText makes the next version of a bundle through a node.
func publishText(t *testing.T, on *blockstored.Instance, b bundle.ID, content string) uint64 {
	t.Helper()
	d, err := on.CreateDraft(t.Context(), b, bundle.NewID().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := on.PatchDraft(t.Context(), d.ID, api.Patch{Files: map[string]api.FileEdit{"a.txt": {Content: []byte(content)}}}); err != nil {
		t.Fatal(err)
	}
	v, err := on.CommitDraft(t.Context(), d.ID, api.Commit{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newBundle(t *testing.T, on *blockstored.Instance, slug string) bundle.ID {
	t.Helper()
	c, err := on.CreateCollection(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	b, err := on.CreateBundle(t.Context(), api.NewBundle{Collection: c.ID, Slug: slug, Title: slug})
	if err != nil {
		t.Fatal(err)
	}
	return b.ID
}

// follower opens a site that follows all of the ensemble.
func (e *ensemble) follower() *blockstored.Instance {
	e.t.Helper()
	south := open(e.t, config(e.t.TempDir()))
	in, err := e.nodes[0].Invite(e.t.Context(), "south", []api.Selector{{Scope: "all"}}, []string{e.peers}, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := south.Accept(e.t.Context(), in.Token, "north", []api.Selector{{Scope: "all"}}); err != nil {
		e.t.Fatal(err)
	}
	return south
}

// eventually asks until ok, for what comes when another site or node is ready.
func eventually(t *testing.T, what string, ok func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// awaitVersion waits until a site shows a version with this content.
func awaitVersion(t *testing.T, at *blockstored.Instance, b bundle.ID, version uint64, content string) {
	t.Helper()
	eventually(t, "version "+content, func(ctx context.Context) bool {
		got, err := at.Bundle(ctx, b)
		return err == nil && slices.Contains(got.Versions, version)
	})
	if got := contentOf(t, at, b, version); got != content {
		t.Errorf("version %d is %q, want %q", version, got, content)
	}
}

func contentOf(t *testing.T, at *blockstored.Instance, b bundle.ID, version uint64) string {
	t.Helper()
	f, err := at.OpenVersionFile(t.Context(), b, version, "a.txt", api.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func recoverNode(t *testing.T, cfg blockstored.Config, abandon uint64) (blockstored.Recovery, error) {
	t.Helper()
	return blockstored.Recover(t.Context(), cfg, blockstored.RecoverOptions{
		AbandonGeneration: abandon, Confirm: func(blockstored.Recovery) error { return nil },
	})
}

// wantGivenUp opens a node that must refuse because its generation was given up.
func wantGivenUp(t *testing.T, cfg blockstored.Config) {
	t.Helper()
	inst, err := blockstored.Open(t.Context(), cfg)
	if err == nil {
		closeInstance(t, inst)
		t.Fatalf("a node of the lost generation serves: %s", cfg.Cluster.Node)
	}
	if !bundle.IsKind(err, bundle.KindConflict) || !storage.GenerationLost(err) || !strings.Contains(err.Error(), "empty data folder") {
		t.Errorf("%s: %v", cfg.Cluster.Node, err)
	}
}

func TestAnInstanceGoesOnFromOneOfThreeNodes(t *testing.T) {
	e := newEnsemble(t)
	south := e.follower()
	b := newBundle(t, e.nodes[1], "kept")
	publishText(t, e.nodes[2], b, "one")
	awaitVersion(t, south, b, 1, "one")
	if _, err := recoverNode(t, e.configs[0], 0); !bundle.IsKind(err, bundle.KindConflict) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a node that runs was recovered: %v", err)
	}
	for k := len(e.nodes) - 1; k >= 0; k-- {
		closeInstance(t, e.nodes[k])
	}
	no := errors.New("no")
	if _, err := blockstored.Recover(t.Context(), e.configs[0], blockstored.RecoverOptions{Confirm: func(r blockstored.Recovery) error {
		if r.Generation != 2 || len(r.Lost) != 2 || r.LastIndex < r.AppliedIndex || r.ClaimRenewedAt == nil {
			t.Errorf("%+v", r)
		}
		return no
	}}); !errors.Is(err, no) {
		t.Errorf("not confirmed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(e.configs[0].Data, "recovery.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was not confirmed was begun: %v", err)
	}
	if r, err := recoverNode(t, e.configs[0], 0); err != nil || r.Generation != 2 || r.Resumed {
		t.Fatalf("%+v, %v", r, err)
	}
	wantGivenUp(t, e.configs[1])

	one := open(t, e.configs[0])
	e.nodes = []*blockstored.Instance{one}
	e.facing.Store(one)
	if got := contentOf(t, one, b, 1); got != "one" {
		t.Errorf("version 1 is %q", got)
	}
	v := publishText(t, one, b, "two")
	awaitVersion(t, south, b, v, "two") // it follows on by itself
	for _, name := range []string{"n2", "n3"} {
		n := e.start(name)
		if got := contentOf(t, n, b, v); got != "two" {
			t.Errorf("%s has %q", name, got)
		}
	}
	awaitNodes(t, e.nodes[2], 3)
	v = publishText(t, e.nodes[2], b, "three")
	awaitVersion(t, south, b, v, "three")
	if s, err := south.SyncStatus(t.Context()); err != nil || len(s) != 1 || len(s[0].Alarms) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	wantGivenUp(t, e.configs[2])
}

func TestWhatARecoveryLostWaitsForTheOperatorsWhoFollow(t *testing.T) {
	e := newEnsemble(t)
	south := e.follower()
	b := newBundle(t, e.nodes[0], "b")
	publishText(t, e.nodes[0], b, "one")
	eventually(t, "n3 has what it will go on from", func(ctx context.Context) bool {
		got, err := e.nodes[2].Bundle(ctx, b)
		return err == nil && len(got.Versions) == 1
	})
	closeInstance(t, e.nodes[2])
	lost := publishText(t, e.nodes[0], b, "lost")
	awaitVersion(t, south, b, lost, "lost")

	// Two of three run on, which nobody should do: whoever leads next finds that
	// its generation was given up, and stops.
	if r, err := recoverNode(t, e.configs[2], 0); err != nil || r.Generation != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	three := open(t, e.configs[2])
	leader := awaitLeader(t, e.nodes[0])
	next := map[string]string{"n1": "n2", "n2": "n1"}[leader]
	if err := e.nodes[0].TransferLeadership(t.Context(), next); err != nil {
		t.Logf("who leads now may have stopped before it answered: %v", err)
	}
	select {
	case err := <-e.fatal:
		if !storage.GenerationLost(err) {
			t.Errorf("it stops with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody stops")
	}
	for k := range 2 {
		closeInstance(t, e.nodes[k])
		wantGivenUp(t, e.configs[k])
	}

	e.facing.Store(three)
	other := newBundle(t, three, "other")
	alarm := func(ctx context.Context) *api.Alarm {
		s, err := south.SyncStatus(ctx)
		if err != nil || len(s) != 1 || len(s[0].Alarms) != 1 {
			return nil
		}
		return &s[0].Alarms[0]
	}
	eventually(t, "the alarm", func(ctx context.Context) bool { return alarm(ctx) != nil })
	if a := alarm(t.Context()); a.Alarm != "ROLLBACK" || !strings.Contains(a.Detail, "recovered at generation 2 and lost history") {
		t.Errorf("%+v", a)
	}
	if got := contentOf(t, south, b, lost); got != "lost" {
		t.Errorf("version %d is %q", lost, got)
	}
	if err := south.ResumePeer(t.Context(), "north", ""); err != nil {
		t.Fatal(err)
	}
	awaitVersion(t, south, other, publishText(t, three, other, "after"), "after")
	if v := publishText(t, three, b, "anew"); v != lost {
		t.Fatalf("published version %d", v)
	}
	eventually(t, "the bundle is set aside", func(ctx context.Context) bool {
		s, err := south.SyncStatus(ctx)
		return err == nil && len(s) == 1 && len(s[0].Parked) == 1 && s[0].Parked[0].Bundle == b && s[0].Parked[0].Reason == "chain_break"
	})
	if got := contentOf(t, south, b, lost); got != "lost" {
		t.Errorf("the copy went back to %q", got)
	}
}

// awaitLeader waits until the nodes agree on who leads, and returns its name.
func awaitLeader(t *testing.T, at *blockstored.Instance) (name string) {
	t.Helper()
	eventually(t, "a leader", func(ctx context.Context) bool {
		s, err := at.ClusterStatus(ctx)
		if err != nil {
			return false
		}
		for _, n := range s.Nodes {
			if n.Leader {
				name = n.Name
			}
		}
		return name != ""
	})
	return name
}

// Two survivors would make two instances of one: the claim lets one of them.
func TestOfTwoSurvivorsOneIsRecovered(t *testing.T) {
	e := newEnsemble(t)
	b := newBundle(t, e.nodes[0], "b")
	publishText(t, e.nodes[0], b, "one")
	for k := len(e.nodes) - 1; k >= 0; k-- {
		closeInstance(t, e.nodes[k])
	}
	if _, err := recoverNode(t, e.configs[0], 0); err != nil {
		t.Fatal(err)
	}
	for _, abandon := range []uint64{0, 1, 3} {
		if _, err := recoverNode(t, e.configs[1], abandon); !storage.GenerationLost(err) || !strings.Contains(err.Error(), "--abandon-generation 2") {
			t.Errorf("the second, giving up generation %d: %v", abandon, err)
		}
	}
	if r, err := recoverNode(t, e.configs[1], 2); err != nil || r.Generation != 3 { // the first is lost, too
		t.Fatalf("%+v, %v", r, err)
	}
	two := open(t, e.configs[1])
	if got := contentOf(t, two, b, 1); got != "one" {
		t.Errorf("version 1 is %q", got)
	}
	publishText(t, two, b, "two")
	wantGivenUp(t, e.configs[0])
	wantGivenUp(t, e.configs[2])
}

func TestAFolderWithoutANodeIsNotRecovered(t *testing.T) {
	if _, err := recoverNode(t, config(t.TempDir()), 0); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("%v", err)
	}
}

// A loss of power can take the last transactions of a catalog, and the log gives
// them back: also the beginning of a generation.
func TestANodeThatHasItsGenerationInTheLogOnlyIsNotRefused(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	first := nodeConfig(t, s, bucket, "n1")
	one := open(t, first)
	b := newBundle(t, one, "b")
	publishText(t, one, b, "one")
	closeInstance(t, one)
	catalog, older := filepath.Join(first.Data, "catalog"), filepath.Join(t.TempDir(), "catalog")
	if err := os.CopyFS(older, os.DirFS(catalog)); err != nil {
		t.Fatal(err)
	}
	if _, err := recoverNode(t, first, 0); err != nil {
		t.Fatal(err)
	}
	one = open(t, first)
	second := nodeConfig(t, s, bucket, "n2")
	second.Cluster.Join = inviteTo(t, one)
	two := open(t, second)
	awaitNodes(t, one, 2)
	closeInstance(t, two)
	closeInstance(t, one)

	if err := os.RemoveAll(catalog); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(catalog, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	one = open(t, first) // alone it can apply nothing
	if got := contentOf(t, one, b, 1); got != "one" {
		t.Errorf("version 1 is %q", got)
	}
}
