package blockstored

import (
	"context"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/rest"
	"github.com/blockstored/blockstored/syndication"
)

// peering gives rest the invitations of syndication, which it must not know.
type peering struct{ i *Instance }

// Invite makes an invitation that names this site's addresses if req has none.
func (p peering) Invite(ctx context.Context, req rest.InviteRequest) (rest.Invitation, error) {
	if err := p.i.loadIdentity(ctx); err != nil { // another node may have changed it
		return rest.Invitation{}, err
	}
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
	if err := p.i.loadIdentity(ctx); err != nil {
		return rest.Accepted{}, err
	}
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

// current waits until a change can be decided on what the catalog shows.
func (i *Instance) current(ctx context.Context) (index uint64, err error) {
	index, _, err = i.node.ReadBarrier(ctx, cluster.Current)
	return index, err
}

// clusterStatus describes this node and the others it knows.
func (i *Instance) clusterStatus(ctx context.Context) (rest.ClusterStatus, error) {
	s := i.node.Stats()
	out := rest.ClusterStatus{
		Node: s.ID, State: s.Role, Leader: s.Leader, Term: s.Term,
		CommitIndex: s.Commit, AppliedIndex: s.Applied, LogEntries: s.LogEntries, Level: s.Level,
	}
	for _, m := range i.node.Nodes(ctx) {
		one := rest.ClusterNode{
			ID: m.ID, Name: m.Name, Address: m.Address, Voter: m.Voter, Leader: m.Leader,
			Answers: m.Answers, Role: m.Role, Term: m.Term, CommitIndex: m.Commit, AppliedIndex: m.Applied, Lag: m.Lag,
			DiskStalled: m.Stalled, Unready: append([]string{}, m.Unready...), Version: m.Version, Level: m.Level,
		}
		if m.Copy != nil {
			one.CopyBytes, one.CopyTotal = m.Copy.Bytes, m.Copy.Total
		}
		if m.Answers && m.LastContact >= 0 {
			heard := m.LastContact.Seconds()
			one.LastContact = &heard
		}
		out.Nodes = append(out.Nodes, one)
	}
	return out, nil
}

// nodes gives rest the instance's nodes, which it must not know.
type nodes struct{ i *Instance }

// Invite makes a token with which a node joins.
func (n nodes) Invite(ctx context.Context, expiresIn time.Duration) (rest.NodeInvitation, error) {
	in, err := n.i.InviteNode(ctx, expiresIn)
	return rest.NodeInvitation(in), err
}

// Remove takes a node out.
func (n nodes) Remove(ctx context.Context, node string) error { return n.i.RemoveNode(ctx, node) }

// AddVoter gives a node a vote at once.
func (n nodes) AddVoter(ctx context.Context, node string) error { return n.i.AddVoter(ctx, node) }

// TransferLeadership makes another node lead.
func (n nodes) TransferLeadership(ctx context.Context, node string) error {
	return n.i.TransferLeadership(ctx, node)
}
