package cluster

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// promotionInterval is the time between two looks at nodes without a vote: one
// that has what was committed a look ago keeps up.
const promotionInterval = 200 * time.Millisecond

// Join lets the node id, which listens at address, take part: first without a
// vote, and with one as soon as it keeps up with the log. A member of the same
// name and another incarnation is removed first, as its disk was lost; one that
// still answers is KindConflict, and so is a member of another name at address.
// Joining again changes nothing. The node is taken to run this program, as far
// as levels go. Only the leader can; errors are as those of
// [Node.AddVoter].
func (n *Node) Join(ctx context.Context, id, address string) error {
	_, highest := n.fsm.catalog.Levels()
	return n.join(ctx, id, address, highest)
}

// join is Join, of a node whose program understands level at most.
func (n *Node) join(ctx context.Context, id, address string, level uint64) error {
	n.joining.Lock()
	defer n.joining.Unlock()
	if err := n.joins(id, level); err != nil {
		return err
	}
	gone, member, err := n.replaced(ctx, id, address)
	if err != nil || member {
		return err
	}
	for _, old := range gone {
		if err := n.remove(ctx, old, removedReplaced); err != nil {
			return err
		}
	}
	return n.changeMembers(ctx, func(wait time.Duration) raft.IndexFuture {
		return n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(address), 0, wait)
	})
}

// replaced returns the members that must go before id can join, or that it is a
// member already.
func (n *Node) replaced(ctx context.Context, id, address string) (gone []string, member bool, err error) {
	who, err := parseNode(id)
	if err != nil {
		return nil, false, err
	}
	if address == "" {
		return nil, false, bundle.Errorf(bundle.KindInvalid, "node %s needs an address to join", id)
	}
	if n.raft.State() != raft.Leader {
		return nil, false, n.notLeader()
	}
	for _, m := range n.servers() {
		other, err := parseNode(string(m.ID))
		switch {
		case string(m.ID) == id && string(m.Address) == address:
			return nil, true, nil
		case string(m.ID) == id:
			gone = append(gone, id) // raft must not see its address change, see AddVoter
		case err == nil && other.name == who.name:
			if n.answers(ctx, m.ID) {
				return nil, false, bundle.Errorf(bundle.KindConflict,
					"%s runs as %s: give this node another name, or stop that one", who.name, m.ID)
			}
			if err := ctx.Err(); err != nil { // then it was not asked
				return nil, false, bundle.Errorf(bundle.KindUnavailable, "the node that asks to join did not wait: %w", err)
			}
			gone = append(gone, string(m.ID))
		case string(m.Address) == address:
			return nil, false, bundle.Errorf(bundle.KindConflict,
				"%s is the address of node %s: remove that one first if it is gone", address, m.ID)
		}
	}
	return gone, false, nil
}

// healthOf asks a node how it is, for a heartbeat timeout at most.
func (n *Node) healthOf(ctx context.Context, id raft.ServerID) (h health, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.askLimit)
	defer cancel()
	answer, _, err := n.peers.call(ctx, id, http.MethodGet, callStatus, nil)
	if err == nil {
		err = json.Unmarshal(answer, &h)
	}
	return h, err
}

// promote gives nodes that keep up a vote, for as long as this one leads.
func (n *Node) promote(ctx context.Context) {
	tick := time.NewTicker(promotionInterval)
	defer tick.Stop()
	for before := n.reached(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := n.reached()
		for _, m := range n.servers() {
			if m.Suffrage == raft.Voter {
				continue
			}
			if h, err := n.healthOf(ctx, m.ID); err != nil || h.Stalled || h.Applied < before {
				continue
			}
			// Not if it was removed meanwhile: it would come back.
			if err := n.vote(ctx, m); err != nil {
				n.logger.Warn("could not give a node that has caught up a vote; it is tried again", "node", m.ID, "error", err)
				continue
			}
			n.logger.Info("a node has caught up and votes", "node", m.ID, "address", m.Address)
		}
		before = now
	}
}

// vote makes a member a voter, unless it is none any more.
func (n *Node) vote(ctx context.Context, m raft.Server) error {
	n.joining.Lock()
	defer n.joining.Unlock()
	if !n.isMember(string(m.ID)) {
		return nil
	}
	return n.addVoter(ctx, string(m.ID), string(m.Address))
}

// TransferLeadership makes the voter id lead, or if id is "" the one of the
// others that has most of the log, and returns when this node knows that it
// does. Only the leader can; errors are KindNotFound if id is no member,
// KindInvalid if it has no vote or there is nobody else, and else as those of [Node.AddVoter].
func (n *Node) TransferLeadership(ctx context.Context, id string) error {
	if err := n.stopped(); err != nil {
		return err
	}
	if n.raft.State() != raft.Leader {
		return n.notLeader()
	}
	to := raft.Server{}
	for _, m := range n.servers() {
		if string(m.ID) == id && m.Suffrage == raft.Voter {
			to = m
		}
	}
	switch {
	case id == string(n.id):
		return nil
	case id != "" && to.ID == "" && n.isMember(id):
		return bundle.Errorf(bundle.KindInvalid, "node %s has no vote, so it cannot lead: wait until \"blockstored cluster status\" shows it as a voter", id)
	case id != "" && to.ID == "":
		return bundle.Errorf(bundle.KindNotFound, "there is no voter %s that could lead", id)
	case id == "" && n.otherVoters() == 0:
		return bundle.Errorf(bundle.KindInvalid, "this node is the only voter; let another join first")
	}
	if id == "" {
		var err error
		if to, err = n.successor(ctx); err != nil {
			return bundle.Errorf(bundle.KindUnavailable, "leadership stays here: %w", err)
		}
	}
	_, err, ended := call(ctx, &n.calls, func() (struct{}, error) { return struct{}{}, n.transfer(to) })
	switch {
	case err == nil:
		return n.awaitOther(ctx, to.ID)
	case ended:
		return bundle.Errorf(bundle.KindUnavailable, "it is not known yet who leads; look at the members: %w", err)
	default:
		return bundle.Errorf(bundle.KindUnavailable, "leadership stays here, the other node did not take it; see that it runs and keeps up: %w", err)
	}
}

// join is the call of a member that listens at another address than before.
func (s *server) join(w http.ResponseWriter, r *http.Request) {
	address, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
	if err != nil {
		refuse(w, bundle.Errorf(bundle.KindInvalid, "the address did not arrive: %w", err))
		return
	}
	if s.node.raft.State() != raft.Leader {
		refuse(w, elsewhere{s.node.notLeader()})
		return
	}
	peer := r.Context().Value(peerKey{}).(*nodeConn).peer
	if err := s.node.Join(r.Context(), peer, string(address)); err != nil {
		refuse(w, err)
		return
	}
	reply(w, s.node.fsm.position().index, nil)
}

// moveIn tells the leader where this node listens, if the members do not say so:
// a leader that dials the old address cannot reach it. It ends when they do.
func (n *Node) moveIn() {
	ctx, cancel := contextUntil(n.closing)
	defer cancel()
	tick := time.NewTicker(n.askLimit)
	defer tick.Stop()
	for {
		known, others := n.recordedAt()
		if known == "" || known == n.self {
			return
		}
		for _, id := range others {
			ctx, cancel := context.WithTimeout(ctx, n.rpcLimit)
			_, _, err := n.peers.call(ctx, id, http.MethodPost, callJoin, []byte(n.self))
			cancel()
			if err == nil {
				return
			}
			n.logger.Debug("could not tell where this node listens", "node", id, "address", n.self, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// recordedAt returns the address of this node among the members, "" if it is
// none or leads, and the others.
func (n *Node) recordedAt() (at raft.ServerAddress, others []raft.ServerID) {
	if n.raft.State() == raft.Leader {
		return "", nil // announce does it
	}
	for _, m := range n.servers() {
		if m.ID == n.id {
			at = m.Address
		} else {
			others = append(others, m.ID)
		}
	}
	return at, others
}

// sameNode returns the member that has the name of id and another incarnation.
func (n *Node) sameNode(id string) (string, bool) {
	who, err := parseNode(id)
	if err != nil {
		return "", false
	}
	for _, m := range n.servers() {
		if other, err := parseNode(string(m.ID)); err == nil && other.name == who.name && other != who {
			return string(m.ID), true
		}
	}
	return "", false
}
