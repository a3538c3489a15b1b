package blockstored

import (
	"context"
	"strings"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/replica"
	"github.com/blockstored/blockstored/rest"
)

// Invite implements [api.Peers].
func (i *Instance) Invite(
	ctx context.Context, name string, grants []api.Selector, addresses []string, expiresIn time.Duration,
) (api.Invitation, error) {
	selectors, err := readSelectors(grants)
	if err != nil {
		return api.Invitation{}, err
	}
	if expiresIn < 0 {
		return api.Invitation{}, bundle.Errorf(bundle.KindInvalid, "expires_in: Give seconds from now, or 0 for the default.")
	}
	made, err := peering{i}.Invite(ctx, rest.InviteRequest{
		Name: name, Grants: selectors, Addresses: addresses, TTL: expiresIn.Truncate(time.Second),
	})
	if err != nil {
		return api.Invitation{}, told(ctx, err)
	}
	return api.Invitation{Token: made.Token, ExpiresAt: made.Expires.UTC(), Warnings: append([]string{}, made.Warnings...)}, nil
}

// Invites implements [api.Peers].
func (i *Instance) Invites(ctx context.Context) ([]api.Invite, error) {
	out := []api.Invite{}
	err := i.view(ctx, func(s *state) error {
		invites, err := s.Invites()
		for _, in := range invites {
			out = append(out, api.Invite{
				ID: in.ID, Name: in.Name, CreatedAt: timeOf(in.Created), ExpiresAt: timeOf(in.Expires), Grants: showSelectors(in.Grants),
			})
		}
		return err
	})
	return out, err
}

// Accept implements [api.Peers].
func (i *Instance) Accept(ctx context.Context, token, as string, subscribe []api.Selector) (api.Accepted, error) {
	selectors, err := readSelectors(subscribe)
	if err != nil {
		return api.Accepted{}, err
	}
	a, err := peering{i}.Accept(ctx, rest.AcceptRequest{Token: strings.TrimSpace(token), As: as, Subscribe: selectors})
	if err != nil {
		return api.Accepted{}, told(ctx, err)
	}
	return api.Accepted{Peer: a.Peer, Name: a.Name, Grants: showSelectors(a.Grants), Subscriptions: showSelectors(a.Subscriptions)}, nil
}

// Peers implements [api.Peers].
func (i *Instance) Peers(ctx context.Context) ([]api.Peer, error) {
	out := []api.Peer{}
	err := i.view(ctx, func(s *state) error {
		peers, err := s.Peers()
		for _, p := range peers {
			out = append(out, showPeer(p))
		}
		return err
	})
	return out, err
}

// Peer implements [api.Peers].
func (i *Instance) Peer(ctx context.Context, peer string) (api.Peer, error) {
	p, err := i.findPeer(ctx, peer)
	if err != nil {
		return api.Peer{}, err
	}
	return showPeer(p), nil
}

func (i *Instance) findPeer(ctx context.Context, peer string) (p catalog.Peer, err error) {
	err = i.view(ctx, func(s *state) (err error) {
		p, err = access.FindPeer(s.View, peer)
		return err
	})
	return p, err
}

// onPeer proposes a change of a peer.
func (i *Instance) onPeer(ctx context.Context, method, peer string, change func(id bundle.ID) catalog.Body) error {
	p, err := i.findPeer(ctx, peer)
	if err != nil {
		return err
	}
	_, err = i.operate(ctx, method, p.ID.String(), change(p.ID))
	return err
}

// RemovePeer implements [api.Peers].
func (i *Instance) RemovePeer(ctx context.Context, peer string) error {
	return i.onPeer(ctx, "RemovePeer", peer, func(id bundle.ID) catalog.Body { return catalog.RemovePeer{Peer: id} })
}

// SetGrants implements [api.Peers].
func (i *Instance) SetGrants(ctx context.Context, peer string, grants []api.Selector) error {
	selectors, err := readSelectors(grants)
	if err != nil {
		return err
	}
	return i.onPeer(ctx, "SetGrants", peer, func(id bundle.ID) catalog.Body { return catalog.SetGrants{Peer: id, Grants: selectors} })
}

// Subscribe implements [api.Peers].
func (i *Instance) Subscribe(ctx context.Context, peer string, s api.Selector) error {
	selectors, err := readSelectors([]api.Selector{s})
	if err != nil {
		return err
	}
	return i.onPeer(ctx, "Subscribe", peer, func(id bundle.ID) catalog.Body { return catalog.Subscribe{Peer: id, Selector: selectors[0]} })
}

// Unsubscribe implements [api.Peers].
func (i *Instance) Unsubscribe(ctx context.Context, peer string, s api.Selector) error {
	selectors, err := readSelectors([]api.Selector{s})
	if err != nil {
		return err
	}
	return i.onPeer(ctx, "Unsubscribe", peer, func(id bundle.ID) catalog.Body { return catalog.Unsubscribe{Peer: id, Selector: selectors[0]} })
}

// ResumePeer implements [api.Peers].
func (i *Instance) ResumePeer(ctx context.Context, peer, alarm string) error {
	if alarm == "" || alarm == string(publog.AlarmRollback) {
		p, err := i.findPeer(ctx, peer)
		if err != nil {
			return err
		}
		if err := i.replica.AcceptRecovery(ctx, p.ID); err != nil {
			return told(ctx, err)
		}
	}
	return i.onPeer(ctx, "ResumePeer", peer, func(id bundle.ID) catalog.Body { return catalog.ClearAlarms{Peer: id, Alarm: alarm} })
}

// ReleaseBundle implements [api.Peers].
func (i *Instance) ReleaseBundle(ctx context.Context, peer string, b bundle.ID) error {
	p, err := i.findPeer(ctx, peer)
	if err != nil {
		return err
	}
	return told(ctx, i.replica.Release(ctx, p.ID, b))
}

// SyncStatus implements [api.Status].
func (i *Instance) SyncStatus(ctx context.Context) ([]api.PeerSync, error) {
	peers, err := i.replica.Status(ctx)
	if err != nil {
		return nil, told(ctx, err)
	}
	out := []api.PeerSync{}
	for _, p := range peers {
		out = append(out, showSync(p))
	}
	return out, nil
}

func showSync(p replica.PeerStatus) api.PeerSync {
	out := api.PeerSync{
		Peer: p.Peer, Name: p.Name, State: string(p.State), Cursor: p.Cursor, CheckpointSize: p.LogSize,
		CheckpointIssuedAt: setTime(p.CheckpointIssued), CheckpointAge: p.CheckpointAge,
		LagRecords: p.Behind, Lag: p.Lag, Bundles: p.Bundles, BytesReceived: p.WireReceived, BytesUseful: p.Useful,
		LastError: p.LastError, Alarms: []api.Alarm{}, Parked: []api.Parked{},
	}
	for _, a := range p.Alarms {
		out.Alarms = append(out.Alarms, api.Alarm{Alarm: a.Alarm, Detail: a.Detail, RaisedAt: a.Raised})
	}
	for _, b := range p.Parked {
		out.Parked = append(out.Parked, api.Parked{
			Bundle: b.Bundle, Held: b.Held, Reason: b.Reason, Detail: b.Detail, Since: b.Since, RetryAt: setTime(b.RetryAt), Attempts: b.Attempts,
		})
	}
	if g := p.Progress; g != nil {
		out.Progress = &api.PullProgress{
			Files: int64(g.FilesDone), FilesTotal: int64(g.Files), Bytes: g.BytesDone, BytesTotal: g.Bytes, BytesPerSecond: g.Rate,
		}
	}
	return out
}

func showPeer(p catalog.Peer) api.Peer {
	out := api.Peer{
		ID: p.ID, Name: p.Name, Addresses: append([]string{}, p.Addresses...), AddedAt: timeOf(p.Added),
		Grants: showSelectors(p.Grants), Subscriptions: showSelectors(p.Subscriptions),
		Cursor: p.Cursor, CheckpointSize: p.Size, CheckpointIssuedAt: anyTimeOf(p.Issued), VerifiedAt: anyTimeOf(p.Verified),
		Alarms: []api.Alarm{},
	}
	for _, a := range p.Alarms {
		out.Alarms = append(out.Alarms, api.Alarm{Alarm: a.Alarm, Detail: a.Detail, RaisedAt: timeOf(a.Raised)})
	}
	return out
}

func showSelectors(list []catalog.Selector) []api.Selector {
	out := make([]api.Selector, len(list))
	for k, s := range list {
		out[k] = api.Selector(s)
	}
	return out
}

// readSelectors returns selectors as the catalog has them, if they are any.
func readSelectors(list []api.Selector) ([]catalog.Selector, error) {
	out := make([]catalog.Selector, len(list))
	for k, s := range list {
		out[k] = catalog.Selector(s)
	}
	return out, access.CheckSelectors(out)
}

// setTime returns nil for the zero time.
func setTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
