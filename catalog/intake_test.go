package catalog

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// primary makes the records that a peer would publish.
type primary struct {
	testing.TB
	id   bundle.ID
	last map[bundle.ID]tlog.Hash
	n    int64
}

func (p *primary) item(subject bundle.ID, set func(r *publog.Record)) IntakeItem {
	r := publog.Record{Subject: subject, Owner: bundle.Owner{Instance: p.id, Epoch: 1}, Prev: p.last[subject], Time: 1000 + p.n}
	set(&r)
	body, err := r.Encode()
	if err != nil {
		p.Fatal(err)
	}
	leaf := publog.LeafHash(publog.Salt{byte(p.n)}, body)
	p.last[subject] = leaf
	p.n++
	return IntakeItem{Index: p.n - 1, Leaf: bundle.Digest(leaf), Body: body}
}

func (p *primary) collection(id bundle.ID, title string) IntakeItem {
	return p.item(id, func(r *publog.Record) {
		r.Kind, r.Collection = publog.RecordCollection, &publog.CollectionBody{Title: title}
	})
}

func (p *primary) bundle(id, collection bundle.ID, title string) IntakeItem {
	return p.item(id, func(r *publog.Record) {
		r.Kind, r.Bundle = publog.RecordBundle, &publog.BundleBody{Collection: collection, Slug: "s", Title: title}
	})
}

func (p *primary) version(id bundle.ID, number uint64) IntakeItem {
	manifest := manifestOf(id, number)
	it := p.item(id, func(r *publog.Record) {
		r.Kind = publog.RecordVersion
		r.Version = &publog.VersionBody{Number: number, Manifest: manifest.Digest, ChangeDescription: "what", Redistribute: publog.RedistributeAny}
	})
	it.Snapshot = &Snapshot{Manifest: manifest.Digest, Files: 1, Bytes: 2}
	return it
}

func (p *primary) withdrawal(id bundle.ID) IntakeItem {
	return p.item(id, func(r *publog.Record) {
		r.Kind, r.Withdrawal = publog.RecordWithdrawal, &publog.WithdrawalBody{}
	})
}

func manifestOf(id bundle.ID, number uint64) bundle.Located { return blobOf(fmt.Sprint(id, number)) }

// following is a site that follows a peer.
func following(t *testing.T) (*site, *primary) {
	s := newSite(t)
	p := &primary{TB: t, id: idOf("peer"), last: make(map[bundle.ID]tlog.Hash)}
	s.must(AddPeer{Peer: p.id, Name: "north", Descriptor: []byte("d"), RootKey: []byte("k"),
		Addresses: []string{"https://north"}, Subscribe: []Selector{{Scope: "all"}}})
	return s, p
}

// take takes items in after what was taken before.
func (s *site) take(p *primary, items ...IntakeItem) Result {
	s.Helper()
	peer := read(s, func(v *View) (Peer, error) { return v.Peer(p.id) })
	in := Intake{Peer: p.id, ExpectCursor: peer.Cursor, Cursor: p.n, GrantRevision: 3, Items: items}
	for _, it := range items {
		if it.Snapshot != nil {
			in.Blobs = append(in.Blobs, bundle.Located{Blob: bundle.Blob{Digest: it.Snapshot.Manifest},
				Location: bundle.Location{Object: it.Snapshot.Manifest, Length: 5}})
		}
	}
	return s.do(in)
}

func (s *site) bundleNow(id bundle.ID) Bundle {
	s.Helper()
	return read(s, func(v *View) (Bundle, error) { return v.Bundle(id) })
}

func (s *site) parkedNow(p *primary) []ParkedBundle {
	s.Helper()
	return read(s, func(v *View) ([]ParkedBundle, error) { return v.Parked(p.id) })
}

func TestIntakeMakesReadOnlyCopies(t *testing.T) {
	s, p := following(t)
	c, b := idOf("c"), idOf("b")
	items := []IntakeItem{p.collection(c, "title"), p.bundle(b, c, "bundle"), p.version(b, 1), p.version(b, 2)}
	if r := s.take(p, items...); r.Err != nil {
		t.Fatal(r.Err)
	}
	got := s.bundleNow(b)
	if got.State != "copy" || got.Head != 2 || got.Owner != (bundle.Owner{Instance: p.id, Epoch: 1}) || got.Collection != c ||
		got.LastIndex != 3 || tlog.Hash(got.LastLeaf) != p.last[b] {
		t.Errorf("%+v", got)
	}
	v := read(s, func(v *View) (Version, error) { return v.Version(bundle.VersionRef{Bundle: b, Number: 1}) })
	if v.Manifest != manifestOf(b, 1).Digest || v.Created != 1002 || v.ChangeDescription != "what" || v.Redistribute != "any" ||
		v.Alias != bundle.SnapshotAlias(v.Manifest) || v.Record != 2 {
		t.Errorf("%+v", v)
	}
	for _, body := range []Body{
		UpdateBundle{ID: b}, DeleteBundle{ID: b}, CreateDraft{ID: idOf("d"), Bundle: b},
		DescribeVersion{VersionRef: v.VersionRef, ChangeDescription: "mine"},
	} {
		err := s.refused(body, bundle.KindReadOnly, fmt.Sprintf("Bundle %s is a read-only copy; its primary is north", b))
		if err.Fields["primary_name"] != "north" || err.Fields["primary_url"] != "https://north" || err.Fields["primary_id"] != p.id.String() {
			t.Error(err.Fields)
		}
	}
	for _, body := range []Body{UpdateCollection{ID: c}, DeleteCollection{ID: c}, CreateBundle{ID: idOf("new"), Collection: c}} {
		s.refused(body, bundle.KindReadOnly, "")
	}
	if r := s.take(p, items...); r.Err != nil {
		t.Fatal(r.Err)
	}
	if len(s.parkedNow(p)) != 0 || s.bundleNow(b) != got {
		t.Error("taking it in again was no no-op")
	}
	if counts := read(s, (*View).Counts); counts.Bundles["copy"] != 1 || counts.Versions != 2 || counts.Records != 0 {
		t.Errorf("%+v", counts)
	}
}

func TestAnIntakeFromAnotherCursorChangesNothing(t *testing.T) {
	s, p := following(t)
	c := idOf("c")
	item := p.collection(c, "title")
	s.refused(Intake{Peer: p.id, ExpectCursor: 5, Cursor: 6, Items: []IntakeItem{item}}, bundle.KindConflict, "")
	s.take(p, item)
	s.refused(Intake{Peer: p.id, ExpectCursor: 0, Cursor: 1}, bundle.KindConflict, "")
	s.refused(Intake{Peer: idOf("stranger")}, bundle.KindNotFound, "")
	missing := p.version(idOf("x"), 1)
	s.refused(Intake{Peer: p.id, ExpectCursor: 1, Cursor: 2, Items: []IntakeItem{missing}}, bundle.KindBlobGone, "")
}

func TestAnIntakeWithAnOlderCheckpointChangesNothing(t *testing.T) {
	s, p := following(t)
	known := Intake{Peer: p.id, Note: []byte("n"), Generation: 2, Size: 5, Issued: 100}
	if r := s.do(known); r.Err != nil {
		t.Fatal(r.Err)
	}
	before := read(s, func(v *View) (Peer, error) { return v.Peer(p.id) })
	for name, change := range map[string]func(*Intake){
		"generation": func(b *Intake) { b.Generation, b.Size, b.Issued = 1, 9, 200 },
		"size":       func(b *Intake) { b.Size, b.Issued = 4, 200 },
		"issued":     func(b *Intake) { b.Issued = 99 },
	} {
		older := known
		older.Note, older.Items = []byte("older"), []IntakeItem{p.collection(idOf(name), name)}
		change(&older)
		s.refused(older, bundle.KindConflict, "")
	}
	if after := read(s, func(v *View) (Peer, error) { return v.Peer(p.id) }); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v, before %+v", after, before)
	}
	if r := s.do(known); r.Err != nil {
		t.Errorf("the same once more: %v", r.Err)
	}
}

func TestOneBundlesFaultLeavesTheOthersAlone(t *testing.T) {
	s, p := following(t)
	c, good, bad := idOf("c"), idOf("good"), idOf("bad")
	ownBundle, _ := s.bundleIn("mine")
	stolen, stranger := p.bundle(ownBundle, c, "stolen"), p.item(idOf("foreign"), func(r *publog.Record) {
		r.Kind, r.Bundle = publog.RecordBundle, &publog.BundleBody{Collection: c}
		r.Owner.Instance = idOf("third")
	})
	first := []IntakeItem{p.collection(c, "c"), p.bundle(good, c, "good"), p.bundle(bad, c, "bad"), stolen, stranger}
	lost := p.version(bad, 1) // does not arrive
	rest := []IntakeItem{p.version(good, 1), p.version(bad, 2), p.version(good, 2), p.version(bad, 3)}
	if r := s.take(p, append(first, rest...)...); r.Err != nil {
		t.Fatal(r.Err)
	}
	if b := s.bundleNow(good); b.Head != 2 || b.State != "copy" {
		t.Errorf("%+v", b)
	}
	if b := s.bundleNow(bad); b.Head != 0 || b.State != "parked" || b.Reason != reasonChain {
		t.Errorf("%+v", b)
	}
	if b := s.bundleNow(ownBundle); b.State != "own" || b.Title != "mine" {
		t.Errorf("%+v", b)
	}
	reasons := make(map[bundle.ID]ParkedBundle)
	for _, b := range s.parkedNow(p) {
		reasons[b.Bundle] = b
	}
	if b := reasons[bad]; len(reasons) != 3 || b.Held || b.Index != rest[1].Index || b.Attempts != 1 {
		t.Errorf("%+v", reasons)
	}
	if b := reasons[ownBundle]; !b.Held || b.Reason != reasonDuplicate {
		t.Errorf("%+v", b)
	}
	if b := reasons[idOf("foreign")]; !b.Held || b.Reason != reasonOwner {
		t.Errorf("%+v", b)
	}
	// A retry continues exactly where it stopped.
	if r := s.take(p, lost, rest[1], rest[3]); r.Err != nil {
		t.Fatal(r.Err)
	}
	s.must(Unpark{Peer: p.id, Bundle: bad})
	if b := s.bundleNow(bad); b.Head != 3 || b.State != "copy" {
		t.Errorf("%+v", b)
	}
	if counts := read(s, (*View).Counts); counts.Bundles["held"] != 2 || counts.Bundles["parked"] != 0 || counts.Bundles["copy"] != 2 {
		t.Errorf("%+v", counts)
	}
}

func TestWithdrawnCopiesStayReadable(t *testing.T) {
	s, p := following(t)
	c, one, two := idOf("c"), idOf("one"), idOf("two")
	s.take(p, p.collection(c, "c"), p.bundle(one, c, "one"), p.version(one, 1), p.bundle(two, c, "two"), p.withdrawal(one))
	states := func(want1, want2 string, copies, withdrawn int64) {
		t.Helper()
		if b1, b2 := s.bundleNow(one), s.bundleNow(two); b1.State != want1 || b2.State != want2 {
			t.Errorf("%s and %s, want %s and %s", b1.State, b2.State, want1, want2)
		}
		if n := read(s, (*View).Counts).Bundles; n["copy"] != copies || n["withdrawn"] != withdrawn {
			t.Errorf("%v, want %d and %d", n, copies, withdrawn)
		}
	}
	states("withdrawn", "copy", 1, 1)
	s.take(p, p.withdrawal(c))
	states("withdrawn", "withdrawn", 0, 2)
	v := read(s, func(v *View) (Version, error) { return v.Version(bundle.VersionRef{Bundle: one, Number: 1}) })
	if v.Files != 1 {
		t.Errorf("%+v", v)
	}
	s.take(p, p.collection(c, "again"), p.bundle(one, c, "one again"))
	states("copy", "copy", 2, 0)
}

func TestALinkedVersionMayComeAlone(t *testing.T) {
	s, p := following(t)
	c, b := idOf("c"), idOf("b")
	all := []IntakeItem{p.collection(c, "real"), p.bundle(b, c, "bundle"), p.version(b, 1), p.version(b, 2), p.version(b, 3)}
	third := all[4]
	third.Linked = true
	if r := s.take(p, third); r.Err != nil {
		t.Fatal(r.Err)
	}
	got := s.bundleNow(b)
	home := read(s, func(v *View) (Collection, error) { return v.Collection(got.Collection) })
	if got.Head != 3 || !home.Placeholder || home.Title != "Linked from north" {
		t.Errorf("%+v in %+v", got, home)
	}
	fails(s, bundle.KindNotFound, func(v *View) (Version, error) { return v.Version(bundle.VersionRef{Bundle: b, Number: 1}) })
	// Now it is followed: what is missing comes in.
	if r := s.take(p, all...); r.Err != nil {
		t.Fatal(r.Err)
	}
	vs := read(s, func(v *View) ([]Paged[Version], error) { return v.Versions(b, Page{}) })
	if got := s.bundleNow(b); len(vs) != 3 || got.Head != 3 || tlog.Hash(got.LastLeaf) != p.last[b] || got.LastIndex != third.Index {
		t.Errorf("%+v %+v", vs, got)
	}
	if r := s.take(p, p.version(b, 4), p.bundle(b, c, "named")); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := s.bundleNow(b); got.Head != 4 || got.Title != "named" || got.Collection != c {
		t.Errorf("%+v", got)
	}
	if len(s.parkedNow(p)) != 0 {
		t.Errorf("%+v", s.parkedNow(p))
	}
}

func TestTheCollectionOfLinkedCopiesIsNobodyElses(t *testing.T) {
	s, north := following(t)
	west := &primary{TB: t, id: idOf("west"), last: make(map[bundle.ID]tlog.Hash)}
	s.must(AddPeer{Peer: west.id, Name: "west", Descriptor: []byte("d"), RootKey: []byte("k"),
		Addresses: []string{"https://west"}, Subscribe: []Selector{{Scope: "all"}}})
	// What north's id alone leads to is the same at all its peers.
	s.take(west, west.collection(uuid.NewSHA1(linkedSpace, north.id[:]), "squatted"))
	linked := north.version(idOf("b"), 1)
	linked.Linked = true
	s.take(north, linked)
	if parked := s.parkedNow(north); len(parked) != 0 {
		t.Fatalf("set aside: %+v", parked)
	}
	home := s.bundleNow(idOf("b")).Collection
	s.take(west, west.collection(home, "claimed"))
	if p := s.parkedNow(west); len(p) != 1 || p[0].Bundle != home || !p[0].Held || p[0].Reason != reasonDuplicate {
		t.Errorf("the claim is aside as %+v", p)
	}
	c := read(s, func(v *View) (Collection, error) { return v.Collection(home) })
	if !c.Placeholder || c.Title != "Linked from north" || c.Owner.Instance != north.id {
		t.Errorf("the collection is %+v", c)
	}
}

func TestAVersionIsNeverPublishedAnew(t *testing.T) {
	s, p := following(t)
	c, b := idOf("c"), idOf("b")
	s.take(p, p.collection(c, "c"), p.bundle(b, c, "b"), p.version(b, 1))
	other := p.version(b, 1)
	other.Snapshot.Manifest = bundle.DigestOf([]byte("other"))
	other = p.item(b, func(r *publog.Record) {
		r.Kind, r.Version = publog.RecordVersion, &publog.VersionBody{Number: 1, Manifest: other.Snapshot.Manifest}
	})
	s.take(p, other)
	if got := s.bundleNow(b); got.State != "parked" || got.Head != 1 {
		t.Errorf("%+v", got)
	}
}

func TestInvitationsAreGoodOnce(t *testing.T) {
	s := newSite(t)
	secret := bundle.DigestOf([]byte("secret"))
	grants := []Selector{{Scope: "collection", Target: idOf("c")}}
	r := s.must(CreateInvite{ID: idOf("i"), Name: "south", SecretHash: secret, Expires: 1 << 60, Grants: grants})
	s.must(CreateInvite{ID: idOf("late"), Name: "late", SecretHash: bundle.Digest{1}, Expires: r.Time})
	if n := len(read(s, (*View).Invites)); n != 2 {
		t.Error(n)
	}
	accept := AcceptInvite{SecretHash: secret, Peer: idOf("south"), Descriptor: []byte("d"), RootKey: []byte("k")}
	stranger := accept
	stranger.Peer = idOf("stranger")
	unknown := accept
	unknown.SecretHash = bundle.Digest{2}
	late := accept
	late.SecretHash = bundle.Digest{1}
	s.refused(unknown, bundle.KindForbidden, "")
	s.refused(late, bundle.KindForbidden, "")
	s.must(accept)
	s.must(accept)
	s.refused(stranger, bundle.KindForbidden, "")
	p := read(s, func(v *View) (Peer, error) { return v.Peer(idOf("south")) })
	if p.Name != "south" || len(p.Grants) != 1 || p.Grants[0] != grants[0] || p.GrantRevision != 1 {
		t.Errorf("%+v", p)
	}
	s.must(SetGrants{Peer: p.ID})
	if p := read(s, func(v *View) (Peer, error) { return v.Peer(p.ID) }); len(p.Grants) != 0 || p.GrantRevision != 2 {
		t.Errorf("%+v", p)
	}
}

func TestSubscriptionsStartFromTheBeginning(t *testing.T) {
	s, p := following(t)
	s.take(p, p.collection(idOf("c"), "c"))
	one := Selector{Scope: "bundle", Target: idOf("b")}
	for _, body := range []Body{Subscribe{Peer: p.id, Selector: one}, Unsubscribe{Peer: p.id, Selector: one}} {
		before := read(s, func(v *View) (Peer, error) { return v.Peer(p.id) })
		s.must(body)
		after := read(s, func(v *View) (Peer, error) { return v.Peer(p.id) })
		if after.Cursor != 0 || after.SubscriptionRevision != before.SubscriptionRevision+1 {
			t.Errorf("%T: %+v", body, after)
		}
	}
	s.refused(Unsubscribe{Peer: p.id, Selector: one}, bundle.KindNotFound, "")
	s.must(RaiseAlarm{Peer: p.id, Alarm: "FORK", Detail: "two", Evidence: []byte("e")})
	s.must(RaiseAlarm{Peer: p.id, Alarm: "ROLLBACK"})
	s.must(ClearAlarms{Peer: p.id, Alarm: "ROLLBACK"})
	if got := read(s, func(v *View) (Peer, error) { return v.Peer(p.id) }); len(got.Alarms) != 1 || got.Alarms[0].Alarm != "FORK" {
		t.Errorf("%+v", got.Alarms)
	}
	s.must(Park{Peer: p.id, Bundle: idOf("b"), Reason: "network", Index: 3, RetryAt: 9})
	s.must(Park{Peer: p.id, Bundle: idOf("b"), Held: true, Reason: "policy", Index: 3})
	if got := s.parkedNow(p); len(got) != 1 || got[0].Attempts != 2 || !got[0].Held || got[0].Since == 0 {
		t.Errorf("%+v", got)
	}
	s.must(RemovePeer{Peer: p.id})
	fails(s, bundle.KindNotFound, func(v *View) (Peer, error) { return v.Peer(p.id) })
	if counts := read(s, (*View).Counts); counts.Bundles["held"] != 0 || counts.Bundles["parked"] != 0 {
		t.Errorf("%+v", counts)
	}
	if got := read(s, func(v *View) (Collection, error) { return v.Collection(idOf("c")) }); got.Owner.Instance != p.id {
		t.Errorf("%+v", got)
	}
	s.must(AddPeer{Peer: p.id, Name: "north again", RootKey: []byte("another")}) // set up anew
	s.refused(AddPeer{Peer: p.id, Name: "x", RootKey: []byte("third")}, bundle.KindConflict, "")
	s.refused(AddPeer{Peer: idOf("instance"), Name: "me"}, bundle.KindInvalid, "")
}
