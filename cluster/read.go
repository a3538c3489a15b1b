package cluster

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// Level says how fresh a read must be.
type Level uint8

// The levels.
const (
	// Consistent sees every write that was acknowledged before the read began,
	// as far as the leader of the moment knows; without a leader it answers
	// from what there is, marked stale. The default.
	Consistent Level = iota
	// Local reads what this node has, without asking anybody.
	Local
	// Strong is Consistent with proof: a quorum confirms that the leader still
	// leads. It fails where Consistent would be stale.
	Strong
	// Current is Consistent for who is about to decide a change: it waits a few
	// election timeouts for a leader, and fails where Consistent would be stale.
	// No client asks for it.
	Current
)

// ParseLevel reads "local", "consistent" or "strong"; "" is Consistent.
func ParseLevel(s string) (Level, error) {
	for _, l := range []Level{Consistent, Local, Strong} {
		if s == l.String() {
			return l, nil
		}
	}
	if s == "" {
		return Consistent, nil
	}
	return 0, bundle.Errorf(bundle.KindInvalid, `%q is no consistency level; use "local", "consistent" or "strong"`, s)
}

// String returns the level's name on the wire, where Current is Consistent.
func (l Level) String() string {
	switch l {
	case Local:
		return "local"
	case Strong:
		return "strong"
	default:
		return "consistent"
	}
}

// ReadBarrier waits until a read of the catalog meets level, and returns the
// index the catalog has applied at least. Stale says that Consistent could not
// be had, because this node hears of no leader or gets no answer from it, and
// the read is as Local. Errors have KindUnavailable; one of them is that this
// node has not heard of a leader for longer than Config.MaxStaleness, or was
// removed, and the read would be as Local. It waits for Config.RPCTimeout at most.
//
// The index that is waited for is up to where the leader knows the log to be
// committed, and not what it has applied: another node may have applied, and
// shown, an entry that the leader has yet to apply.
func (n *Node) ReadBarrier(ctx context.Context, level Level) (index uint64, stale bool, err error) {
	defer func() { n.metrics.Read(level.String(), readOutcome(stale, err)) }()
	if level == Local {
		return n.readLocal(false)
	}
	ctx, cancel := context.WithTimeout(ctx, n.rpcLimit)
	defer cancel()
	index, err = n.currentIndex(ctx, level)
	switch {
	case err == nil:
	case n.stopped() != nil:
		return 0, false, n.stopped()
	case level == Consistent && ctx.Err() == nil:
		return n.readLocal(true)
	case bundle.IsKind(err, bundle.KindUnavailable):
		return 0, false, plain(err)
	default:
		return 0, false, bundle.Errorf(bundle.KindUnavailable, "the leader did not say how far it is; retry: %w", err)
	}
	if err := n.awaitApplied(ctx, index); err != nil {
		return 0, false, err
	}
	return n.fsm.position().index, false, nil
}

// currentIndex returns what a read at level must wait for, from this node or the
// leader. It asks again for a few election timeouts: Strong and Current because there may be
// a leader soon, Consistent as long as this node hears of one.
func (n *Node) currentIndex(ctx context.Context, level Level) (uint64, error) {
	patience := time.NewTimer(n.patience)
	defer patience.Stop()
	for {
		index, err := n.leaderIndex(ctx, level)
		if _, follows := errors.AsType[elsewhere](err); follows {
			index, err = n.askLeader(ctx, level)
		}
		if err == nil || n.stopped() != nil || (level == Consistent && !n.hearsLeader()) {
			return index, err
		}
		pause := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pause.C:
			continue
		case <-patience.C:
		case <-ctx.Done():
		}
		pause.Stop()
		return 0, err
	}
}

// hearsLeader reports whether another node leads, as far as this one knows.
func (n *Node) hearsLeader() bool {
	_, id := n.raft.LeaderWithID()
	return id != "" && id != n.id
}

// readLocal lets a read go to what there is, if that is not too old.
func (n *Node) readLocal(stale bool) (uint64, bool, error) {
	if n.removed() {
		return 0, false, errRemoved
	}
	if n.maxStale > 0 {
		at, current := n.heard()
		if !current && time.Since(at) > n.maxStale {
			return 0, false, bundle.Errorf(bundle.KindUnavailable,
				"this node has not heard of a leader for longer than %v and may be behind; ask another one", n.maxStale)
		}
	}
	return n.fsm.position().index, stale, nil
}

// heard returns when this node heard of a leader last, or that it is one. Raft on
// a leader whose disk hangs cannot say that another leads by now.
func (n *Node) heard() (at time.Time, leads bool) {
	if n.raft.State() != raft.Leader {
		return n.raft.LastContact(), false
	}
	if since := n.store.since.Load(); since != nil && n.store.stalled() && n.otherVoters() > 0 {
		return *since, false
	}
	return time.Time{}, true
}

// leaderIndex returns what a read at level must wait for, if this node leads;
// else the error is elsewhere. For Strong the voters are asked whether it leads,
// for Consistent a lease will do.
func (n *Node) leaderIndex(ctx context.Context, level Level) (uint64, error) {
	term, leads, err := n.awaitReady(ctx)
	if err != nil {
		return 0, err
	}
	if !leads {
		return 0, elsewhere{n.notLeader()}
	}
	// Before the voters are asked: what is committed later is not promised.
	index := n.committed()
	if err := n.confirm(ctx, term, level == Strong); err != nil {
		return 0, err
	}
	return index, nil
}

// committed returns up to where this node, which leads and is ready, knows the log
// to be committed. No node has applied more. The only member may answer with
// what it has applied: nobody else can have shown more.
func (n *Node) committed() uint64 {
	if members := n.servers(); len(members) == 1 && members[0].ID == n.id {
		return n.fsm.position().index
	}
	return n.raft.CommitIndex()
}

// askLeader asks the node that leads for its leaderIndex, together with others
// that want to know.
func (n *Node) askLeader(ctx context.Context, level Level) (uint64, error) {
	if !n.hearsLeader() {
		return 0, n.noLeader(nil)
	}
	strong := 0
	if level == Strong {
		strong = 1
	}
	return n.questions[strong].ask(ctx, n.calls.start, func() (uint64, error) {
		// It is nobody's in particular, so no reader's context ends it.
		ctx, cancel := context.WithTimeout(n.asking, n.askLimit)
		defer cancel()
		_, id := n.raft.LeaderWithID()
		if id == "" || id == n.id {
			return 0, n.noLeader(nil)
		}
		_, index, err := n.peers.call(ctx, id, http.MethodGet, callIndex+"?level="+level.String(), nil)
		return index, err
	})
}

// awaitApplied waits until the catalog has everything up to index.
func (n *Node) awaitApplied(ctx context.Context, index uint64) error {
	// What moves raft alone is told by no channel, so look now and then.
	var tick *time.Ticker
	for {
		at, moved := n.fsm.watch()
		if at.index >= index || n.nothingBetween(at.index, index) {
			return nil
		}
		if err := n.stopped(); err != nil {
			return err
		}
		if tick == nil {
			tick = time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
		}
		select {
		case <-moved:
		case <-tick.C:
		case <-n.closing:
		case <-ctx.Done():
			return bundle.Errorf(bundle.KindUnavailable, "this node is behind: it has entry %d and needs %d; retry, or ask another one: %w",
				at.index, index, context.Cause(ctx))
		}
	}
}

// nothingBetween reports whether the log has no entry for the state machine
// after the one at from and up to to, all of them committed: a leader's first
// entry and barriers never reach the catalog, so its position need not reach to.
func (n *Node) nothingBetween(from, to uint64) bool {
	if n.raft.AppliedIndex() < to {
		return false
	}
	for i := from + 1; i <= to; i++ {
		var entry raft.Log
		if n.logs.GetLog(i, &entry) != nil || entry.Type == raft.LogCommand || entry.Type == raft.LogConfiguration {
			return false
		}
	}
	return true
}

// reached returns up to where the catalog has the log, which its position does
// not tell when what follows never reaches it.
func (n *Node) reached() uint64 {
	at, passed := n.fsm.position().index, n.raft.AppliedIndex()
	if at < passed && n.nothingBetween(at, passed) {
		return passed
	}
	return at
}

// awaitReady reports whether this node leads, and in which term, after waiting
// until its state is current if it does.
func (n *Node) awaitReady(ctx context.Context) (term uint64, leads bool, err error) {
	for {
		term, ready, changed := n.leadership.current()
		if err := n.stopped(); err != nil {
			return 0, false, err
		}
		switch {
		case n.raft.State() != raft.Leader, n.store.stalled():
			return 0, false, nil
		case ready && n.raft.CurrentTerm() == term: // and not of an earlier one, whose end is not known here yet
			return term, true, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, false, bundle.Errorf(bundle.KindUnavailable, "this node has just become the leader and is catching up; retry: %w", context.Cause(ctx))
		}
	}
}
