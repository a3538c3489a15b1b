package blockstored_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

// nodeConfig is a node of an instance whose files lie in a bucket.
func nodeConfig(t *testing.T, s *s3test.Server, bucket, name string) blockstored.Config {
	t.Helper()
	cfg := config(t.TempDir())
	cfg.Cluster.Node, cfg.Cluster.Listen = name, "127.0.0.1:0"
	cfg.Storage.Driver = "s3"
	cfg.Storage.S3 = blockstored.S3Config{
		Endpoint: s.Endpoint, Bucket: bucket, Region: "us-east-1", AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey,
	}
	return cfg
}

// freeAddress is an address of this machine that a node can come back to.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := site.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// welcome has a node let cfg's in, at an address, and leaves its data folder as a
// crash does right after the answer.
func welcome(t *testing.T, inst *blockstored.Instance, cfg blockstored.Config, address string) {
	t.Helper()
	id := cfg.Cluster.Node + "-0badcafe"
	w, err := cluster.AskToJoin(t.Context(), cluster.Newcomer{
		Token: inviteTo(t, inst), Node: id, Address: address,
		Storage: fmt.Sprintf("bucket %s at %s, prefix %q", cfg.Storage.S3.Bucket, cfg.Storage.S3.Endpoint, ""),
	}, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"node": []byte(id), "welcome.json": answer} {
		if err := os.WriteFile(filepath.Join(cfg.Data, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func inviteTo(t *testing.T, inst *blockstored.Instance) string {
	t.Helper()
	in, err := inst.InviteNode(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return in.Token
}

// awaitNodes waits until an instance has n nodes that vote and answer, and one of
// leaders, or any if none is named, leads.
func awaitNodes(t *testing.T, inst *blockstored.Instance, n int, leaders ...string) api.ClusterStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := inst.ClusterStatus(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fine := len(s.Nodes) == n && s.Leader != ""
		for _, one := range s.Nodes {
			fine = fine && one.Voter && one.Answers
			if one.Leader && len(leaders) > 0 {
				fine = fine && slices.Contains(leaders, one.Name)
			}
		}
		if fine {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %d voters: %+v", n, s)
		}
	}
}

func TestThreeNodesAreOneInstance(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	first := nodeConfig(t, s, bucket, "n1")
	first.Name = "north"
	nodes := []*blockstored.Instance{open(t, first)}
	for _, name := range []string{"n2", "n3"} {
		cfg := nodeConfig(t, s, bucket, name)
		cfg.Cluster.Join = inviteTo(t, nodes[len(nodes)-1]) // each by the one before
		nodes = append(nodes, open(t, cfg))
		if _, err := os.Stat(filepath.Join(cfg.Data, "welcome.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what joining needed is still there: %v", err)
		}
	}
	for k, n := range nodes {
		if n.ID() != nodes[0].ID() {
			t.Fatalf("node %d is of instance %s", k, n.ID())
		}
		awaitNodes(t, n, 3)
	}
	// What is written through any is seen through any other, at once.
	for k := range 6 {
		c, err := nodes[k%3].CreateCollection(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		b, err := nodes[(k+1)%3].CreateBundle(t.Context(), api.NewBundle{Collection: c.ID, Slug: "b", Title: "b"})
		if err != nil {
			t.Fatal(err)
		}
		d, err := nodes[(k+2)%3].CreateDraft(t.Context(), b.ID, "studio")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nodes[k%3].PatchDraft(t.Context(), d.ID, api.Patch{Files: map[string]api.FileEdit{"a.txt": {Content: []byte("text")}}}); err != nil {
			t.Fatal(err)
		}
		if v, err := nodes[(k+1)%3].CommitDraft(t.Context(), d.ID, api.Commit{}); err != nil || v != 1 {
			t.Fatalf("%+v, %v", v, err)
		}
		if got, err := nodes[(k+2)%3].Bundle(t.Context(), b.ID); err != nil || len(got.Versions) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for k := range 3 { // and so are tokens
		token, err := nodes[k].CreateToken(t.Context(), "t", "reader", 0)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(client.Config{Server: nodes[(k+1)%3].Addresses().API, Token: token.Token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Collection(t.Context(), bundle.NewID()); !bundle.IsKind(err, bundle.KindNotFound) {
			t.Errorf("with a token made at another node: %v", err)
		}
		c.Close()
		if err := nodes[(k+2)%3].RevokeToken(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := nodes[2].Status(t.Context()); err != nil || st.Instance.Name != "north" {
		t.Errorf("a node that joined renamed the instance: %+v, %v", st.Instance, err)
	}
	// Any node can be told to have any other lead.
	for _, name := range []string{"n3", "n1", "n2"} {
		if err := nodes[0].TransferLeadership(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		awaitNodes(t, nodes[1], 3, name)
	}
	if err := nodes[0].RemoveNode(t.Context(), "n3"); err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, nodes[0], 2)
	if err := nodes[0].RemoveNode(t.Context(), "n3"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// A folder that knows nothing of other nodes, as older versions made it, gets
// what joining needs when it first can have them.
func TestInstanceThatWasAloneIsJoined(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	first := nodeConfig(t, s, bucket, "n1")
	alone := first
	alone.Cluster.Listen = ""
	one, err := blockstored.Open(t.Context(), alone)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.InviteNode(t.Context(), 0); !bundle.IsKind(err, bundle.KindInvalid) || !strings.Contains(err.Error(), "cluster.listen") {
		t.Errorf("an invitation without a listener: %v", err)
	}
	c, err := one.CreateCollection(t.Context(), "before")
	if err != nil {
		t.Fatal(err)
	}
	closeInstance(t, one)
	one = open(t, first)
	cfg := nodeConfig(t, s, bucket, "n2")
	cfg.Cluster.Join = inviteTo(t, one)
	two := open(t, cfg)
	awaitNodes(t, one, 2)
	if got, err := two.Collection(t.Context(), c.ID); err != nil || got.Title != "before" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNodeThatRestartsIsTheSameNode(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	first := nodeConfig(t, s, bucket, "n1")
	one := open(t, first)
	cfg := nodeConfig(t, s, bucket, "n2")
	cfg.Cluster.Join = inviteTo(t, one)
	two, err := blockstored.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := awaitNodes(t, one, 2)
	// It comes back at another address, where the other finds it only if it knows
	// that it votes: the leader says so a moment before.
	awaitNodes(t, two, 2)
	closeInstance(t, two)

	// Alone, this one has no majority: it serves what it has and says so.
	if code := readyz(t, one, 503); code != http.StatusServiceUnavailable {
		t.Errorf("ready without a majority: %d", code)
	}
	two = open(t, cfg) // the token is still in the configuration
	after := awaitNodes(t, two, 2)
	if before.Nodes[1].ID != after.Nodes[1].ID {
		t.Errorf("it was %s and is %s", before.Nodes[1].ID, after.Nodes[1].ID)
	}
	if code := readyz(t, one, 200); code != http.StatusOK {
		t.Errorf("not ready with a majority: %d", code)
	}
	if _, err := two.CreateCollection(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}

// A crash between the answer of the others and the end of joining must not make
// a second instance of the folder, whether or not the token is given again.
func TestNodeThatWasKilledWhileItJoinedGoesOn(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	one := open(t, nodeConfig(t, s, bucket, "n1"))
	cfg := nodeConfig(t, s, bucket, "n2")
	cfg.Cluster.Listen = freeAddress(t)
	welcome(t, one, cfg, cfg.Cluster.Listen)
	alone := cfg
	alone.Cluster.Listen = ""
	refused(t, alone, bundle.KindInvalid, "cluster.listen")
	two := open(t, cfg)
	if two.ID() != one.ID() {
		t.Errorf("it is of instance %s", two.ID())
	}
	awaitNodes(t, two, 2)
}

// After a loss of power the nodes come back one by one: the first serves what it
// has, and says so.
func TestNodeThatStartsAloneServesWhatItHas(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	one := open(t, nodeConfig(t, s, bucket, "n1"))
	cfg := nodeConfig(t, s, bucket, "n2")
	cfg.Cluster.Join = inviteTo(t, one)
	two, err := blockstored.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, one, 2)
	c, err := two.CreateCollection(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	closeInstance(t, two)
	closeInstance(t, one)
	two = open(t, cfg)
	if got, err := two.Collection(t.Context(), c.ID); err != nil || got.Title != "kept" {
		t.Errorf("%+v, %v", got, err)
	}
	if code := readyz(t, two, http.StatusServiceUnavailable); code != http.StatusServiceUnavailable {
		t.Errorf("ready alone: %d", code)
	}
	if _, err := two.CreateCollection(t.Context(), "c"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("a write without a majority: %v", err)
	}
	operator, err := client.New(client.Config{Socket: cfg.AdminSocket()})
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	st, err := operator.ClusterStatus(t.Context())
	if err != nil || st.Leader != "" || len(st.Nodes) != 2 || st.Nodes[0].Answers || !st.Nodes[1].Answers || !slices.Contains(st.Nodes[1].Unready, "no_leader") {
		t.Errorf("what it says of the nodes: %+v, %v", st, err)
	}
	closeInstance(t, two)
	cfg.Cluster.MaxStaleness = time.Hour // of which this start knows nothing yet
	two = open(t, cfg)
	if _, err := two.Collection(t.Context(), c.ID); !bundle.IsKind(err, bundle.KindUnavailable) || !strings.Contains(err.Error(), "has not heard of a leader for longer than 1h") {
		t.Errorf("a read that may be too old: %v", err)
	}
}

// readyz asks until the answer is want, for a while.
func readyz(t *testing.T, inst *blockstored.Instance, want int) (code int) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); code != want && time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, inst.Addresses().API+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := &http.Transport{DisableKeepAlives: true}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		code = resp.StatusCode
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return code
}

func TestNodesThatDoNotBelongAreRefused(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	var late atomic.Int64 // how far the inviting node's clock went on, in minutes
	first := nodeConfig(t, s, bucket, "n1")
	first.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load()) * time.Minute) }
	one := open(t, first)
	good := inviteTo(t, one)
	other := open(t, nodeConfig(t, s, s.NewBucket(), "n1"))
	const at = len("bsj1_") + 3 // in the signature
	tampered := good[:at] + "A" + good[at+1:]
	if tampered == good {
		tampered = good[:at] + "B" + good[at+1:]
	}
	for name, c := range map[string]struct {
		change func(*blockstored.Config)
		kind   bundle.Kind
		says   string
	}{
		"a token that was altered": {func(c *blockstored.Config) { c.Cluster.Join = tampered }, bundle.KindForbidden, "altered"},
		"another bucket":           {func(c *blockstored.Config) { c.Storage.S3.Bucket = "elsewhere" }, bundle.KindForbidden, "same place"},
		"another prefix":           {func(c *blockstored.Config) { c.Storage.S3.Prefix = "p/" }, bundle.KindForbidden, "same place"},
		"the name of a live node":  {func(c *blockstored.Config) { c.Cluster.Node = "n1" }, bundle.KindConflict, "another name"},
		"files in a folder":        {func(c *blockstored.Config) { c.Storage.Driver = "dir" }, bundle.KindInvalid, "storage.driver: s3"},
		"no listener":              {func(c *blockstored.Config) { c.Cluster.Listen = "" }, bundle.KindInvalid, "cluster.listen"},
		"every address":            {func(c *blockstored.Config) { c.Cluster.Listen = "0.0.0.0:0" }, bundle.KindInvalid, "cluster.advertise"},
		"an invitation of peers":   {func(c *blockstored.Config) { c.Cluster.Join = "bsp1_x" }, bundle.KindInvalid, "cluster invite"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := nodeConfig(t, s, bucket, "n2")
			cfg.Cluster.Join = good
			c.change(&cfg)
			refused(t, cfg, c.kind, c.says)
		})
	}
	t.Run("a token of another instance", func(t *testing.T) {
		cfg := nodeConfig(t, s, bucket, "n2")
		cfg.Cluster.Join = inviteTo(t, other) // the other's node answers, of another bucket
		refused(t, cfg, bundle.KindForbidden, "same place")
	})
	t.Run("a folder that holds the beginning of another", func(t *testing.T) {
		cfg := nodeConfig(t, s, bucket, "n2")
		if err := os.Mkdir(filepath.Join(cfg.Data, "raft"), 0o700); err != nil {
			t.Fatal(err)
		}
		cfg.Cluster.Join = good
		refused(t, cfg, bundle.KindConflict, "empty data folder")
	})
	t.Run("a token that expired", func(t *testing.T) {
		late.Store(31)
		cfg := nodeConfig(t, s, bucket, "n2")
		cfg.Cluster.Join = good
		refused(t, cfg, bundle.KindForbidden, "expired")
	})
	if got := awaitNodes(t, one, 1); len(got.Nodes) != 1 {
		t.Errorf("nodes %+v", got.Nodes)
	}
}

func refused(t *testing.T, cfg blockstored.Config, kind bundle.Kind, says string) {
	t.Helper()
	inst, err := blockstored.Open(t.Context(), cfg)
	if err == nil {
		closeInstance(t, inst)
		t.Fatal("it was let in")
	}
	if !bundle.IsKind(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("%v", err)
	}
	if done, err := blockstored.Initialized(cfg.Data); done || err != nil {
		t.Errorf("the folder holds an instance: %v, %v", done, err)
	}
}

func TestFilesInAFolderKeepAnInstanceToOneNode(t *testing.T) {
	inst := open(t, config(t.TempDir()))
	if _, err := inst.InviteNode(t.Context(), 0); !bundle.IsKind(err, bundle.KindInvalid) || !strings.Contains(err.Error(), "storage.driver: s3") {
		t.Errorf("%v", err)
	}
	if at := inst.Addresses().Cluster; at != "" {
		t.Errorf("it listens at %s for nobody", at)
	}
	if err := inst.RemoveNode(t.Context(), "node1"); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("the only node: %v", err)
	}
}
