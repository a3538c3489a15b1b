package cluster

import (
	"github.com/hashicorp/raft"
)

// watchDisk acts when the disk under the log stalls or answers again. While it
// is stalled a leader commits nothing, yet its heartbeats keep the others from
// electing: it must make room itself, and cannot through raft, whose main
// goroutine hangs in the write.
func (n *Node) watchDisk() {
	if n.raft.State() != raft.Leader {
		return
	}
	if !n.store.stalled() {
		n.logger.Info("the disk answers again", "node", n.id)
		// Another may lead by now; raft finds out when it goes on. If none does,
		// this node takes its work up again.
		_ = n.calls.start(func() {
			if n.raft.VerifyLeader().Error() == nil {
				select {
				case n.regained <- struct{}{}:
				default:
				}
			}
		})
		return
	}
	n.logger.Warn("the disk does not answer, so this node should not lead", "node", n.id, "limit", n.store.limit)
	if n.otherVoters() == 0 {
		return // nobody else can
	}
	n.leadership.lose() // first: from now on another may lead
	n.flights.end(errDiskStopped, func(leader raft.ServerID) bool { return leader == n.id })
	_ = n.calls.start(n.makeRoom)
}

// makeRoom makes the voter that has most of the log stand for election at once,
// with the message by which raft hands leadership over. Should it lose, it has
// ended this node's term all the same, and the others elect. If no voter can be
// reached, none hears this node's heartbeats, and they elect by themselves.
func (n *Node) makeRoom() {
	ctx, cancel := contextUntil(n.closing)
	defer cancel()
	next, err := n.successor(ctx)
	switch {
	case !n.store.stalled():
		return // it answers again
	case err != nil:
		n.logger.Warn("this node should not lead, and has nobody to lead instead", "error", err)
		return
	}
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.id), Addr: []byte(n.self),
	}}
	if err := n.transport.TimeoutNow(next.ID, next.Address, req, &raft.TimeoutNowResponse{}); err != nil {
		n.logger.Warn("could not make another node lead", "node", next.ID, "error", err)
		return
	}
	n.logger.Info("made another node stand for election", "node", next.ID)
}
