package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// Reason is why a node should get no requests.
type Reason struct {
	Name   string    // see the constants
	Detail string    // for people
	Since  time.Time // zero if that is not known
}

// The names of reasons.
const (
	ReasonStopped     = "stopped"      // it was closed, or its disk failed
	ReasonLeaving     = "leaving"      // it is about to be closed, see [Node.Leave]
	ReasonRemoved     = "removed"      // it is no member any more
	ReasonNoLeader    = "no_leader"    // it has heard of no leader for longer than writes wait for one
	ReasonBehind      = "behind"       // it lacks what was committed a while ago, or has not caught up since it started
	ReasonDiskStalled = "disk_stalled" // a write to its log hangs
)

// Unready returns why this node should get no requests, in no case after
// waiting; nothing if it should. A leader that was lost a moment ago is no
// reason: until [Node.Propose] gives up, writes are held here as well as
// anywhere.
func (n *Node) Unready() []Reason {
	switch err := n.stopped(); {
	case errors.Is(err, errRemoved):
		return []Reason{{Name: ReasonRemoved, Detail: errRemoved.Message}}
	case err != nil: // anybody may ask for the reason, and a fault names paths
		detail := err.Error()
		if e, ok := errors.AsType[*bundle.Error](err); ok {
			detail = e.Brief()
		}
		return []Reason{{Name: ReasonStopped, Detail: detail}}
	}
	var out []Reason
	if at := n.leaving.Load(); at != nil {
		out = append(out, Reason{ReasonLeaving, "this node is about to stop; ask another one", *at})
	}
	if at, lost := n.leaderless(); lost {
		out = append(out, Reason{ReasonNoLeader, fmt.Sprintf(
			"node %s has heard of no leader for %v: most nodes of the instance must run and reach each other", n.id, short(time.Since(at))), at})
	}
	if missing, since := n.behind(); since > n.behindLimit {
		out = append(out, Reason{ReasonBehind, fmt.Sprintf(
			"node %s lacks %d entries that are committed, the oldest for %v", n.id, missing, short(since)), time.Now().Add(-since)})
	} else if len(out) == 0 && !n.lag.hasArrived() && !n.Leads() {
		out = append(out, Reason{ReasonBehind, fmt.Sprintf(
			"node %s has not caught up since it started: it lacks %d entries that are committed", n.id, missing), n.started})
	}
	if n.store.stalled() {
		out = append(out, Reason{Name: ReasonDiskStalled, Detail: fmt.Sprintf(
			"a write to the log of node %s takes longer than %v", n.id, n.store.limit)})
	}
	return out
}

// leaderless reports whether this node has been without a leader for longer than
// writes wait for one, and since when.
func (n *Node) leaderless() (since time.Time, lost bool) {
	if n.raft.State() == raft.Leader {
		return time.Time{}, false
	}
	since = n.raft.LastContact()
	_, leader := n.raft.LeaderWithID()
	if since.IsZero() {
		return n.started, leader == "" // nothing was heard since the start: there is nothing to wait for yet
	}
	return since, time.Since(since) > n.patience
}

// short is a duration for people.
func short(d time.Duration) time.Duration { return max(d, 0).Round(100 * time.Millisecond) }
