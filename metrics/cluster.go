package metrics

import (
	"math"
	"time"
)

// RaftState is where a node stands.
type RaftState struct {
	Leader       bool
	Term         uint64
	CommitIndex  uint64
	AppliedIndex uint64
	LogEntries   uint64 // kept on this node
	LogBytes     int64  // that they take on its disk
	DiskStalled  bool
	Voters       int           // members that vote
	Nonvoters    int           // members that do not
	LastContact  time.Duration // since the leader was heard; 0 on the leader, negative for never
	Lag          uint64        // entries that the leader has committed and that are not in the catalog here
	Behind       time.Duration // for how long that has been so; 0 if Lag is
}

// SetRaft sets the gauges of Raft.
func (m *Metrics) SetRaft(s RaftState) {
	m.set(raftLeader, truth(s.Leader))
	m.set(raftTerm, float64(s.Term))
	m.set(raftCommitIndex, float64(s.CommitIndex))
	m.set(raftAppliedIndex, float64(s.AppliedIndex))
	m.set(raftLogEntries, float64(s.LogEntries))
	m.set(raftLogBytes, float64(s.LogBytes))
	m.set(raftDiskStalled, truth(s.DiskStalled))
	m.set(raftMembers, float64(s.Voters), "voter")
	m.set(raftMembers, float64(s.Nonvoters), "nonvoter")
	contact := s.LastContact.Seconds()
	if contact < 0 {
		contact = math.Inf(1)
	}
	m.set(raftLastContact, contact)
	m.set(raftLagEntries, float64(s.Lag))
	m.set(raftBehind, s.Behind.Seconds())
}

// RaftApply records how long a batch of commands took to apply.
func (m *Metrics) RaftApply(d time.Duration) { m.observe(raftApplyDuration, d) }

// LogAppend records how long an append to the Raft log took, until it was
// durable or had failed.
func (m *Metrics) LogAppend(d time.Duration) { m.observe(raftLogAppendDuration, d) }

// Election counts an election in which this node stands.
func (m *Metrics) Election() { m.count(raftElections, 1) }

// LeaderChange counts that this node heard of another leader than before.
func (m *Metrics) LeaderChange() { m.count(raftLeaderChanges, 1) }

// MemberRemoved counts a node that this one, as the leader, took out; cause is
// operator, replaced (its name came back with an empty disk or elsewhere) or
// dead.
func (m *Metrics) MemberRemoved(cause string) { m.count(raftMembersRemoved, 1, cause) }

// Proposal counts a command that was proposed on this node; result is ok,
// refused, failed or unknown.
func (m *Metrics) Proposal(result string) { m.count(proposals, 1, result) }

// Forwarded counts an attempt to have the leader propose a command; result is
// ok, redirected, unreached, refused or unknown.
func (m *Metrics) Forwarded(result string) { m.count(forwardedCommands, 1, result) }

// Read counts a read by its level and result: fresh, stale or failed.
func (m *Metrics) Read(level, result string) { m.count(reads, 1, level, result) }

// CopyBegins counts a copy of the catalog that begins to go to another node or
// to come from one. Call CopyEnds once for each.
func (m *Metrics) CopyBegins(way Direction) { m.add(catalogCopiesRunning, 1, string(way)) }

// CopyBytes counts bytes of copies, as they go over the wire.
func (m *Metrics) CopyBytes(way Direction, n int64) { m.count(catalogCopyBytes, n, string(way)) }

// CopyEnds counts a copy that ended after d, whole or, with an error, not.
func (m *Metrics) CopyEnds(way Direction, d time.Duration, err error) {
	m.add(catalogCopiesRunning, -1, string(way))
	if err != nil {
		m.count(catalogCopies, 1, string(way), "failed")
		return
	}
	m.count(catalogCopies, 1, string(way), "ok")
	m.observe(catalogCopyDuration, d, string(way))
}

// SetCertificateExpiry sets when the certificate that this node shows to the
// others expires.
func (m *Metrics) SetCertificateExpiry(at time.Time) {
	m.set(certificateExpiry, float64(at.Unix()))
}

// SetReady says whether this node should get requests.
func (m *Metrics) SetReady(is bool) { m.set(ready, truth(is)) }
