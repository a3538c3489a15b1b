package blockstored

import (
	"context"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/rest"
	"github.com/blockstored/blockstored/syndication"
)

// peering gives rest the invitations of syndication, which it must not know.
type peering struct{ i *Instance }

// Invite makes an invitation that names this site's addresses if req has none.
func (p peering) Invite(ctx context.Context, req rest.InviteRequest) (rest.Invitation, error) {
	if len(req.Addresses) == 0 {
		req.Addresses = p.i.endpoints()
	}
	if len(req.Addresses) == 0 {
		return rest.Invitation{}, bundle.Errorf(bundle.KindInvalid,
			"this site has no peer listener: set peer.listen, or say with --address where peers reach it")
	}
	in, err := p.i.peering.Invite(ctx, syndication.InviteRequest(req))
	return rest.Invitation(in), err
}

// Accept takes another site's invitation.
func (p peering) Accept(ctx context.Context, req rest.AcceptRequest) (rest.Accepted, error) {
	a, err := p.i.peering.Accept(ctx, req.Token, syndication.AcceptOptions{As: req.As, Subscribe: req.Subscribe})
	if err != nil {
		return rest.Accepted{}, err
	}
	return rest.Accepted{Peer: a.Peer, Name: a.Name, Grants: a.Grants, Subscriptions: a.Subscribe}, nil
}

// read waits until the catalog may be read at a level.
func (i *Instance) read(ctx context.Context, level string) (index uint64, stale bool, err error) {
	l, err := cluster.ParseLevel(level)
	if err != nil {
		return 0, false, err
	}
	return i.node.ReadBarrier(ctx, l)
}

// clusterStatus describes this node and the others it knows.
func (i *Instance) clusterStatus(context.Context) (rest.ClusterStatus, error) {
	s := i.node.Stats()
	out := rest.ClusterStatus{
		Node: s.ID, State: s.Role, Leader: s.Leader, Term: s.Term,
		CommitIndex: s.Commit, AppliedIndex: s.Applied, LogEntries: s.LogEntries,
	}
	for _, m := range s.Members {
		out.Members = append(out.Members, rest.ClusterMember{ID: m.ID, Address: m.Address, Voter: m.Voter})
	}
	return out, nil
}
