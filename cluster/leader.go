package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Leader is a node in one term in which it leads: what it proposes reaches the
// log through that node in that term, or not at all. [Node.WhileLeader] gives it
// to the leader's work, which is the only one that may use it. The zero Leader
// is of no use.
type Leader struct {
	node *Node
	term uint64
}

// Term returns the term in which the node leads.
func (l Leader) Term() uint64 { return l.term }

// Propose puts a command that this leader decided into the log, waits until it
// is committed and applied on this node, and returns its result. It is never
// passed on to another node. The command carries the term: should the node have
// been deposed and lead again when the entry is made, the catalog refuses it
// with KindConflict and the field "reason" = "deposed" in the Result. While
// level 1 is in force commands have no room for the term, and only this node
// watches over it.
//
// Errors are those of [Node.Propose]; one of KindUnavailable with the field
// "reason" = "deposed" says that the node does not lead in that term any more
// and that the command was not proposed.
func (l Leader) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	if l.node.usable(cmd) >= catalog.TermLevel {
		cmd.Term = l.term
	}
	if err := l.node.permitted(cmd); err != nil {
		return catalog.Result{}, err
	}
	data, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	return l.proposeData(ctx, data)
}

// proposeData proposes an encoded command, again for as long as the node leads
// in the term and certainly nothing was done.
func (l Leader) proposeData(ctx context.Context, data []byte) (catalog.Result, error) {
	patience := time.NewTimer(l.node.patience)
	defer patience.Stop()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return catalog.Result{}, bundle.Errorf(bundle.KindUnavailable, "the command was not proposed: %w", err)
		}
		if err := l.node.stopped(); err != nil {
			return catalog.Result{}, err
		}
		if err := l.leads(); err != nil {
			return catalog.Result{}, err
		}
		result, _, err := l.node.proposeHere(ctx, data)
		if err == nil {
			return result, nil
		}
		_, again := errors.AsType[elsewhere](err)
		if err = plain(err); !again {
			return catalog.Result{}, err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
			continue
		case <-patience.C:
		case <-ctx.Done():
		case <-l.node.closing:
		}
		pause.Stop()
		return catalog.Result{}, err
	}
}

// leads returns nil while the node leads in the term.
func (l Leader) leads() error {
	if l.node.raft.State() == raft.Leader && l.node.raft.CurrentTerm() == l.term {
		return nil
	}
	return bundle.Errorf(bundle.KindUnavailable,
		"node %s does not lead in term %d any more: the leader of now decides", l.node.id, l.term).With("reason", "deposed")
}
