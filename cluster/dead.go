package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// deadLooks is how often in a row, at least, a member must not have answered
	// to be dead, however long that took: time alone also passes while the leader
	// itself is stopped.
	deadLooks = 5
	// leastVoters is how many voters a removal must leave.
	leastVoters = 3
)

// contacts is what a leader knows of when the other members answered it. It
// begins with the leader's work: what it does not remember of an earlier leader,
// nobody is removed for.
type contacts map[raft.ServerID]contact

type contact struct {
	at     time.Time // it answered, or was first seen as a member
	missed int       // looks since then
}

// note takes in who answered now.
func (c contacts) note(now time.Time, members []raft.Server, answered map[raft.ServerID]bool) {
	known := map[raft.ServerID]bool{}
	for _, m := range members {
		known[m.ID] = true
		last, seen := c[m.ID]
		if !seen || answered[m.ID] {
			c[m.ID] = contact{at: now}
			continue
		}
		c[m.ID] = contact{at: last.at, missed: last.missed + 1}
	}
	for id := range c {
		if !known[id] {
			delete(c, id)
		}
	}
}

// dead returns the member that is to be removed: one without an answer for limit
// that the others can do without. Ok is false if there is none.
func (c contacts) dead(now time.Time, limit time.Duration, members []raft.Server) (id raft.ServerID, ok bool) {
	for _, m := range members {
		last, seen := c[m.ID]
		if seen && last.missed >= deadLooks && now.Sub(last.at) >= limit && c.spares(members, m.ID) {
			return m.ID, true
		}
	}
	return "", false
}

// spares reports whether the cluster is as safe without id: it has no vote, or
// at least leastVoters are left and most of them answered the last look.
func (c contacts) spares(members []raft.Server, id raft.ServerID) bool {
	left, answer := 0, 0
	for _, m := range members {
		switch {
		case m.Suffrage != raft.Voter:
			if m.ID == id {
				return true
			}
		case m.ID != id:
			left++
			if c[m.ID].missed == 0 {
				answer++
			}
		}
	}
	return left >= leastVoters && answer > left/2
}

// removeDead removes members that have not answered this leader for limit, one
// at a time, for as long as it leads.
func (n *Node) removeDead(ctx context.Context, limit time.Duration) {
	tick := time.NewTicker(n.askLimit)
	defer tick.Stop()
	heard := contacts{}
	for {
		// What is decided below is about these members and no others.
		members, index := n.configuration()
		answered := n.answering(ctx, members)
		if ctx.Err() != nil {
			return
		}
		now := n.now()
		heard.note(now, members, answered)
		if id, ok := heard.dead(now, limit, members); ok {
			n.removeAsDead(ctx, id, index, now.Sub(heard[id].at))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// removeAsDead removes a member, unless the members have changed since index.
func (n *Node) removeAsDead(ctx context.Context, id raft.ServerID, index uint64, silent time.Duration) {
	n.joining.Lock()
	defer n.joining.Unlock()
	err := n.changeMembers(ctx, func(wait time.Duration) raft.IndexFuture {
		return n.raft.RemoveServer(id, index, wait)
	})
	if err != nil {
		n.logger.Warn("could not remove a node that does not answer; it is tried again", "node", id, "error", err)
		return
	}
	n.metrics.MemberRemoved(removedDead)
	n.logger.Warn("removed a node that did not answer; it joins again with an empty data folder", "node", id, "silent", silent)
}

// answering asks members whether they are there. Each that says anything is, also
// one that refuses: a newcomer that is receiving its copy knows no members yet.
func (n *Node) answering(ctx context.Context, members []raft.Server) map[raft.ServerID]bool {
	answered := make([]bool, len(members))
	var asking sync.WaitGroup
	for k, m := range members {
		asking.Go(func() { answered[k] = m.ID == n.id || n.answers(ctx, m.ID) })
	}
	asking.Wait()
	out := map[raft.ServerID]bool{}
	for k, m := range members {
		out[m.ID] = answered[k]
	}
	return out
}

func (n *Node) answers(ctx context.Context, id raft.ServerID) bool {
	ctx, cancel := context.WithTimeout(ctx, n.askLimit)
	defer cancel()
	_, _, err := n.peers.call(ctx, id, http.MethodGet, callStatus, nil)
	if _, unsent := errors.AsType[unreached](err); unsent {
		return false
	}
	_, word := errors.AsType[*bundle.Error](err)
	return err == nil || word
}
