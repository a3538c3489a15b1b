package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// catchUpInterval is the time between two questions of a node that has not
	// had everything since it started.
	catchUpInterval = 50 * time.Millisecond
	// maxMarks bounds what a node remembers of a leader that it cannot follow.
	maxMarks = 512
)

// lag is how far this node is behind its leader. It remembers what the leader
// had committed when it was asked: what is not here yet has been missing since
// then at least.
type lag struct {
	mu      sync.Mutex
	marks   []lagMark // ascending
	arrived bool      // this node had everything once since it started
}

type lagMark struct {
	index uint64
	at    time.Time
}

// note takes in that the leader had committed up to index at the time at.
func (l *lag) note(index uint64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.marks); n > 0 && l.marks[n-1].index >= index {
		return
	}
	l.marks = append(l.marks, lagMark{index, at})
	if len(l.marks) > maxMarks { // of those in between every other goes
		kept := l.marks[:1]
		for i := 2; i < len(l.marks); i += 2 {
			kept = append(kept, l.marks[i])
		}
		l.marks = kept
	}
}

// measure returns how many entries that are known to be committed are missing
// from a catalog that has reached an index, and for how long one of them has
// been: 0 if none is.
func (l *lag) measure(reached uint64, now time.Time) (missing uint64, behind time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.marks) && l.marks[n].index <= reached {
		n++
	}
	if n > 0 && n == len(l.marks) {
		l.arrived = true
	}
	l.marks = l.marks[n:]
	if len(l.marks) == 0 {
		return 0, 0
	}
	return l.marks[len(l.marks)-1].index - reached, max(now.Sub(l.marks[0].at), time.Nanosecond)
}

// lead forgets what another leader had: this node leads.
func (l *lag) lead() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks, l.arrived = nil, true
}

func (l *lag) hasArrived() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.arrived
}

// behind returns how many committed entries the catalog lacks, and for how long
// it has lacked one.
func (n *Node) behind() (missing uint64, since time.Duration) {
	reached := n.reached()
	if n.raft.State() == raft.Leader {
		return max(n.raft.CommitIndex(), reached) - reached, 0
	}
	return n.lag.measure(reached, time.Now())
}

// watchLag asks the leader how far it is, about once a heartbeat timeout, and
// more often until this node has been there once.
func (n *Node) watchLag() {
	ctx, cancel := contextUntil(n.closing)
	defer cancel()
	for {
		n.look(ctx)
		wait := n.askLimit
		if !n.lag.hasArrived() {
			wait = min(wait, catchUpInterval)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-n.closing:
			pause.Stop()
			return
		}
	}
}

func (n *Node) look(ctx context.Context) {
	if n.raft.State() == raft.Leader {
		if n.Leads() {
			n.lag.lead()
		}
		return
	}
	_, leader := n.raft.LeaderWithID()
	if leader == "" || leader == n.id {
		return
	}
	at := time.Now()
	if h, err := n.healthOf(ctx, leader); err == nil {
		n.lag.note(max(h.Commit, h.Applied), at)
		n.lag.measure(n.reached(), at)
	}
}
