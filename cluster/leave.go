package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// Leave makes ready for [Node.Close] while this node goes on answering: from now
// on it is not [Node.Unready] for nothing, the others hand leadership to it no
// more, and if it leads, another voter is made to. Leave returns when this node
// knows one that leads, with an error of KindUnavailable if ctx or a few
// election timeouts end first: then the others elect after Close. A node that
// is the only voter has nobody to hand over to, and returns at once.
func (n *Node) Leave(ctx context.Context) error {
	now := time.Now()
	n.leaving.CompareAndSwap(nil, &now)
	ctx, cancel := context.WithTimeout(ctx, n.patience)
	defer cancel()
	for {
		err := n.stopped()
		if err != nil || n.otherVoters() == 0 {
			return err
		}
		if n.raft.State() != raft.Leader {
			return n.awaitOther(ctx, "")
		}
		if err = n.TransferLeadership(ctx, ""); err == nil {
			continue
		}
		pause := time.NewTimer(50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// transfer hands leadership to a voter through raft, without a lease on the way,
// and waits until raft has done so or given up.
func (n *Node) transfer(to raft.Server) error {
	defer n.lease.handOver()()
	return n.raft.LeadershipTransferToServer(to.ID, to.Address).Error()
}

// awaitOther waits until this node hears of a leader that is not itself, and is
// id if that is not "".
func (n *Node) awaitOther(ctx context.Context, id raft.ServerID) error {
	ctx, cancel := context.WithTimeout(ctx, n.patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, leader := n.raft.LeaderWithID()
		switch {
		case leader == n.id && n.Leads():
			return bundle.Errorf(bundle.KindUnavailable, "leadership stays here, the other node did not take it; see that it runs and keeps up")
		case leader == "" || leader == n.id: // soon
		case id == "" || leader == id:
			return nil
		default:
			return bundle.Errorf(bundle.KindUnavailable, "node %s did not take leadership, and %s did; see that %s runs and keeps up", id, leader, id)
		}
		select {
		case <-tick.C:
		case <-n.closing:
			return errStopped
		case <-ctx.Done():
			return bundle.Errorf(bundle.KindUnavailable, "leadership was given up here, and no other node has taken it yet; look at the members: %w", context.Cause(ctx))
		}
	}
}

var errNoSuccessor = errors.New("no other voter answers that could lead")

// successor returns the voter that should lead next: of those that answer, whose
// disk does and that do not leave, the one with most of the log.
func (n *Node) successor(ctx context.Context) (raft.Server, error) {
	var asking sync.WaitGroup
	var mu sync.Mutex
	var next raft.Server
	var most uint64
	for _, m := range n.servers() {
		if m.ID == n.id || m.Suffrage != raft.Voter {
			continue
		}
		asking.Go(func() {
			h, err := n.healthOf(ctx, m.ID)
			if err != nil || h.Stalled || slices.Contains(h.Unready, ReasonLeaving) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if next.ID == "" || h.Log > most {
				next, most = m, h.Log
			}
		})
	}
	asking.Wait()
	if next.ID == "" {
		return next, errNoSuccessor
	}
	return next, nil
}
