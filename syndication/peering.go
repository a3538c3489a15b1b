package syndication

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// DefaultInviteTTL is how long an invitation is good for.
const DefaultInviteTTL = 30 * time.Minute

const maxInviteTTL = 30 * 24 * time.Hour

// PeeringConfig says who makes and takes invitations.
type PeeringConfig struct {
	Proposer Proposer
	Identity func() *Identity // the current one
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// AllowInsecure permits plain http beyond this machine.
	AllowInsecure bool
	// Transport replaces the network; nil for none.
	Transport http.RoundTripper
	// Observe is told of the exchanges; nil for nobody.
	Observe func(Transfer)
}

// Peering makes and takes invitations. It is safe for concurrent use.
type Peering struct{ cfg PeeringConfig }

// NewPeering returns a Peering.
func NewPeering(cfg PeeringConfig) *Peering {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Peering{cfg: cfg}
}

// InviteRequest describes an invitation to make.
type InviteRequest struct {
	Name      string             // the name the peer will have here
	Grants    []catalog.Selector // what it will be granted
	Addresses []string           // where the peer reaches this instance; see ClientConfig
	TTL       time.Duration      // 0 for DefaultInviteTTL
}

// Invitation is a token to hand over, once, in confidence.
type Invitation struct {
	Token    string
	Expires  time.Time
	Warnings []string // what may keep the peer from using it
}

// Invite makes a one-shot token: whoever brings it to this instance in time
// becomes a peer with those grants. Of its secret only the hash is kept.
func (p *Peering) Invite(ctx context.Context, req InviteRequest) (Invitation, error) {
	if req.TTL == 0 {
		req.TTL = DefaultInviteTTL
	}
	if err := checkInvite(req); err != nil {
		return Invitation{}, err
	}
	warnings, err := p.checkAddresses(req.Addresses)
	if err != nil {
		return Invitation{}, err
	}
	now, id := p.cfg.Now(), p.cfg.Identity()
	i := invitation{
		Issuer: id.ID(), Fingerprint: id.Descriptor().Fingerprint(), Addresses: req.Addresses,
		Expires: now.Add(req.TTL).Truncate(time.Second).UTC(),
	}
	rand.Read(i.Secret[:]) // never fails: crypto/rand
	token, err := i.token()
	if err != nil {
		return Invitation{}, err
	}
	result, err := p.cfg.Proposer.Propose(ctx, catalog.NewCommand(now, catalog.CreateInvite{
		ID: bundle.NewID(), Name: req.Name, SecretHash: i.secretHash(), Expires: i.Expires.UnixMicro(), Grants: req.Grants,
	}))
	if err != nil {
		return Invitation{}, fmt.Errorf("make an invitation: %w", err)
	}
	if result.Err != nil {
		return Invitation{}, result.Err
	}
	return Invitation{Token: token, Expires: i.Expires, Warnings: warnings}, nil
}

func checkInvite(req InviteRequest) error {
	switch {
	case req.Name == "":
		return bundle.Errorf(bundle.KindInvalid, "an invitation needs a name for the peer")
	case len(req.Grants) == 0 || len(req.Grants) > maxSelectors:
		return bundle.Errorf(bundle.KindInvalid, "say what the peer may see: grant all, collection=UUID or bundle=UUID")
	case req.TTL < time.Minute || req.TTL > maxInviteTTL:
		return bundle.Errorf(bundle.KindInvalid, "an invitation is good for between a minute and %s, not %s", maxInviteTTL, req.TTL)
	}
	return access.CheckSelectors(req.Grants)
}

// checkAddresses returns warnings about addresses that will not work for all.
func (p *Peering) checkAddresses(addresses []string) (warnings []string, err error) {
	if len(addresses) == 0 {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"the peer must be told where this instance is: give --address URL, or set peer.addresses in the configuration")
	}
	if len(addresses) > maxAddresses {
		return nil, bundle.Errorf(bundle.KindInvalid, "%d addresses; %d are enough", len(addresses), maxAddresses)
	}
	for _, s := range addresses {
		a, err := parseAddress(s)
		switch {
		case err != nil:
			return nil, err
		case a.isUnspecified():
			return nil, bundle.Errorf(bundle.KindInvalid, "%s is where to listen, not where to connect to; name this machine", a)
		case a.loopback():
			warnings = append(warnings, fmt.Sprintf("%s leads to this machine only: a peer elsewhere cannot use this invitation", a))
		case a.url.Scheme == "http":
			warnings = append(warnings, fmt.Sprintf("%s is plain http: the peer must set peer.allow_insecure, and content can be read on the way", a))
		}
	}
	return warnings, nil
}

// AcceptOptions say how the inviting instance is kept here.
type AcceptOptions struct {
	As        string             // its name here; "" for its own
	Subscribe []catalog.Selector // what to follow; none for all that is granted
}

// Accepted is a new peer.
type Accepted struct {
	Peer      bundle.ID
	Name      string
	Grants    []catalog.Selector // what it grants this instance
	Subscribe []catalog.Selector
}

// Accept takes an invitation: it fetches the inviting instance's descriptor,
// checks that its root key is the one the token names, shows it the token's
// secret and this instance's descriptor, and pins it. What was done of it when
// it fails can be repeated with the same token.
func (p *Peering) Accept(ctx context.Context, token string, opts AcceptOptions) (Accepted, error) {
	if err := access.CheckSelectors(opts.Subscribe); err != nil {
		return Accepted{}, err
	}
	i, err := parseInvitation(token)
	if err != nil {
		return Accepted{}, err
	}
	id := p.cfg.Identity()
	if i.Issuer == id.ID() {
		return Accepted{}, bundle.Errorf(bundle.KindInvalid, "this invitation was made by this instance; accept it at the other one")
	}
	client, err := NewClient(ClientConfig{
		Identity: id, Peer: i.Issuer, Addresses: i.Addresses, AllowInsecure: p.cfg.AllowInsecure,
		Transport: p.cfg.Transport, Now: p.cfg.Now, Observe: p.cfg.Observe,
	})
	if err != nil {
		return Accepted{}, err
	}
	defer client.Close()
	signed, d, err := meet(ctx, client, i)
	if err != nil {
		return Accepted{}, err
	}
	grants, err := client.accept(ctx, i, id.SignedDescriptor())
	if err != nil {
		return Accepted{}, p.explain(err, i)
	}
	a := Accepted{Peer: d.Instance, Name: opts.As, Grants: grants, Subscribe: opts.Subscribe}
	if a.Name == "" {
		a.Name = d.Name
	}
	if len(a.Subscribe) == 0 {
		a.Subscribe = []catalog.Selector{{Scope: access.ScopeAll}}
	}
	result, err := p.cfg.Proposer.Propose(ctx, catalog.NewCommand(p.cfg.Now(), catalog.AddPeer{
		Peer: a.Peer, Name: a.Name, Descriptor: signed, RootKey: d.RootKey, Addresses: i.Addresses, Subscribe: a.Subscribe,
	}))
	if err != nil {
		return Accepted{}, fmt.Errorf("add the peer: %w", err)
	}
	if result.Err != nil {
		return Accepted{}, result.Err
	}
	return a, nil
}

// meet fetches the descriptor of the inviting instance and checks that it is
// the one that made the invitation.
func meet(ctx context.Context, client *Client, i invitation) (signed []byte, d publog.Descriptor, err error) {
	if signed, err = client.Descriptor(ctx); err != nil {
		return nil, d, err
	}
	if d, err = publog.ParseDescriptor(signed); err != nil {
		return nil, d, bundle.Errorf(bundle.KindForbidden, "what answers at the invitation's address is not the inviting instance: %w", err)
	}
	if d.Instance != i.Issuer || d.Fingerprint() != i.Fingerprint {
		return nil, d, bundle.Errorf(bundle.KindForbidden,
			"the instance that answers, %s with root key %s, is not the one that made the invitation, %s with root key %s: "+
				"the address may lead to someone else; ask the operator there by other means", d.Instance, d.Fingerprint(), i.Issuer, i.Fingerprint)
	}
	if d.ProtocolMin > ProtocolVersion || d.ProtocolMax < ProtocolVersion {
		return nil, d, bundle.Errorf(bundle.KindInvalid, "%s speaks the peer protocols %d to %d, this program %d; upgrade the older one",
			d.Name, d.ProtocolMin, d.ProtocolMax, ProtocolVersion)
	}
	return signed, d, nil
}

// explain adds to a refusal that the invitation has run out, if it has.
func (p *Peering) explain(err error, i invitation) error {
	if !bundle.IsKind(err, bundle.KindForbidden) || p.cfg.Now().Before(i.Expires) {
		return err
	}
	return bundle.Errorf(bundle.KindForbidden, "the invitation expired at %s: ask for a new one with `peer invite` (%w)",
		i.Expires.Format(time.RFC3339), err)
}

// accept shows the secret and returns what was granted.
func (c *Client) accept(ctx context.Context, i invitation, descriptor []byte) ([]catalog.Selector, error) {
	body, err := marshal(acceptRequestWire{Format: wireFormat, Secret: i.Secret[:], Descriptor: descriptor})
	if err != nil {
		return nil, err
	}
	b, err := c.exchange(ctx, call{endpoint: "accept", method: http.MethodPost, body: body}, maxError)
	if err != nil {
		return nil, err
	}
	w, err := unmarshal[acceptAnswerWire](b)
	if err != nil {
		return nil, err
	}
	return selectorsFromWire(w.Grants)
}
