package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// join starts a node with an id and lets leader add it.
func join(t *testing.T, leader *testNode, id string) *testNode {
	t.Helper()
	n := startNode(t, t.TempDir(), func(c *Config) {
		c.ID, c.Bootstrap, c.Listener = id, false, listen(t)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := leader.AddVoter(ctx, id, string(n.self)); err != nil {
		t.Fatal(err)
	}
	return n
}

func threeNodes(t *testing.T) (a, b, c *testNode) {
	t.Helper()
	a = startNode(t, t.TempDir(), func(c *Config) { c.Listener = listen(t) })
	a.propose(t, "first")
	return a, join(t, a, "n2-1"), join(t, a, "n3-1")
}

func TestThreeNodesAgree(t *testing.T) {
	a, b, c := threeNodes(t)
	for i := range 30 {
		a.propose(t, fmt.Sprint(i))
	}
	want := a.book.lines(t)
	for _, n := range []*testNode{b, c} {
		eventually(t, "a follower has it all", func() bool { return n.book.lines(t) == want })
		if n.book.install != 0 {
			t.Errorf("%s received a copy; the log has everything", n.id)
		}
	}
	if got := a.Stats(); len(got.Members) != 3 {
		t.Errorf("members: %+v", got.Members)
	}
}

func TestLateNodeReceivesACopyAndThenTheLog(t *testing.T) {
	a := startNode(t, t.TempDir(), func(c *Config) { c.Listener = listen(t) })
	for i := range 100 {
		a.propose(t, fmt.Sprint(i))
	}
	if err := a.dropLog(a.raft.LastIndex()); err != nil {
		t.Fatal(err)
	}
	b, c := join(t, a, "n2-1"), join(t, a, "n3-1")
	a.propose(t, "after the copy")
	want := a.book.lines(t)
	for _, n := range []*testNode{b, c} {
		eventually(t, "the late node has it all", func() bool { return n.book.lines(t) == want })
		if n.book.install != 1 || n.book.applied > 10 {
			t.Errorf("%s: %d copies, %d entries applied", n.id, n.book.install, n.book.applied)
		}
	}
	// What was installed survives a restart, and the node goes on from there.
	dir, addr := b.dir, b.self
	b.stop(t)
	a.propose(t, "while away")
	again := startNode(t, dir, func(c *Config) {
		c.ID, c.Bootstrap, c.Listener, c.Advertise = "n2-1", false, listen(t), string(addr)
	})
	if got := again.book.lines(t); got != want {
		t.Errorf("after restart %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.AddVoter(ctx, "n2-1", again.Listener(t)); err != nil {
		t.Fatal(err)
	}
	want = a.book.lines(t)
	eventually(t, "the restarted node catches up", func() bool { return again.book.lines(t) == want })
	if again.book.install != 0 {
		t.Error("the restarted node needed another copy")
	}
}

// Listener returns where the node really listens.
func (n *testNode) Listener(t *testing.T) string {
	t.Helper()
	return n.layer.(*netLayer).Listener.Addr().String()
}

func leaderOf(nodes ...*testNode) *testNode {
	for _, n := range nodes {
		if _, ready, _ := n.leadership.current(); ready {
			return n
		}
	}
	return nil
}

func TestClosedLeaderHandsOver(t *testing.T) {
	a, b, c := threeNodes(t)
	a.propose(t, "by a")
	var leading atomic.Int32
	for _, n := range []*testNode{a, b, c} {
		n.WhileLeader(func(ctx context.Context, term uint64) {
			if leading.Add(1) > 1 {
				t.Error("two nodes believe that they lead while all of them answer")
			}
			if got := n.book.lines(t); got != "first\nby a\n" {
				t.Errorf("term %d: leader's work started on %q", term, got)
			}
			<-ctx.Done()
			leading.Add(-1)
		})
	}
	eventually(t, "followers have it", func() bool { return b.book.lines(t) == c.book.lines(t) && b.book.lines(t) == a.book.lines(t) })
	a.stop(t)
	eventually(t, "another leads", func() bool { return leaderOf(b, c) != nil && leading.Load() == 1 })
	leaderOf(b, c).propose(t, "by the next")
	want := "first\nby a\nby the next\n"
	eventually(t, "both have it", func() bool { return b.book.lines(t) == want && c.book.lines(t) == want })
}

func TestFollowerNamesTheLeader(t *testing.T) {
	a, b, _ := threeNodes(t)
	b.waitLeader(t)
	_, err := b.proposeData(t.Context(), []byte("x"))
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok || e.Kind != bundle.KindUnavailable || e.Fields["leader"] != string(a.id) || e.Fields["outcome"] != "" {
		t.Errorf("propose: %#v", err)
	}
	if _, _, err := b.ReadBarrier(t.Context(), Strong); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("strong read: %v", err)
	}
	if _, stale, err := b.ReadBarrier(t.Context(), Consistent); err != nil || !stale {
		t.Errorf("consistent read: stale %v, %v", stale, err)
	}
	if _, stale, err := b.ReadBarrier(t.Context(), Local); err != nil || stale {
		t.Errorf("local read: stale %v, %v", stale, err)
	}
}

func TestLeaderWithoutQuorumStopsAcknowledging(t *testing.T) {
	a, b, c := threeNodes(t)
	ended := make(chan struct{})
	a.WhileLeader(func(ctx context.Context, _ uint64) { <-ctx.Done(); close(ended) })
	b.stop(t)
	c.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := a.proposeData(ctx, []byte("lonely"))
	if !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("propose: %v", err)
	}
	<-ended
	if got := a.book.lines(t); got != "first\n" {
		t.Errorf("applied without a quorum: %q", got)
	}
}

func TestFaultyLeaderIsReplaced(t *testing.T) {
	fatal := make(chan error, 1)
	a := startNode(t, t.TempDir(), func(c *Config) {
		c.Listener = listen(t)
		c.OnFatal = func(err error) { fatal <- err }
	})
	b, c := join(t, a, "n2-1"), join(t, a, "n3-1")
	a.propose(t, "x")
	a.book.set(func() { a.book.beforeApply = func() error { return errors.New("input/output error") } })
	if _, err := a.proposeData(t.Context(), []byte("y")); err == nil {
		t.Error("the faulty leader acknowledged")
	}
	<-fatal
	eventually(t, "another leads", func() bool { return leaderOf(b, c) != nil })
	leaderOf(b, c).propose(t, "z")
	if got := leaderOf(b, c).book.lines(t); got != "x\ny\nz\n" {
		t.Errorf("got %q", got)
	}
}

func TestNodeWithoutPortGetsOne(t *testing.T) {
	dir := t.TempDir()
	startNode(t, dir).stop(t)
	a := startNode(t, dir, func(c *Config) { c.Listener = listen(t) })
	eventually(t, "its address is corrected", func() bool { return a.Stats().Members[0].Address == string(a.self) })
	b := join(t, a, "n2-1")
	a.propose(t, "x")
	eventually(t, "the second node has it", func() bool { return b.book.lines(t) == "x\n" })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.Remove(ctx, "n2-1"); err != nil {
		t.Fatal(err)
	}
	b.stop(t)
	a.propose(t, "alone again")
}

// stuckNode answers as an empty node does, and never reads the copy it is sent.
func stuckNode(t *testing.T) (addr raft.ServerAddress, copying <-chan struct{}) {
	t.Helper()
	layer := newStreamLayer(listen(t), "")
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, Timeout: time.Hour, Logger: raftLogger(slog.New(slog.DiscardHandler)),
	})
	reached, done := make(chan struct{}), make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			select {
			case rpc := <-trans.Consumer():
				switch c := rpc.Command.(type) {
				case *raft.AppendEntriesRequest:
					rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: c.RPCHeader, Term: c.Term}, nil)
				case *raft.InstallSnapshotRequest:
					close(reached)
				}
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		serving.Wait()
		if err := trans.Close(); err != nil {
			t.Error(err)
		}
	})
	return raft.ServerAddress(layer.Addr().String()), reached
}

// A node that takes a copy very slowly must not keep the leader from closing.
func TestCloseEndsACopyInProgress(t *testing.T) {
	a := startNode(t, t.TempDir(), func(c *Config) { c.Listener, c.RPCTimeout = listen(t), time.Hour })
	for range 40 { // more than sockets buffer
		a.propose(t, strings.Repeat("x", catalog.MaxCommand))
	}
	if err := a.dropLog(a.raft.LastIndex()); err != nil {
		t.Fatal(err)
	}
	addr, copying := stuckNode(t)
	if err := a.changeMembers(t.Context(), func(wait time.Duration) raft.IndexFuture {
		return a.raft.AddNonvoter("n2-1", addr, 0, wait)
	}); err != nil {
		t.Fatal(err)
	}
	<-copying
	a.stop(t)
}
