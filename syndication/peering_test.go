package syndication

import (
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

func TestAnAcceptedInvitationMakesPeersOfBoth(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	a.peerWith(b, all)
	a.view(func(v *catalog.View) {
		p, err := v.Peer(b.identity.ID())
		if err != nil || p.Name != "peer" || len(p.Grants) != 1 || p.Grants[0] != all {
			t.Errorf("the guest: %+v, %v", p, err)
		}
	})
	b.view(func(v *catalog.View) {
		p, err := v.Peer(a.identity.ID())
		if err != nil || p.Name != "publisher" || len(p.Subscriptions) != 1 || p.Addresses[0] != a.url {
			t.Errorf("the host: %+v, %v", p, err)
		}
		if k, err := KnownOf(p); err != nil || k.Instance != a.identity.ID() || len(k.Keys) != 1 || k.Checkpoint != (publog.Checkpoint{}) {
			t.Errorf("known: %+v, %v", k, err)
		}
	})
}

func TestAnInvitationIsForOneInstanceAndForAWhile(t *testing.T) {
	a, b, c := newSite(t, "north"), newSite(t, "south"), newSite(t, "west")
	invite := func() string {
		i, err := a.peering.Invite(t.Context(), InviteRequest{Name: bundle.NewID().String(), Grants: []catalog.Selector{all}, Addresses: []string{a.url}})
		if err != nil {
			t.Fatal(err)
		}
		return i.Token
	}
	token := invite()
	for range 2 { // a repeated acceptance is the same success
		if _, err := b.peering.Accept(t.Context(), token, AcceptOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.peering.Accept(t.Context(), token, AcceptOptions{}); !bundle.IsKind(err, bundle.KindForbidden) || !strings.Contains(err.Error(), "new one") {
		t.Errorf("used by another: %v", err)
	}
	if _, err := a.peering.Accept(t.Context(), invite(), AcceptOptions{}); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("by its maker: %v", err)
	}
	token = invite()
	a.clock.advance(DefaultInviteTTL + time.Minute)
	c.clock.advance(DefaultInviteTTL + time.Minute)
	if _, err := c.peering.Accept(t.Context(), token, AcceptOptions{}); !bundle.IsKind(err, bundle.KindForbidden) || !strings.Contains(err.Error(), "new one") {
		t.Errorf("expired: %v", err)
	}
}

func TestAnInvitationIsHeldAgainstWhoAnswers(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	made, err := a.peering.Invite(t.Context(), InviteRequest{Name: "x", Grants: []catalog.Selector{all}, Addresses: []string{a.url}})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Warnings) != 1 {
		t.Errorf("a loopback address without a warning: %q", made.Warnings)
	}
	change := func(f func(i *invitation)) string {
		i, err := parseInvitation(made.Token)
		if err != nil {
			t.Fatal(err)
		}
		f(&i)
		token, err := i.token()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	tests := []struct {
		name, token string
		kind        bundle.Kind
	}{
		{"fingerprint", change(func(i *invitation) { i.Fingerprint[0] ^= 1 }), bundle.KindForbidden},
		{"issuer", change(func(i *invitation) { i.Issuer = bundle.NewID() }), bundle.KindForbidden},
		{"secret", change(func(i *invitation) { i.Secret[0] ^= 1 }), bundle.KindForbidden},
		{"address of another", change(func(i *invitation) { i.Addresses = []string{b.url} }), bundle.KindForbidden},
		{"dead address", change(func(i *invitation) { i.Addresses = []string{"http://127.0.0.1:1"} }), bundle.KindUnavailable},
		{"plain http", change(func(i *invitation) { i.Addresses = []string{"http://north.example.org"} }), bundle.KindForbidden},
		{"garbage", "bsp1_xyz", bundle.KindInvalid},
	}
	for _, tt := range tests {
		if _, err := b.peering.Accept(t.Context(), tt.token, AcceptOptions{}); !bundle.IsKind(err, tt.kind) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	b.view(func(v *catalog.View) {
		if peers, err := v.Peers(); err != nil || len(peers) != 0 {
			t.Errorf("pinned all the same: %v, %v", peers, err)
		}
	})
}

func TestInvitationsThatCannotWorkAreRefused(t *testing.T) {
	a := newSite(t, "north")
	good := InviteRequest{Name: "x", Grants: []catalog.Selector{all}, Addresses: []string{a.url}}
	for name, change := range map[string]func(r *InviteRequest){
		"no name":           func(r *InviteRequest) { r.Name = "" },
		"no grants":         func(r *InviteRequest) { r.Grants = nil },
		"unknown scope":     func(r *InviteRequest) { r.Grants = []catalog.Selector{{Scope: "some"}} },
		"no address":        func(r *InviteRequest) { r.Addresses = nil },
		"listening address": func(r *InviteRequest) { r.Addresses = []string{"http://0.0.0.0:18251"} },
		"no URL":            func(r *InviteRequest) { r.Addresses = []string{"north"} },
		"for ever":          func(r *InviteRequest) { r.TTL = 10 * maxInviteTTL },
	} {
		r := good
		change(&r)
		if _, err := a.peering.Invite(t.Context(), r); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentityIsDescribedAnewAndStaysTheSame(t *testing.T) {
	a := newSite(t, "north")
	if _, changed, err := a.identity.Describe("north", []string{a.url}, a.clock.Now()); err != nil || changed {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
	cmd, changed, err := a.identity.Describe("north 2", []string{"https://north.example.org"}, a.clock.Now())
	if err != nil || !changed {
		t.Fatalf("%v, %v", changed, err)
	}
	a.propose(cmd)
	d, err := publog.ParseDescriptor(cmd.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	if err := publog.CheckSuccession(a.identity.Descriptor(), d); err != nil {
		t.Error(err)
	}
	a.view(func(v *catalog.View) {
		again, err := LoadIdentity(v, a.sealer)
		if err != nil || again.Descriptor().Name != "north 2" || again.ID() != a.identity.ID() {
			t.Errorf("%+v, %v", again, err)
		}
	})
}
