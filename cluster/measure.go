package cluster

import (
	"errors"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
)

// observe tells the log which nodes stop and resume answering this leader, and
// counts elections and leaders.
func (n *Node) observe(observations <-chan raft.Observation) {
	var leader raft.ServerID
	for {
		select {
		case o := <-observations:
			switch d := o.Data.(type) {
			case raft.FailedHeartbeatObservation:
				n.logger.Warn("a node does not answer", "node", d.PeerID, "last_contact", d.LastContact)
			case raft.ResumedHeartbeatObservation:
				n.logger.Info("a node answers again", "node", d.PeerID)
			case raft.RaftState:
				n.metrics.Election()
			case raft.LeaderObservation:
				if d.LeaderID != "" && d.LeaderID != leader {
					leader = d.LeaderID
					n.metrics.LeaderChange()
				}
			}
		case <-n.closing:
			return
		}
	}
}

func ofInterest(o *raft.Observation) bool {
	switch d := o.Data.(type) {
	case raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation, raft.LeaderObservation:
		return true
	case raft.RaftState:
		return d == raft.Candidate
	default:
		return false
	}
}

// measure sets the gauges of raft.
func (n *Node) measure() {
	s := n.Stats()
	r := metrics.RaftState{
		Leader: s.Role == "leader", Term: s.Term, CommitIndex: s.Commit, AppliedIndex: s.Applied,
		LogEntries: s.LogEntries, LogBytes: s.LogBytes, DiskStalled: s.DiskStalled,
		LastContact: s.LastContact, Lag: s.Lag, Behind: s.Behind,
	}
	for _, m := range s.Members {
		if m.Voter {
			r.Voters++
		} else {
			r.Nonvoters++
		}
	}
	n.metrics.SetRaft(r)
	if n.security == nil {
		return
	}
	if cert, err := n.security.Certificate(); err == nil && cert.Leaf != nil {
		n.metrics.SetCertificateExpiry(cert.Leaf.NotAfter)
	}
}

// proposalOutcome names how a proposal ended.
func proposalOutcome(result catalog.Result, err error) string {
	switch {
	case err == nil && result.Err == nil:
		return "ok"
	case err == nil:
		return "refused"
	case isUnknown(err):
		return "unknown"
	default:
		return "failed"
	}
}

// forwardOutcome names how an attempt to have the leader propose ended.
func forwardOutcome(err error) string {
	_, unsent := errors.AsType[unreached](err)
	_, again := errors.AsType[elsewhere](err)
	switch {
	case err == nil:
		return "ok"
	case unsent:
		return "unreached"
	case again:
		return "redirected"
	case isUnknown(err):
		return "unknown"
	default:
		return "refused"
	}
}

// readOutcome names how a read's wait ended.
func readOutcome(stale bool, err error) string {
	switch {
	case err != nil:
		return "failed"
	case stale:
		return "stale"
	default:
		return "fresh"
	}
}
