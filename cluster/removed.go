package cluster

import (
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// fieldMembers is the field of a refusal that says up to which entry of the log
// the node that refuses knows the members, the caller not being one of them.
const fieldMembers = "members"

// errRemoved says what to do with a node that was removed.
var errRemoved = bundle.Errorf(bundle.KindUnavailable,
	"this node was removed from its instance: ask another one, stop this one, and let it join again with an empty data folder if it shall come back")

// removal is what a node that hears of no leader was told by the others: a node
// that was down or cut off when it was removed has a log that still names it.
type removal struct {
	// told is the entry of the log with members without this node; 0: nobody
	// said so.
	told atomic.Uint64
}

// removed reports whether this node is known to be no member any more. Members
// that were agreed on later than what it was told of prove the opposite.
func (n *Node) removed() bool {
	told := n.removal.told.Load()
	return told > 0 && told >= n.fsm.position().confIndex && !n.hearsLeader() && n.raft.State() != raft.Leader
}

// watchMembership asks the members that this node knows whether it is one, for
// as long as it hears of no leader. Raft does not say: the leader stops sending
// to a node that it removes, often before that node has the entry, and one that
// was down never gets it.
func (n *Node) watchMembership() {
	ctx, cancel := contextUntil(n.closing)
	defer cancel()
	tick := time.NewTicker(n.askLimit)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if n.raft.State() == raft.Leader || n.hearsLeader() || n.removed() {
			continue
		}
		for _, m := range n.servers() {
			if m.ID == n.id {
				continue
			}
			_, err := n.healthOf(ctx, m.ID)
			at, ok := notMemberAt(err)
			if !ok || at < n.fsm.position().confIndex {
				continue
			}
			n.removal.told.Store(at)
			n.logger.Warn(errRemoved.Message, "node", n.id, "says", m.ID, "entry", at)
			break
		}
	}
}

// notMemberAt returns up to where a node knew the members that refused this one
// for being none.
func notMemberAt(err error) (uint64, bool) {
	if _, unsent := errors.AsType[unreached](err); unsent {
		return 0, false
	}
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok || e.Kind != bundle.KindForbidden {
		return 0, false
	}
	at, err := strconv.ParseUint(e.Fields[fieldMembers], 10, 64)
	return at, err == nil
}

// notMember refuses a caller that is no member. It names the entry of the log
// only if that is committed: what the leader of the moment wants may be undone.
func (n *Node) notMember(id string) error {
	err := bundle.Errorf(bundle.KindForbidden, "the caller is no member of this cluster; let it join")
	p := n.fsm.position()
	if p.confIndex == 0 {
		return err // this node is new itself
	}
	conf := raft.DecodeConfiguration(p.conf)
	if slices.ContainsFunc(conf.Servers, func(s raft.Server) bool { return string(s.ID) == id }) {
		return err
	}
	return err.With(fieldMembers, strconv.FormatUint(p.confIndex, 10))
}
