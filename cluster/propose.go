package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// enqueueTimeout bounds how long a proposal waits for raft to take it when the
// context has no deadline.
const enqueueTimeout = 10 * time.Second

// Propose puts a command into the log, through the leader wherever that is,
// waits until it is committed and applied on this node, and returns its result.
// A refusal by the catalog is in the Result, not an error.
//
// While there is no leader, or leadership changes hands, Propose tries again
// for a few election timeouts or until ctx ends, with the same request id: the
// catalog applies a request once.
//
// Errors are those of [catalog.Command.Encode] for what cannot be a command,
// else of KindUnavailable. The field "reason" = "level" says that the command
// is of a level that not all nodes understand yet, and was not proposed. With the field "outcome" = "unknown" the command may
// have been applied, or may yet be: propose it again with the same request id,
// and the catalog answers with the first result if there was one. Without that
// field it was not applied.
func (n *Node) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	if err := n.permitted(cmd); err != nil {
		return catalog.Result{}, err
	}
	data, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	result, err := n.proposeData(ctx, data)
	n.metrics.Proposal(proposalOutcome(result, err))
	return result, err
}

// proposeData proposes an encoded command, again while that is safe and of use.
func (n *Node) proposeData(ctx context.Context, data []byte) (catalog.Result, error) {
	patience := time.NewTimer(n.patience)
	defer patience.Stop()
	var doubt error // that an earlier attempt had an effect
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		result, err := n.proposeOnce(ctx, data)
		if err == nil {
			return result, nil
		}
		_, again := errors.AsType[elsewhere](err)
		if err = plain(err); !again {
			if !isUnknown(err) || n.stopped() != nil {
				return catalog.Result{}, cmp.Or(doubt, err)
			}
			doubt = err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
			continue
		case <-patience.C:
		case <-ctx.Done():
		case <-n.closing:
		}
		pause.Stop()
		return catalog.Result{}, cmp.Or(doubt, err)
	}
}

// proposeOnce proposes a command here or through the leader. The error is
// elsewhere if the command was certainly not applied and may be tried again.
func (n *Node) proposeOnce(ctx context.Context, data []byte) (catalog.Result, error) {
	if err := ctx.Err(); err != nil {
		return catalog.Result{}, bundle.Errorf(bundle.KindUnavailable, "the command was not proposed: %w", err)
	}
	if err := n.stopped(); err != nil {
		return catalog.Result{}, err
	}
	_, id := n.raft.LeaderWithID()
	if n.raft.State() == raft.Leader || id == "" || id == n.id {
		result, _, err := n.proposeHere(ctx, data)
		return result, err
	}
	result, err := n.forward(ctx, id, data)
	n.metrics.Forwarded(forwardOutcome(err))
	return result, err
}

// forward lets the leader propose a command. This node has applied it, too,
// when forward returns its result.
func (n *Node) forward(ctx context.Context, leader raft.ServerID, data []byte) (catalog.Result, error) {
	flying, end := n.flights.begin(ctx, leader)
	defer end()
	n.endFlights() // it may have been lost just before
	answer, index, err := n.peers.call(flying, leader, http.MethodPost, callPropose, data)
	if err != nil {
		return catalog.Result{}, forwardError(err)
	}
	result, err := catalog.DecodeResult(answer)
	if err == nil {
		err = n.awaitApplied(ctx, index)
	}
	if err != nil {
		return catalog.Result{}, outcomeUnknown(err)
	}
	return result, nil
}

func forwardError(err error) error {
	if _, ok := errors.AsType[elsewhere](err); ok {
		return err
	}
	if e, ok := errors.AsType[unreached](err); ok {
		return elsewhere{bundle.Errorf(bundle.KindUnavailable, "the leader could not be reached, and the command was not proposed; retry in a moment: %w", e)}
	}
	if _, ok := errors.AsType[*bundle.Error](err); ok {
		return err // the leader's own word
	}
	return outcomeUnknown(err)
}

// proposeHere proposes a command on this node, which must lead, and returns its
// result and index. The error is elsewhere if it does not.
func (n *Node) proposeHere(ctx context.Context, data []byte) (catalog.Result, uint64, error) {
	if n.raft.State() != raft.Leader {
		return catalog.Result{}, 0, elsewhere{n.notLeader()}
	}
	if n.store.stalled() {
		return catalog.Result{}, 0, elsewhere{errDiskStalled}
	}
	wait := enqueueTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Until(deadline), time.Millisecond)
	}
	type applied struct {
		response any
		index    uint64
	}
	flying, end := n.flights.begin(ctx, n.id)
	defer end()
	a, err, ended := call(flying, &n.calls, func() (applied, error) {
		future := n.raft.Apply(data, wait)
		if err := future.Error(); err != nil {
			return applied{}, err
		}
		return applied{future.Response(), future.Index()}, nil
	})
	if ended {
		return catalog.Result{}, 0, outcomeUnknown(fmt.Errorf("the wait for it ended: %w", err))
	}
	if err != nil {
		return catalog.Result{}, 0, n.proposalError(err)
	}
	switch r := a.response.(type) {
	case catalog.Result:
		return r, a.index, nil
	case error:
		// The entry is committed; this node could not apply it, others may.
		return catalog.Result{}, 0, outcomeUnknown(r)
	default:
		return catalog.Result{}, 0, outcomeUnknown(fmt.Errorf("raft answered with a %T", a.response))
	}
}

// proposalError tells what raft refused from what it lost sight of.
func (n *Node) proposalError(err error) error {
	switch {
	case bundle.IsKind(err, bundle.KindUnavailable): // refused by the callGroup
		return err
	case errors.Is(err, raft.ErrNotLeader):
		return elsewhere{n.notLeader()}
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return bundle.Errorf(bundle.KindUnavailable, "the leader is too busy to take the command; retry later: %w", err)
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return elsewhere{bundle.Errorf(bundle.KindUnavailable, "leadership is being handed over; retry in a moment: %w", err)}
	default:
		return outcomeUnknown(err)
	}
}

func outcomeUnknown(err error) error {
	return bundle.Errorf(bundle.KindUnavailable,
		"it is unknown whether the command took effect; send it again with the same request id: %w", err).
		With("outcome", "unknown")
}

func isUnknown(err error) bool {
	e, ok := errors.AsType[*bundle.Error](err)
	return ok && e.Fields["outcome"] == "unknown"
}

var errDiskStalled = bundle.Errorf(bundle.KindUnavailable,
	"the disk of this node does not answer, and another node is asked to lead; retry in a moment")

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
			"this node takes no part any more; mend the cause and start it again: %w", err)
	}
	if n.isClosing() {
		return errStopped
	}
	if n.removed() {
		return errRemoved
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
