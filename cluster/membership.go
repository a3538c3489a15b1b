package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// Member is a node of the cluster, as its log records it.
type Member struct {
	ID, Address string
	Voter       bool
}

// Stats is a look at a node for operators and metrics.
type Stats struct {
	ID            string
	Role          string // leader, follower, candidate or shutdown
	Leader        string // id, "" if unknown
	LeaderAddress string
	Term          uint64
	Applied       uint64        // last entry in the catalog
	Commit        uint64        // last entry known to be committed
	LastLog       uint64        // last entry stored here
	LastContact   time.Duration // since the leader was heard; 0 on the leader, negative if never
	LogEntries    uint64        // stored here
	LogBytes      int64         // of raft.db in use
	Lag           uint64        // entries that the leader has committed and that are not in the catalog here
	Behind        time.Duration // for how long that has been so at least; 0 if Lag is
	DiskStalled   bool          // a write to the log takes longer than Config.DiskStall
	Removed       bool          // the others said that this node is no member any more
	Level         uint64        // in force here, see [catalog.DB.Levels]
	HighestLevel  uint64        // that this node's program understands
	Copies        CopyStats
	Members       []Member
}

// health is what a node tells others of itself.
type health struct {
	ID      string   `json:"id"`
	Role    string   `json:"role"`
	Term    uint64   `json:"term"`
	Commit  uint64   `json:"commit"`            // last entry that it knows to be committed
	Applied uint64   `json:"applied"`           // last entry in the catalog
	Log     uint64   `json:"log"`               // last entry stored
	Contact int64    `json:"contact"`           // milliseconds since it heard its leader; 0 on the leader, negative for never
	Stalled bool     `json:"stalled"`           // its disk
	Unready []string `json:"unready,omitempty"` // names of the reasons why it should get no requests
	Version string   `json:"version"`           // of its program
	Level   uint64   `json:"level"`             // the highest that its program understands
	Sending []Copy   `json:"sending,omitempty"` // copies under way from it
}

func (n *Node) health() health {
	_, level := n.fsm.catalog.Levels()
	return health{
		ID: string(n.id), Role: role(n.raft.State()), Term: n.raft.CurrentTerm(), Commit: n.raft.CommitIndex(), Applied: n.reached(),
		Log: n.raft.LastIndex(), Contact: n.lastContact().Milliseconds(), Stalled: n.store.stalled(),
		Version: n.version, Level: level, Unready: n.unreadyNames(),
		Sending: n.copies.look().Sending,
	}
}

func (n *Node) unreadyNames() (names []string) {
	for _, r := range n.Unready() {
		names = append(names, r.Name)
	}
	return names
}

// Stats returns a look at the node; after Close without what lies in raft.db.
func (n *Node) Stats() Stats {
	addr, id := n.raft.LeaderWithID()
	s := Stats{
		ID: string(n.id), Role: role(n.raft.State()), Leader: string(id), LeaderAddress: string(addr),
		Term: n.raft.CurrentTerm(), Applied: n.fsm.position().index,
		Commit: n.raft.CommitIndex(), LastLog: n.raft.LastIndex(), DiskStalled: n.store.stalled(),
		Removed: n.removed(), Copies: n.copies.look(),
	}
	s.Level, s.HighestLevel = n.fsm.catalog.Levels()
	s.LastContact = n.lastContact()
	s.Lag, s.Behind = n.behind()
	if !n.isClosing() {
		s.LogBytes = n.logBytes()
		if first, err := n.store.FirstIndex(); err == nil && first > 0 && s.LastLog >= first {
			s.LogEntries = s.LastLog - first + 1
		}
	}
	for _, m := range n.servers() {
		s.Members = append(s.Members, Member{ID: string(m.ID), Address: string(m.Address), Voter: m.Suffrage == raft.Voter})
	}
	return s
}

// lastContact is the time since this node heard its leader: 0 on the leader,
// negative if it never did.
func (n *Node) lastContact() time.Duration {
	if n.raft.State() == raft.Leader {
		return 0
	}
	at := n.raft.LastContact()
	if at.IsZero() {
		return -time.Second
	}
	return max(0, time.Since(at))
}

// AddVoter lets the node id, which listens at address, take part and vote at
// once, whether it keeps up or not; [Node.Join] is the careful way. One that
// takes part under another address is removed first: raft 1.8 changes the
// address of a follower under the goroutine that replicates to it. A member of
// the same name and another incarnation is KindConflict. AddVoter returns when
// the change is committed; the new node may still be receiving its copy. Only
// the leader can; other errors have KindUnavailable as those of [Node.Propose],
// and the call can be repeated.
func (n *Node) AddVoter(ctx context.Context, id, address string) error {
	n.joining.Lock()
	defer n.joining.Unlock()
	return n.addVoter(ctx, id, address)
}

func (n *Node) addVoter(ctx context.Context, id, address string) error {
	if _, err := parseNode(id); err != nil || address == "" {
		return cmp.Or(err, error(bundle.Errorf(bundle.KindInvalid, "node %s needs an address to vote", id)))
	}
	if other, ok := n.sameNode(id); ok {
		return bundle.Errorf(bundle.KindConflict, "%s is a member, of the same name as %s: remove it first", other, id)
	}
	for _, m := range n.servers() {
		if string(m.ID) == id && string(m.Address) != address && m.ID != n.id {
			if err := n.remove(ctx, id, removedReplaced); err != nil {
				return err
			}
		}
	}
	return n.changeMembers(ctx, func(wait time.Duration) raft.IndexFuture {
		return n.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(address), 0, wait)
	})
}

// Remove takes the node id out of the cluster for good: it comes back only as
// another incarnation, or by [Node.Join]. Only the leader can; a leader that
// removes itself steps down. KindNotFound if it is no member, KindInvalid if it
// is the only voter.
func (n *Node) Remove(ctx context.Context, id string) error {
	n.joining.Lock()
	defer n.joining.Unlock()
	return n.remove(ctx, id, removedByOperator)
}

// The causes for which a node is taken out, for the metrics.
const (
	removedByOperator = "operator"
	removedDead       = "dead"     // it did not answer for long, see [Config.RemoveDeadAfter]
	removedReplaced   = "replaced" // its name comes back with an empty disk, or it listens elsewhere
)

func (n *Node) remove(ctx context.Context, id, cause string) error {
	if !n.isMember(id) {
		return bundle.Errorf(bundle.KindNotFound, "node %s is no member of this cluster", id)
	}
	if id == string(n.id) && n.soleVoter() {
		return bundle.Errorf(bundle.KindInvalid, "node %s is the only voter; without it the instance has no catalog", id)
	}
	err := n.changeMembers(ctx, func(wait time.Duration) raft.IndexFuture {
		return n.raft.RemoveServer(raft.ServerID(id), 0, wait)
	})
	if err == nil {
		n.metrics.MemberRemoved(cause)
	}
	return err
}

func (n *Node) changeMembers(ctx context.Context, change func(time.Duration) raft.IndexFuture) error {
	if err := n.stopped(); err != nil {
		return err
	}
	_, err, ended := call(ctx, &n.calls, func() (struct{}, error) {
		defer n.lease.pause()() // a lease outlives one change of the quorum at most
		return struct{}{}, change(enqueueTimeout).Error()
	})
	switch {
	case err == nil:
		return nil
	case ended:
		return bundle.Errorf(bundle.KindUnavailable, "the change of members was not confirmed; look at the members and retry: %w", err).
			With("outcome", "unknown")
	default:
		return plain(n.proposalError(err))
	}
}

func (n *Node) servers() []raft.Server { return serversOf(n.raft) }

// configuration returns the members and the entry of the log that made them so.
func (n *Node) configuration() ([]raft.Server, uint64) {
	future := n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil, 0
	}
	return future.Configuration().Servers, future.Index()
}

func serversOf(r *raft.Raft) []raft.Server {
	future := r.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}

func (n *Node) isMember(id string) bool {
	return slices.ContainsFunc(n.servers(), func(s raft.Server) bool { return string(s.ID) == id })
}

func (n *Node) otherVoters() (count int) {
	for _, s := range n.servers() {
		if s.ID != n.id && s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}

// soleVoter reports whether this node alone decides.
func (n *Node) soleVoter() bool {
	for _, s := range n.servers() {
		if s.ID == n.id && s.Suffrage == raft.Voter {
			return n.otherVoters() == 0
		}
	}
	return false
}

// members tells the transport where to reach a node.
type members struct {
	id   raft.ServerID
	self raft.ServerAddress
	raft atomic.Pointer[raft.Raft] // nil until raft runs
}

// ServerAddr gives raft, in the place of an address, this node's own address or
// another node's id: connections are made to a node and not to a place, where
// another incarnation may be.
func (m *members) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if id == m.id {
		return m.self, nil
	}
	return raft.ServerAddress(id), nil
}

// resolve returns where another node listens, as the log says.
func (m *members) resolve(id raft.ServerID) (raft.ServerAddress, error) {
	if r := m.raft.Load(); r != nil {
		for _, s := range serversOf(r) {
			if s.ID == id {
				return s.Address, nil
			}
		}
	}
	return "", fmt.Errorf("node %s is no member", id)
}

func role(s raft.RaftState) string {
	switch s {
	case raft.Leader:
		return "leader"
	case raft.Candidate:
		return "candidate"
	case raft.Shutdown:
		return "shutdown"
	default:
		return "follower"
	}
}

// compact drops the part of the log that nobody needs, when there is one.
func (n *Node) compact() {
	tick := time.NewTicker(n.retention.Check)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.forgetCopy()
		case <-n.trail.full:
		case <-n.closing:
			return
		}
		if cut := n.spare(n.trail.cut(n.now())); cut > 0 {
			if err := n.dropLog(cut); err != nil {
				n.logger.Warn("could not shorten the log; it grows until that succeeds", "error", err)
			}
		}
	}
}

// heldLog bounds the log that is kept for copies, in multiples of Retention.Hard: a
// node that is slower than the writes never catches up.
const heldLog = 8

// spare returns up to where of cut the log may be dropped: a node that gets a copy
// of the catalog needs what follows the copy's index, and would need another copy
// without it.
func (n *Node) spare(cut uint64) uint64 {
	ctx, cancel := contextUntil(n.closing)
	defer cancel()
	// The entry at the copy's index stays, too: what follows it is sent by its term.
	if oldest := n.outbox.oldest(); oldest > 0 {
		cut = min(cut, oldest-1)
	}
	for _, id := range n.copies.behind() {
		commit := n.raft.CommitIndex()
		h, err := n.healthOf(ctx, id)
		if err != nil {
			h.Log = 0
		}
		cut = min(cut, n.copies.reached(id, h.Log, commit))
	}
	return max(cut, n.trail.beyond(heldLog*n.retention.Hard))
}

// forgetCopy removes a copy that arrived and was never installed.
func (n *Node) forgetCopy() {
	if !n.inbox.expired() {
		return
	}
	if err := n.fsm.catalog.Discard(); err != nil {
		n.logger.Warn("could not remove a copy of the catalog that is not needed any more; the next start will", "error", err)
	}
}

// dropLog takes a snapshot, which makes the catalog durable, and drops the log
// up to cut.
func (n *Node) dropLog(cut uint64) error {
	n.cutting.Lock()
	defer n.cutting.Unlock()
	rc := n.raft.ReloadableConfig()
	last := n.raft.LastIndex()
	if last < cut {
		return nil
	}
	rc.TrailingLogs = last - cut
	if err := n.raft.ReloadConfig(rc); err != nil {
		return err
	}
	// Raft counts from the end of the log, which moves on meanwhile.
	n.store.bound.Store(cut)
	defer n.store.bound.Store(0)
	_, err, _ := call(context.Background(), &n.calls, func() (struct{}, error) {
		return struct{}{}, n.raft.Snapshot().Error()
	})
	if errors.Is(err, raft.ErrNothingNewToSnapshot) || errors.Is(err, errStopped) {
		return nil
	}
	if err != nil {
		return err
	}
	n.trail.dropped(cut)
	return nil
}
