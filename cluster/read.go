package cluster

import (
	"context"
	"errors"

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

// String returns the level's name on the wire.
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
// be had and the read is as Local. Errors have KindUnavailable.
//
// A leader need not wait for its own commits: Propose answers after the entry
// is applied here, so what it acknowledged is in the catalog, and what earlier
// leaders acknowledged is there before this one counts as ready.
func (n *Node) ReadBarrier(ctx context.Context, level Level) (index uint64, stale bool, err error) {
	if level == Local {
		return n.fsm.position().index, false, nil
	}
	leads, err := n.awaitReady(ctx)
	if err != nil {
		return 0, false, err
	}
	if level == Consistent {
		return n.fsm.position().index, !leads, nil
	}
	if !leads {
		return 0, false, n.notLeader()
	}
	_, err, ended := call(ctx, &n.calls, func() (struct{}, error) {
		return struct{}{}, n.raft.VerifyLeader().Error()
	})
	switch {
	case err == nil:
		return n.fsm.position().index, false, nil
	case ended:
		return 0, false, bundle.Errorf(bundle.KindUnavailable, "the read was not confirmed by a quorum: %w", err)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return 0, false, n.notLeader()
	case bundle.IsKind(err, bundle.KindUnavailable):
		return 0, false, err
	default:
		return 0, false, bundle.Errorf(bundle.KindUnavailable, "the read was not confirmed by a quorum: %w", err)
	}
}

// awaitReady reports whether this node leads, after waiting until its state is
// current if it does.
func (n *Node) awaitReady(ctx context.Context) (leads bool, err error) {
	for {
		leading, ready, changed := n.leadership.current()
		if err := n.stopped(); err != nil {
			return false, err
		}
		switch {
		case n.raft.State() != raft.Leader:
			return false, nil
		case leading && ready:
			return true, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, bundle.Errorf(bundle.KindUnavailable, "this node has just become the leader and is catching up; retry: %w", context.Cause(ctx))
		}
	}
}
