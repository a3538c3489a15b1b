package cluster

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// stranger is a voter that is no raft: it confirms everything, until it tells of
// a newer term.
type stranger struct {
	transport *raft.NetworkTransport
	ahead     atomic.Bool
	asked     chan struct{} // has an element when a request came since it is ahead
	loops     sync.WaitGroup
	done      chan struct{}
}

func startStranger(t *testing.T, id string) (s *stranger, address string) {
	t.Helper()
	ln := listen(t)
	layer := newStreamLayer(ln, layerConfig{id: raft.ServerID(id), limit: time.Second, now: time.Now, logger: slog.New(slog.DiscardHandler)})
	s = &stranger{
		transport: raft.NewNetworkTransportWithLogger(layer, 3, time.Second, hclog.NewNullLogger()),
		asked:     make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.loops.Go(func() {
		for {
			select {
			case rpc := <-s.transport.Consumer():
				s.answer(rpc)
			case <-s.done:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(s.done)
		s.loops.Wait()
		s.transport.Close()
		s.transport.CloseStreams()
	})
	return s, ln.Addr().String()
}

func (s *stranger) answer(rpc raft.RPC) {
	q, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok {
		rpc.Respond(&raft.RequestVoteResponse{}, io.EOF)
		return
	}
	a := &raft.AppendEntriesResponse{Term: q.Term, Success: true, LastLog: q.PrevLogEntry + uint64(len(q.Entries))}
	heartbeat := q.PrevLogEntry == 0 && len(q.Entries) == 0
	if s.ahead.Load() && !heartbeat {
		a.Term, a.Success = q.Term+1, false
		select {
		case s.asked <- struct{}{}:
			// Time for more requests to gather behind this one.
			time.Sleep(30 * time.Millisecond)
		default:
		}
	}
	rpc.Respond(a, nil)
}

// Raft's pipeline waits for ever when it is told of a newer term while a request
// waits behind, and with it whoever closes the node.
func TestFollowerWithANewerTermDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	for range 5 { // it is a matter of which of two channels raft looks at
		n := startNode(t, t.TempDir(), func(c *Config) { c.Listener = listen(t) })
		s, address := startStranger(t, "n2-1")
		if err := n.AddVoter(t.Context(), "n2-1", address); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			n.propose(t, "x")
		}
		var writers sync.WaitGroup
		s.ahead.Store(true)
		for i := range 40 { // so that there always is something more to send
			writers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				_, _, _ = n.proposeHere(t.Context(), []byte("y"))
			})
		}
		<-s.asked
		eventually(t, "it steps down", func() bool { return n.raft.State() != raft.Leader })
		ended := make(chan error, 1)
		go func() { ended <- n.Close() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the node does not end")
		}
		writers.Wait()
	}
}
