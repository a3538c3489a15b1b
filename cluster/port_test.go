package cluster

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/catalog"
)

func TestNodeWithoutPortGetsOne(t *testing.T) {
	dir := t.TempDir()
	startNode(t, dir).stop(t)
	a := startNode(t, dir, func(c *Config) { c.Listener = listen(t) })
	eventually(t, "its address is corrected", func() bool { return a.Stats().Members[0].Address == string(a.self) })
	b := startNode(t, t.TempDir(), func(c *Config) { c.ID, c.Bootstrap, c.Listener = "n2-1", false, listen(t) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.AddVoter(ctx, "n2-1", string(b.self)); err != nil {
		t.Fatal(err)
	}
	a.propose(t, "x")
	eventually(t, "the second node has it", func() bool { return b.book.lines(t) == "x\n" })
	if err := a.Remove(ctx, "n2-1"); err != nil {
		t.Fatal(err)
	}
	b.stop(t)
	a.propose(t, "alone again")
}

// stuckNode answers as an empty node does, and never reads the copy it is sent.
func stuckNode(t *testing.T) (addr raft.ServerAddress, copying <-chan struct{}) {
	t.Helper()
	layer := newStreamLayer(listen(t), layerConfig{id: "n2-1", limit: time.Second, now: time.Now, logger: slog.New(slog.DiscardHandler)})
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
