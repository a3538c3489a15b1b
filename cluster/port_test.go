package cluster

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
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
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
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

// stuckNode answers as an empty node does, and reads no more than the beginning of
// the copy it is sent.
func stuckNode(t *testing.T) (addr raft.ServerAddress, copying <-chan struct{}) {
	t.Helper()
	layer := newStreamLayer(listen(t), layerConfig{id: "n2-1", limit: time.Second, now: time.Now, logger: slog.New(slog.DiscardHandler)})
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, Timeout: time.Hour, Logger: raftLogger(slog.New(slog.DiscardHandler)),
	})
	reached, done := make(chan struct{}, 100), make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			select {
			case rpc := <-trans.Consumer():
				if c, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
					rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: c.RPCHeader, Term: c.Term}, nil)
				}
			case <-done:
				return
			}
		}
	})
	calls := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != callCopy {
			reply(w, 0, []byte("{}"))
			return
		}
		_, _ = r.Body.Read(make([]byte, 1))
		reached <- struct{}{}
		<-done
	})}
	serving.Go(func() { _ = calls.Serve(layer.calls()) })
	t.Cleanup(func() {
		close(done)
		if err := errors.Join(calls.Close(), trans.Close()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return raft.ServerAddress(layer.Addr().String()), reached
}

// withLongCatalog is a leader whose log begins after n large entries.
func withLongCatalog(t *testing.T, n int, change func(*Config)) *testNode {
	t.Helper()
	a := startNode(t, t.TempDir(), change)
	content := make([]byte, catalog.MaxCommand)
	random := rand.NewChaCha8([32]byte{})
	for range n { // more than sockets buffer, and not to be compressed
		_, _ = random.Read(content)
		a.propose(t, string(content))
	}
	if err := a.dropLog(a.raft.LastIndex()); err != nil {
		t.Fatal(err)
	}
	return a
}

func (n *testNode) addNonvoter(t *testing.T, addr raft.ServerAddress) {
	t.Helper()
	if err := n.changeMembers(t.Context(), func(wait time.Duration) raft.IndexFuture {
		return n.raft.AddNonvoter("n2-1", addr, 0, wait)
	}); err != nil {
		t.Fatal(err)
	}
}

// A node that takes a copy very slowly must not keep the leader from closing.
func TestCloseEndsACopyInProgress(t *testing.T) {
	a := withLongCatalog(t, 40, func(c *Config) { c.Listener, c.RPCTimeout = listen(t), time.Hour })
	addr, copying := stuckNode(t)
	a.addNonvoter(t, addr)
	<-copying
	a.stop(t)
}

// A node that takes nothing any more of a copy is given up, and the next attempt
// goes to it if it answers again.
func TestASilentFollowerIsGivenUp(t *testing.T) {
	a := withLongCatalog(t, 40, func(c *Config) { c.Listener, c.RPCTimeout = listen(t), 500*time.Millisecond })
	addr, copying := stuckNode(t)
	a.addNonvoter(t, addr)
	<-copying
	a.propose(t, "the leader goes on")
	<-copying // it begins again, so it has given up
	if s := a.Stats().Copies; s.Failed == 0 || s.Sent != 0 {
		t.Errorf("%+v", s)
	}
	if err := a.Remove(t.Context(), "n2-1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is sent to a node that was removed, and no copy is left", func() bool {
		left, err := os.ReadDir(a.outbox.dir)
		return err == nil && len(left) == 0 && len(a.Stats().Copies.Sending) == 0
	})
}
