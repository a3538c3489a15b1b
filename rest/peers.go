package rest

import (
	"net/http"
	"strings"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/replica"
)

type peerView struct {
	ID               bundle.ID       `json:"id"`
	Name             string          `json:"name"`
	Addresses        []string        `json:"addresses"`
	Added            *time.Time      `json:"added_at"`
	Grants           []selector      `json:"grants"`
	Subscriptions    []selector      `json:"subscriptions"`
	Cursor           int64           `json:"cursor"`
	CheckpointSize   int64           `json:"checkpoint_size"`
	CheckpointIssued *time.Time      `json:"checkpoint_issued_at"`
	Verified         *time.Time      `json:"verified_at"`
	Alarms           []replica.Alarm `json:"alarms"`
}

func showPeer(p catalog.Peer) peerView {
	out := peerView{
		ID: p.ID, Name: p.Name, Addresses: append([]string{}, p.Addresses...), Added: timeOf(p.Added),
		Grants: showSelectors(p.Grants), Subscriptions: showSelectors(p.Subscriptions),
		Cursor: p.Cursor, CheckpointSize: p.Size, CheckpointIssued: timeOf(p.Issued), Verified: timeOf(p.Verified),
		Alarms: []replica.Alarm{},
	}
	for _, a := range p.Alarms {
		out.Alarms = append(out.Alarms, replica.Alarm{Alarm: a.Alarm, Detail: a.Detail, Raised: time.UnixMicro(a.Raised).UTC()})
	}
	return out
}

func listPeers(x *exchange) error {
	out := []peerView{}
	err := x.view(func(v *catalog.View) error {
		peers, err := v.Peers()
		for _, p := range peers {
			out = append(out, showPeer(p))
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.show(http.StatusOK, out)
}

// peer finds the peer that the path names, by its id or by its name here.
func (x *exchange) peer() (found catalog.Peer, err error) {
	err = x.view(func(v *catalog.View) (err error) {
		found, err = access.FindPeer(v, x.r.PathValue("peer"))
		return err
	})
	return found, err
}

func getPeer(x *exchange) error {
	p, err := x.peer()
	if err != nil {
		return err
	}
	return x.show(http.StatusOK, showPeer(p))
}

// onPeer proposes a change of the peer that the path names.
func (x *exchange) onPeer(change func(peer bundle.ID) catalog.Body) error {
	p, err := x.peer()
	if err != nil {
		return err
	}
	if err := x.propose(change(p.ID)); err != nil {
		return err
	}
	return x.done()
}

func removePeer(x *exchange) error {
	return x.onPeer(func(id bundle.ID) catalog.Body { return catalog.RemovePeer{Peer: id} })
}

func resumePeer(x *exchange) error {
	var in struct {
		Alarm  string     `json:"alarm"`
		Bundle *bundle.ID `json:"bundle"`
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	if in.Bundle == nil {
		return x.onPeer(func(id bundle.ID) catalog.Body { return catalog.ClearAlarms{Peer: id, Alarm: in.Alarm} })
	}
	if x.cfg.Release == nil {
		return unavailable("The following of peers")
	}
	p, err := x.peer()
	if err != nil {
		return err
	}
	if err := x.cfg.Release(x.r.Context(), p.ID, *in.Bundle); err != nil {
		return err
	}
	return x.done()
}

func setGrants(x *exchange) error {
	var in struct {
		Grants []selector `json:"grants"`
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	grants := readSelectors(in.Grants)
	if err := access.CheckSelectors(grants); err != nil {
		return err
	}
	return x.onPeer(func(id bundle.ID) catalog.Body { return catalog.SetGrants{Peer: id, Grants: grants} })
}

func subscribe(x *exchange) error {
	return x.changeSubscription(func(id bundle.ID, s catalog.Selector) catalog.Body {
		return catalog.Subscribe{Peer: id, Selector: s}
	})
}

func unsubscribe(x *exchange) error {
	return x.changeSubscription(func(id bundle.ID, s catalog.Selector) catalog.Body {
		return catalog.Unsubscribe{Peer: id, Selector: s}
	})
}

func (x *exchange) changeSubscription(change func(bundle.ID, catalog.Selector) catalog.Body) error {
	var in selector
	if err := x.decode(&in); err != nil {
		return err
	}
	selectors := readSelectors([]selector{in})
	if err := access.CheckSelectors(selectors); err != nil {
		return err
	}
	return x.onPeer(func(id bundle.ID) catalog.Body { return change(id, selectors[0]) })
}

func listInvites(x *exchange) error {
	type inviteView struct {
		ID      bundle.ID  `json:"id"`
		Name    string     `json:"name"`
		Created *time.Time `json:"created_at"`
		Expires *time.Time `json:"expires_at"`
		Grants  []selector `json:"grants"`
	}
	out := []inviteView{}
	err := x.view(func(v *catalog.View) error {
		invites, err := v.Invites()
		for _, i := range invites {
			out = append(out, inviteView{i.ID, i.Name, timeOf(i.Created), timeOf(i.Expires), showSelectors(i.Grants)})
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.show(http.StatusOK, out)
}

func invitePeer(x *exchange) error {
	var in struct {
		Name      string     `json:"name"`
		Grants    []selector `json:"grants"`
		Addresses []string   `json:"addresses"`
		ExpiresIn float64    `json:"expires_in"` // seconds
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	grants := readSelectors(in.Grants)
	if err := access.CheckSelectors(grants); err != nil {
		return err
	}
	ttl, err := lifetime(in.ExpiresIn)
	if err != nil {
		return err
	}
	if x.cfg.Peering == nil {
		return unavailable("Peering")
	}
	made, err := x.cfg.Peering.Invite(x.r.Context(), InviteRequest{
		Name: in.Name, Grants: grants, Addresses: in.Addresses, TTL: ttl,
	})
	if err != nil {
		return err
	}
	return x.show(http.StatusCreated, struct {
		Token    string    `json:"token"`
		Expires  time.Time `json:"expires_at"`
		Warnings []string  `json:"warnings"`
	}{made.Token, made.Expires.UTC(), append([]string{}, made.Warnings...)})
}

func acceptPeer(x *exchange) error {
	var in struct {
		Token     string     `json:"token"`
		As        string     `json:"as"`
		Subscribe []selector `json:"subscribe"`
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	selectors := readSelectors(in.Subscribe)
	if err := access.CheckSelectors(selectors); err != nil {
		return err
	}
	if x.cfg.Peering == nil {
		return unavailable("Peering")
	}
	got, err := x.cfg.Peering.Accept(x.r.Context(), AcceptRequest{Token: strings.TrimSpace(in.Token), As: in.As, Subscribe: selectors})
	if err != nil {
		return err
	}
	return x.show(http.StatusCreated, struct {
		Peer          bundle.ID  `json:"peer"`
		Name          string     `json:"name"`
		Grants        []selector `json:"grants"`
		Subscriptions []selector `json:"subscriptions"`
	}{got.Peer, got.Name, showSelectors(got.Grants), showSelectors(got.Subscriptions)})
}
