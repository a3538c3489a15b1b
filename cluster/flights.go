package cluster

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/raft"
)

var (
	errLeaderLost  = errors.New("the node that was asked does not lead any more, as far as this one knows")
	errDiskStopped = errors.New("the disk of this node does not answer")
)

// flights are the proposals that wait for a leader, another node or this one.
// One whose leader is lost ends at once: a connection to a node that was
// stopped or cut off would keep it waiting.
type flights struct {
	mu sync.Mutex
	by map[*flight]struct{}
}

type flight struct {
	leader raft.ServerID
	cancel context.CancelCauseFunc
}

// begin returns the context of a proposal that waits for leader. The caller calls
// end, which may be called again.
func (f *flights) begin(ctx context.Context, leader raft.ServerID) (flying context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	one := &flight{leader, cancel}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[*flight]struct{}{}
	}
	f.by[one] = struct{}{}
	return ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.by, one)
		cancel(nil)
	}
}

// end ends those whose leader is lost.
func (f *flights) end(cause error, lost func(leader raft.ServerID) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one := range f.by {
		if lost(one.leader) {
			one.cancel(cause)
		}
	}
}

// followLeader ends the flights to a leader that is none any more. Those that
// wait for this node raft ends itself, with its own word.
func (n *Node) followLeader(changes <-chan raft.Observation) {
	for {
		select {
		case <-changes:
			n.endFlights()
		case <-n.closing:
			return
		}
	}
}

func (n *Node) endFlights() {
	_, now := n.raft.LeaderWithID()
	n.flights.end(errLeaderLost, func(leader raft.ServerID) bool { return leader != n.id && leader != now })
}

func ofLeader(o *raft.Observation) bool {
	_, ok := o.Data.(raft.LeaderObservation)
	return ok
}
