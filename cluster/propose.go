package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// enqueueTimeout bounds how long a proposal waits for raft to take it when the
// context has no deadline.
const enqueueTimeout = 10 * time.Second

// Propose puts a command into the log, waits until it is committed and applied
// on this node, and returns its result. A refusal by the catalog is in the
// Result, not an error.
//
// Errors are those of [catalog.Command.Encode] for what cannot be a command,
// else of KindUnavailable. With the field "outcome" = "unknown" the command may have
// been applied, or may yet be: propose it again with the same request id, and
// the catalog answers with the first result if there was one. Without that
// field it was not applied. With the field "leader" another node leads, which
// the field names.
func (n *Node) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	data, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	return n.proposeData(ctx, data)
}

// proposeData proposes an encoded command.
func (n *Node) proposeData(ctx context.Context, data []byte) (catalog.Result, error) {
	if err := ctx.Err(); err != nil {
		return catalog.Result{}, bundle.Errorf(bundle.KindUnavailable, "the command was not proposed: %w", err)
	}
	if err := n.stopped(); err != nil {
		return catalog.Result{}, err
	}
	if n.raft.State() != raft.Leader {
		return catalog.Result{}, n.notLeader()
	}
	wait := enqueueTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Until(deadline), time.Millisecond)
	}
	response, err, ended := call(ctx, &n.calls, func() (any, error) {
		future := n.raft.Apply(data, wait)
		if err := future.Error(); err != nil {
			return nil, err
		}
		return future.Response(), nil
	})
	if ended {
		return catalog.Result{}, outcomeUnknown(fmt.Errorf("the wait for it ended: %w", err))
	}
	if err != nil {
		return catalog.Result{}, n.proposalError(err)
	}
	switch r := response.(type) {
	case catalog.Result:
		return r, nil
	case error:
		// The entry is committed; this node could not apply it, others may.
		return catalog.Result{}, outcomeUnknown(r)
	default:
		return catalog.Result{}, outcomeUnknown(fmt.Errorf("raft answered with a %T", response))
	}
}

// proposalError tells what raft refused from what it lost sight of.
func (n *Node) proposalError(err error) error {
	switch {
	case bundle.IsKind(err, bundle.KindUnavailable): // refused by the callGroup
		return err
	case errors.Is(err, raft.ErrNotLeader):
		return n.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return bundle.Errorf(bundle.KindUnavailable, "the leader is too busy to take the command; retry later: %w", err)
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return bundle.Errorf(bundle.KindUnavailable, "leadership is being handed over; retry in a moment: %w", err)
	default:
		return outcomeUnknown(err)
	}
}

func outcomeUnknown(err error) error {
	return bundle.Errorf(bundle.KindUnavailable,
		"it is unknown whether the command took effect; send it again with the same request id: %w", err).
		With("outcome", "unknown")
}

// notLeader names the leader, if one is known.
func (n *Node) notLeader() error {
	addr, id := n.raft.LeaderWithID()
	if id == "" || id == n.id {
		return n.noLeader(nil)
	}
	return bundle.Errorf(bundle.KindUnavailable, "node %s does not lead; %s at %s does: ask there", n.id, id, addr).
		With("leader", string(id)).With("leader_address", string(addr))
}

func (n *Node) noLeader(cause error) error {
	const message = "the cluster has no leader now; retry in a moment, and if that lasts, see that most of its nodes run and reach each other"
	if cause != nil {
		return bundle.Errorf(bundle.KindUnavailable, message+": %w", cause)
	}
	return bundle.Errorf(bundle.KindUnavailable, message)
}

// stopped says why this node takes no part any more, or nil.
func (n *Node) stopped() error {
	if err := n.fsm.failed(); err != nil {
		return bundle.Errorf(bundle.KindUnavailable,
			"this node stopped after a fault of its disk; mend the cause and start it again: %w", err)
	}
	if n.isClosing() {
		return errStopped
	}
	return nil
}

func (n *Node) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}
