package apitest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// patience bounds the wait for what happens by itself.
const patience = 30 * time.Second

// RunOperator holds two instances to the contract of [api.Operator]: fresh ones
// that listen for each other. What one cannot show of the other is left out.
func RunOperator(t *testing.T, north, south api.Operator) {
	for _, one := range []struct {
		name string
		test func(*operators)
	}{
		{"an instance says who and how it is", (*operators).status},
		{"objects have the UUIDs that operators choose", (*operators).chosen},
		{"an instance on a folder has one node", (*operators).oneNode},
		{"tokens are made, adopted and revoked", (*operators).tokens},
		{"a token asked for again with its key is not shown again", (*operators).repeats},
		{"what cannot be a peer is refused", (*operators).strangers},
		{"a peer is invited, governed, followed and removed", (*operators).peers},
	} {
		t.Run(one.name, func(t *testing.T) { one.test(&operators{suite{t: t}, north, south}) })
	}
}

// operators is one test of two instances.
type operators struct {
	suite
	north, south api.Operator
}

func (o *operators) status() {
	s, err := o.north.Status(o.ctx())
	o.must(err)
	if s.Instance.ID == (bundle.ID{}) || s.Instance.Name == "" || s.Instance.Generation != 1 || s.Instance.CreatedAt.IsZero() ||
		s.Instance.Version == "" || s.Instance.Revision == "" || s.CatalogBytes == 0 || s.Counts.Bundles == nil {
		o.t.Errorf("status %+v", s)
	}
	c, err := o.north.ClusterStatus(o.ctx())
	o.must(err)
	if c.State != "leader" || c.Node == "" || c.Node != c.Leader || len(c.Nodes) != 1 || !c.Nodes[0].Voter || !c.Nodes[0].Leader || !c.Nodes[0].Answers || c.AppliedIndex == 0 || c.Level == 0 || c.Nodes[0].Level < c.Level {
		o.t.Errorf("cluster %+v", c)
	}
	equal(&o.suite, "the node", s.Cluster.Node, c.Node)
	empty, err := o.north.CatalogDigest(o.ctx())
	o.must(err)
	before := s.Counts.Collections
	_, err = o.north.CreateCollectionWithID(o.ctx(), bundle.NewID(), "counted")
	o.must(err)
	s, err = o.north.Status(o.ctx())
	o.must(err)
	equal(&o.suite, "collections", s.Counts.Collections, before+1)
	d, err := o.north.CatalogDigest(o.ctx())
	o.must(err)
	if d.AppliedIndex <= empty.AppliedIndex || d.LogSize < empty.LogSize || d.Digest.IsZero() || d.Digest == empty.Digest || d.LogRoot.IsZero() {
		o.t.Errorf("digest %+v, before %+v", d, empty)
	}
}

func (o *operators) oneNode() {
	c, err := o.north.ClusterStatus(o.ctx())
	o.must(err)
	_, err = o.north.InviteNode(o.ctx(), 0)
	o.kind("an invitation to files that nobody else reaches", err, bundle.KindInvalid)
	o.kind("the removal of the only node", o.north.RemoveNode(o.ctx(), c.Node), bundle.KindInvalid)
	o.kind("the removal of the only node, by its name", o.north.RemoveNode(o.ctx(), c.Nodes[0].Name), bundle.KindInvalid)
	o.kind("the removal of no node", o.north.RemoveNode(o.ctx(), "nobody"), bundle.KindNotFound)
	o.kind("a vote for no node", o.north.AddVoter(o.ctx(), "nobody"), bundle.KindNotFound)
	o.kind("leadership of no node", o.north.TransferLeadership(o.ctx(), "nobody"), bundle.KindNotFound)
	o.kind("leadership of any other node", o.north.TransferLeadership(o.ctx(), ""), bundle.KindInvalid)
	o.must(o.north.AddVoter(o.ctx(), c.Node))
	o.must(o.north.TransferLeadership(o.ctx(), c.Node))
}

func (o *operators) chosen() {
	id, other := bundle.NewID(), bundle.NewID()
	c, err := o.north.CreateCollectionWithID(o.ctx(), id, "Chosen")
	o.must(err)
	if c.ID != id || c.Title != "Chosen" || c.ReadOnly {
		o.t.Errorf("made %+v", c)
	}
	b, err := o.north.CreateBundleWithID(o.ctx(), other, api.NewBundle{Collection: id, Title: "B", Slug: "b"})
	o.must(err)
	if b.ID != other || b.Collection != id || b.Revision == 0 {
		o.t.Errorf("made %+v", b)
	}
	_, err = o.north.CreateCollectionWithID(o.ctx(), id, "again")
	o.kind("a collection of a used UUID", err, bundle.KindConflict)
	_, err = o.north.CreateBundleWithID(o.ctx(), other, api.NewBundle{Collection: id, Title: "B", Slug: "b"})
	o.kind("a bundle of a used UUID", err, bundle.KindConflict)
	_, err = o.north.CreateCollectionWithID(o.ctx(), bundle.ID{1}, "x")
	o.kind("a UUID that is not random", err, bundle.KindInvalid)
	_, err = o.north.CreateBundleWithID(o.ctx(), bundle.NewID(), api.NewBundle{Collection: bundle.NewID(), Title: "B", Slug: "b"})
	o.kind("a bundle of no collection", err, bundle.KindInvalid)
}

// token returns the newest token of that name.
func (o *operators) token(name string) (found api.Token) {
	o.t.Helper()
	list, err := o.north.Tokens(o.ctx())
	o.must(err)
	for _, t := range list {
		if t.Name == name {
			found = t
		}
	}
	return found
}

func (o *operators) tokens() {
	made, err := o.north.CreateToken(o.ctx(), "lms", "writer", time.Hour+time.Millisecond)
	o.must(err)
	if made.Name != "lms" || made.Role != "writer" || !strings.HasPrefix(made.Token, "bst_") || made.ExpiresAt == nil {
		o.t.Errorf("made %+v", made)
	}
	shown := o.token("lms")
	if shown.Role != "writer" || shown.State != "live" || shown.CreatedAt.IsZero() || shown.RevokedAt != nil || shown.LastUsedAt != nil ||
		shown.ExpiresAt == nil || !shown.ExpiresAt.Equal(*made.ExpiresAt) {
		o.t.Errorf("shown %+v", shown)
	}
	_, err = o.north.CreateToken(o.ctx(), "lms", "writer", 0)
	o.kind("a second token of a name", err, bundle.KindConflict)

	key := "a-key-of-the-site-from-before-" + bundle.NewID().String()
	o.must(o.north.AdoptToken(o.ctx(), "studio", "reader", key, 0))
	if t := o.token("studio"); t.State != "live" || t.ExpiresAt != nil {
		o.t.Errorf("adopted %+v", t)
	}
	o.kind("a second token of a key", o.north.AdoptToken(o.ctx(), "other", "reader", key, 0), bundle.KindConflict)
	for what, bad := range map[string]string{"short": "short", "empty": "", "with blanks": key + " " + key} {
		o.kind("a key that is "+what, o.north.AdoptToken(o.ctx(), "bad", "reader", bad, 0), bundle.KindInvalid)
	}
	_, err = o.north.CreateToken(o.ctx(), "", "king", -time.Hour)
	o.kind("a token of nothing right", err, bundle.KindInvalid)
	for _, field := range []string{"name: ", "role: ", "expires_in: "} {
		if err == nil || !strings.Contains(err.Error(), field) {
			o.t.Errorf("%v does not say what is wrong with %s", err, field)
		}
	}

	o.must(o.north.RevokeToken(o.ctx(), "lms"))
	if t := o.token("lms"); t.State != "revoked" || t.RevokedAt == nil {
		o.t.Errorf("revoked %+v", t)
	}
	o.kind("a token revoked twice", o.north.RevokeToken(o.ctx(), "lms"), bundle.KindNotFound)
	o.must(o.north.RevokeToken(o.ctx(), "studio"))
	o.kind("a key that was revoked", o.north.AdoptToken(o.ctx(), "studio", "reader", key, 0), bundle.KindConflict)
}

func (o *operators) repeats() {
	ctx := api.WithIdempotencyKey(o.ctx(), bundle.NewID().String())
	_, err := o.north.CreateToken(ctx, "once", "reader", 0)
	o.must(err)
	_, err = o.north.CreateToken(ctx, "once", "reader", 0)
	o.kind("a token asked for again", err, bundle.KindConflict)
	o.must(o.north.RevokeToken(o.ctx(), "once"))

	ctx = api.WithIdempotencyKey(o.ctx(), bundle.NewID().String())
	key := "a-key-of-the-site-from-before-" + bundle.NewID().String()
	o.must(o.north.AdoptToken(ctx, "adopted", "reader", key, 0))
	o.must(o.north.AdoptToken(ctx, "adopted", "reader", key, 0))
	o.must(o.north.RevokeToken(o.ctx(), "adopted"))
}

func (o *operators) strangers() {
	everything := api.Selector{Scope: "everything"}
	_, err := o.north.Invite(o.ctx(), "x", []api.Selector{everything}, nil, 0)
	o.kind("a grant of no scope", err, bundle.KindInvalid)
	_, err = o.north.Invite(o.ctx(), "x", []api.Selector{{Scope: "all"}}, nil, -time.Hour)
	o.kind("an invitation that has ended", err, bundle.KindInvalid)
	_, err = o.north.Accept(o.ctx(), "bsp1_junk", "", nil)
	o.kind("an invitation that is none", err, bundle.KindInvalid)
	for what, call := range map[string]func(peer string) error{
		"show":        func(peer string) error { _, err := o.north.Peer(o.ctx(), peer); return err },
		"remove":      func(peer string) error { return o.north.RemovePeer(o.ctx(), peer) },
		"grant":       func(peer string) error { return o.north.SetGrants(o.ctx(), peer, []api.Selector{{Scope: "all"}}) },
		"subscribe":   func(peer string) error { return o.north.Subscribe(o.ctx(), peer, api.Selector{Scope: "all"}) },
		"unsubscribe": func(peer string) error { return o.north.Unsubscribe(o.ctx(), peer, api.Selector{Scope: "all"}) },
		"resume":      func(peer string) error { return o.north.ResumePeer(o.ctx(), peer, "") },
		"release":     func(peer string) error { return o.north.ReleaseBundle(o.ctx(), peer, bundle.NewID()) },
	} {
		for _, peer := range []string{"nobody", "no body/?", bundle.NewID().String()} {
			o.kind(what+" "+peer, call(peer), bundle.KindNotFound)
		}
	}
}

func (o *operators) peers() {
	collection, other := bundle.NewID(), bundle.NewID()
	for _, id := range []bundle.ID{collection, other} {
		_, err := o.north.CreateCollectionWithID(o.ctx(), id, "Followed")
		o.must(err)
	}
	all, one := api.Selector{Scope: "all"}, api.Selector{Scope: "collection", Target: collection}
	in, err := o.north.Invite(o.ctx(), "South", []api.Selector{all}, nil, time.Hour)
	o.must(err)
	if in.Token == "" || in.Warnings == nil || !in.ExpiresAt.After(time.Now()) {
		o.t.Errorf("invited %+v", in)
	}
	open, err := o.north.Invites(o.ctx())
	o.must(err)
	if len(open) != 1 || open[0].Name != "South" || !slices.Equal(open[0].Grants, []api.Selector{all}) || !open[0].ExpiresAt.Equal(in.ExpiresAt) {
		o.t.Errorf("invitations %+v", open)
	}
	accepted, err := o.south.Accept(o.ctx(), " "+in.Token+"\n", "North", []api.Selector{one})
	o.must(err)
	north, err := o.north.Status(o.ctx())
	o.must(err)
	if accepted.Peer != north.Instance.ID || accepted.Name != "North" || !slices.Equal(accepted.Subscriptions, []api.Selector{one}) ||
		!slices.Equal(accepted.Grants, []api.Selector{all}) {
		o.t.Errorf("accepted %+v", accepted)
	}
	open, err = o.north.Invites(o.ctx())
	o.must(err)
	equal(&o.suite, "invitations that nobody took", len(open), 0)

	o.govern()
	o.follow(accepted.Peer, one)
	o.must(o.south.RemovePeer(o.ctx(), accepted.Peer.String()))
	list, err := o.south.Peers(o.ctx())
	o.must(err)
	equal(&o.suite, "peers after all", len(list), 0)
}

// govern changes what south may see, from the side of north.
func (o *operators) govern() {
	grants := []api.Selector{{Scope: "bundle", Target: bundle.NewID()}, {Scope: "all"}}
	o.must(o.north.SetGrants(o.ctx(), "sOUTH", grants))
	p, err := o.north.Peer(o.ctx(), "south")
	o.must(err)
	if p.Name != "South" || !slices.Equal(p.Grants, grants) || p.AddedAt.IsZero() || p.Subscriptions == nil || p.Alarms == nil {
		o.t.Errorf("peer %+v", p)
	}
	o.kind("a grant of no scope", o.north.SetGrants(o.ctx(), "south", []api.Selector{{Scope: "x"}}), bundle.KindInvalid)
	o.kind("release what is not set aside", o.north.ReleaseBundle(o.ctx(), "south", bundle.NewID()), bundle.KindNotFound)
	list, err := o.north.Peers(o.ctx())
	o.must(err)
	if a, b := o.text(list), o.text([]api.Peer{p}); a != b {
		o.t.Errorf("the list shows %s, the peer is %s", a, b)
	}
}

// follow changes what south follows, and waits until it has it.
func (o *operators) follow(north bundle.ID, one api.Selector) {
	all := api.Selector{Scope: "all"}
	o.must(o.south.Subscribe(o.ctx(), north.String(), all))
	o.must(o.south.Unsubscribe(o.ctx(), "north", one))
	p, err := o.south.Peer(o.ctx(), "north")
	o.must(err)
	if p.ID != north || !slices.Equal(p.Subscriptions, []api.Selector{all}) || len(p.Addresses) == 0 {
		o.t.Errorf("peer %+v", p)
	}
	o.kind("a subscription of no scope", o.south.Subscribe(o.ctx(), "north", api.Selector{Scope: "x"}), bundle.KindInvalid)
	o.must(o.south.ResumePeer(o.ctx(), "north", "FORK")) // there is none, which is fine
	o.must(o.south.ResumePeer(o.ctx(), "north", ""))
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		list, err := o.south.SyncStatus(o.ctx())
		o.must(err)
		if len(list) != 1 || list[0].Peer != north || list[0].Name != "North" || list[0].Alarms == nil || list[0].Parked == nil {
			o.t.Fatalf("sync %+v", list)
		}
		if s := list[0]; s.State == "following" && s.Cursor > 0 && s.Cursor == s.CheckpointSize && s.LagRecords == 0 && s.CheckpointIssuedAt != nil {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			o.t.Fatalf("it does not follow: %+v", list)
		}
	}
	p, err = o.south.Peer(o.ctx(), "north")
	o.must(err)
	if p.Cursor == 0 || p.VerifiedAt == nil || p.CheckpointIssuedAt == nil {
		o.t.Errorf("peer %+v", p)
	}
}

// text is what a value looks like to a program.
func (o *operators) text(v any) string {
	o.t.Helper()
	b, err := json.Marshal(v)
	o.must(err)
	return string(b)
}
