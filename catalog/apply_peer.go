package catalog

import (
	"bytes"
	"slices"

	"github.com/blockstored/blockstored/bundle"
)

// peerRow is a peer and its row id.
type peerRow struct {
	id, state int64
	Peer
}

const peerColumns = `SELECT id, state, uuid, name, descriptor, root_key, addresses, added, grants, grant_revision,
 subscriptions, subscription_revision, cursor, seen_grant_revision, note, generation, size, root, issued, verified FROM peers`

func scanPeer(row scanner) (p peerRow, err error) {
	var addresses, grants, subscriptions []byte
	if err = row.Scan(&p.id, &p.state, blob{p.ID[:]}, &p.Name, &p.Descriptor, &p.RootKey, &addresses, &p.Added,
		&grants, &p.GrantRevision, &subscriptions, &p.SubscriptionRevision, &p.Cursor, &p.SeenGrantRevision,
		&p.Note, &p.Generation, &p.Size, blob{p.Root[:]}, &p.Issued, &p.Verified); err != nil {
		return p, err
	}
	if err = unpack(addresses, &p.Addresses, shapeTexts); err != nil {
		return p, err
	}
	if err = unpack(grants, &p.Grants, shapeSelectors); err != nil {
		return p, err
	}
	return p, unpack(subscriptions, &p.Subscriptions, shapeSelectors)
}

// findPeer returns the peer for which where, a constant condition, holds.
func findPeer(s *session, where string, arg any) (peerRow, bool, error) {
	ps, err := collect(s, peerColumns+` WHERE `+where, []any{arg}, scanPeer)
	if err != nil || len(ps) == 0 {
		return peerRow{}, false, err
	}
	return ps[0], true, nil
}

// livePeer returns a peer that was not removed.
func livePeer(s *session, id bundle.ID) (peerRow, error) {
	p, ok, err := findPeer(s, `uuid = ?`, id[:])
	if err == nil && (!ok || p.state != stateLive) {
		err = bundle.Errorf(bundle.KindNotFound, "there is no peer %s", id)
	}
	return p, err
}

// storePeer writes all of a peer's row.
func (a *applier) storePeer(p *peerRow) error {
	addresses, err := pack(&p.Addresses, shapeTexts)
	if err != nil {
		return err
	}
	grants, err := pack(&p.Grants, shapeSelectors)
	if err != nil {
		return err
	}
	subscriptions, err := pack(&p.Subscriptions, shapeSelectors)
	if err != nil {
		return err
	}
	return a.run(`INSERT OR REPLACE INTO peers (id, state, uuid, name, descriptor, root_key, addresses, added, grants,
 grant_revision, subscriptions, subscription_revision, cursor, seen_grant_revision, note, generation, size, root,
 issued, verified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.id, p.state, p.ID[:], p.Name, orEmpty(p.Descriptor), orEmpty(p.RootKey), addresses, p.Added, grants,
		clamp(p.GrantRevision), subscriptions, clamp(p.SubscriptionRevision), p.Cursor, clamp(p.SeenGrantRevision),
		orEmpty(p.Note), clamp(p.Generation), p.Size, p.Root[:], p.Issued, p.Verified)
}

func (a *applier) createInvite(b CreateInvite) error {
	grants, err := pack(&b.Grants, shapeSelectors)
	if err != nil {
		return err
	}
	n, err := a.exec(`INSERT INTO invites (id, uuid, name, secret, created, expires, grants, taker)
 VALUES (?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING`,
		a.state.id(), b.ID[:], b.Name, b.SecretHash[:], a.now, b.Expires, grants)
	if err == nil && n == 0 {
		err = bundle.Errorf(bundle.KindConflict, "there is an invitation with this id or secret already; make a new one")
	}
	a.result.ID = b.ID
	return err
}

func (a *applier) acceptInvite(b AcceptInvite) error {
	refused := bundle.Errorf(bundle.KindForbidden, "this invitation is unknown, used or expired; ask for a new one")
	var id, expires int64
	var name string
	var packed, taker []byte
	ok, err := a.get(`SELECT id, name, expires, grants, taker FROM invites WHERE secret = ?`, []any{b.SecretHash[:]},
		&id, &name, &expires, &packed, &taker)
	if err != nil {
		return err
	}
	a.result.ID = b.Peer
	switch {
	case !ok:
		return refused
	case bytes.Equal(taker, b.Peer[:]):
		if p, err := livePeer(a.session, b.Peer); err != nil || !bytes.Equal(p.RootKey, b.RootKey) {
			return refused
		}
		return nil
	case taker != nil || expires <= a.now:
		return refused
	}
	var grants []Selector
	if err := unpack(packed, &grants, shapeSelectors); err != nil {
		return err
	}
	p, err := a.pin(b.Peer, name, b.Descriptor, b.RootKey)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if !slices.Contains(p.Grants, g) {
			p.Grants = append(p.Grants, g)
		}
	}
	p.GrantRevision++
	if err := a.storePeer(&p); err != nil {
		return err
	}
	return a.run(`UPDATE invites SET taker = ? WHERE id = ?`, b.Peer[:], id)
}

// pin returns the peer with this id, a new or a removed one with nothing
// granted and nothing followed. A live one must have the same root key.
func (a *applier) pin(id bundle.ID, name string, descriptor, rootKey []byte) (peerRow, error) {
	self, err := instanceOf(a.session)
	if err != nil {
		return peerRow{}, err
	}
	if self.ID == id {
		return peerRow{}, bundle.Errorf(bundle.KindInvalid, "an instance cannot be its own peer")
	}
	p, ok, err := findPeer(a.session, `uuid = ?`, id[:])
	if err != nil {
		return p, err
	}
	switch same := bytes.Equal(p.RootKey, rootKey); {
	case !ok:
		p.id = a.state.id()
	case p.state == stateLive && !same:
		return p, bundle.Errorf(bundle.KindConflict,
			"the instance %s is the peer %s already, with another root key; remove that peer first if it was set up anew", id, p.Name)
	case !same:
		p = peerRow{id: p.id}
	}
	if !ok || p.state != stateLive || p.ID == (bundle.ID{}) {
		p.Added = a.now
	}
	p.state, p.ID, p.RootKey, p.Descriptor = stateLive, id, rootKey, descriptor
	if name != "" || p.Name == "" {
		p.Name = name
	}
	return p, nil
}

func (a *applier) addPeer(b AddPeer) error {
	p, err := a.pin(b.Peer, b.Name, b.Descriptor, b.RootKey)
	if err != nil {
		return err
	}
	p.Addresses = b.Addresses
	for _, s := range b.Subscribe {
		if !slices.Contains(p.Subscriptions, s) {
			p.Subscriptions = append(p.Subscriptions, s)
			p.Cursor = 0
		}
	}
	p.SubscriptionRevision++
	a.result.ID = b.Peer
	return a.storePeer(&p)
}

func (a *applier) updatePeer(b UpdatePeer) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	p.Descriptor, p.Addresses = b.Descriptor, b.Addresses
	return a.storePeer(&p)
}

func (a *applier) removePeer(b RemovePeer) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	p.state, p.Grants, p.Subscriptions, p.Cursor, p.SeenGrantRevision = stateDeleted, nil, nil, 0, 0
	p.GrantRevision++
	p.SubscriptionRevision++
	if err := a.storePeer(&p); err != nil {
		return err
	}
	if err := a.run(`DELETE FROM alarms WHERE peer = ?`, p.id); err != nil {
		return err
	}
	return a.unparkAll(p.id)
}

func (a *applier) setGrants(b SetGrants) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	p.Grants = b.Grants
	p.GrantRevision++
	a.result.Revision = p.GrantRevision
	return a.storePeer(&p)
}

func (a *applier) subscribe(b Subscribe) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil || slices.Contains(p.Subscriptions, b.Selector) {
		return err
	}
	p.Subscriptions = append(p.Subscriptions, b.Selector)
	return a.resubscribed(&p)
}

func (a *applier) unsubscribe(b Unsubscribe) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	at := slices.Index(p.Subscriptions, b.Selector)
	if at < 0 {
		return bundle.Errorf(bundle.KindNotFound, "there is no such subscription")
	}
	p.Subscriptions = slices.Delete(p.Subscriptions, at, at+1)
	return a.resubscribed(&p)
}

func (a *applier) resubscribed(p *peerRow) error {
	p.SubscriptionRevision++
	p.Cursor = 0
	a.result.Revision = p.SubscriptionRevision
	return a.storePeer(p)
}

func (a *applier) park(b Park) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	return a.setAside(p.id, b)
}

// setAside parks or holds a bundle; again counts an attempt and keeps Since.
func (a *applier) setAside(peer int64, b Park) error {
	if err := a.unparkOne(peer, b.Bundle, func(since, attempts int64) error {
		return a.run(`INSERT OR REPLACE INTO parked (peer, bundle, held, reason, detail, record, since, retry_at, attempts)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, peer, b.Bundle[:], b.Held, b.Reason, b.Detail, b.Index, since, b.RetryAt, attempts+1)
	}); err != nil {
		return err
	}
	if b.Held {
		a.state.held++
	} else {
		a.state.parked++
	}
	return nil
}

// unparkOne forgets that a bundle was set aside, if it was, and goes on to
// then with since when and how often.
func (a *applier) unparkOne(peer int64, id bundle.ID, then func(since, attempts int64) error) error {
	var held bool
	since, attempts := a.now, int64(0)
	ok, err := a.get(`SELECT held, since, attempts FROM parked WHERE peer = ? AND bundle = ?`, []any{peer, id[:]}, &held, &since, &attempts)
	if err != nil {
		return err
	}
	if ok {
		if held {
			a.state.held--
		} else {
			a.state.parked--
		}
		if err := a.run(`DELETE FROM parked WHERE peer = ? AND bundle = ?`, peer, id[:]); err != nil {
			return err
		}
	}
	return then(since, attempts)
}

func (a *applier) unpark(b Unpark) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	return a.unparkOne(p.id, b.Bundle, func(int64, int64) error { return nil })
}

func (a *applier) unparkAll(peer int64) error {
	var held, parked int64
	if _, err := a.get(`SELECT coalesce(sum(held), 0), count(*) - coalesce(sum(held), 0) FROM parked WHERE peer = ?`, []any{peer}, &held, &parked); err != nil {
		return err
	}
	a.state.held -= held
	a.state.parked -= parked
	return a.run(`DELETE FROM parked WHERE peer = ?`, peer)
}

func (a *applier) raiseAlarm(b RaiseAlarm) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	return a.run(`INSERT INTO alarms (peer, alarm, detail, evidence, raised) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		p.id, b.Alarm, b.Detail, orEmpty(b.Evidence), a.now)
}

func (a *applier) clearAlarms(b ClearAlarms) error {
	p, err := livePeer(a.session, b.Peer)
	if err != nil {
		return err
	}
	return a.run(`DELETE FROM alarms WHERE peer = ?1 AND (?2 = '' OR alarm = ?2)`, p.id, b.Alarm)
}

// Invites returns the invitations that were not taken yet, expired ones too.
func (v *View) Invites() ([]Invite, error) {
	return collect(v.session, `SELECT uuid, name, created, expires, grants FROM invites WHERE taker IS NULL ORDER BY id`, nil,
		func(row scanner) (i Invite, err error) {
			var grants []byte
			if err = row.Scan(blob{i.ID[:]}, &i.Name, &i.Created, &i.Expires, &grants); err != nil {
				return i, err
			}
			return i, unpack(grants, &i.Grants, shapeSelectors)
		})
}

// Peers returns the peers in the order they were first met.
func (v *View) Peers() ([]Peer, error) {
	rows, err := collect(v.session, peerColumns+` WHERE state = 0 ORDER BY id`, nil, scanPeer)
	if err != nil {
		return nil, err
	}
	out := make([]Peer, len(rows))
	for i := range rows {
		if rows[i].Alarms, err = v.alarms(rows[i].id); err != nil {
			return nil, err
		}
		out[i] = rows[i].Peer
	}
	return out, nil
}

// Peer returns one peer, KindNotFound if there is none or it was removed.
func (v *View) Peer(id bundle.ID) (Peer, error) {
	p, err := livePeer(v.session, id)
	if err == nil {
		p.Alarms, err = v.alarms(p.id)
	}
	return p.Peer, err
}

func (v *View) alarms(peer int64) ([]Alarm, error) {
	return collect(v.session, `SELECT alarm, detail, evidence, raised FROM alarms WHERE peer = ? ORDER BY alarm`, []any{peer},
		func(row scanner) (al Alarm, err error) {
			err = row.Scan(&al.Alarm, &al.Detail, &al.Evidence, &al.Raised)
			return al, err
		})
}

// Parked returns the bundles of a peer that were set aside.
func (v *View) Parked(peer bundle.ID) ([]ParkedBundle, error) {
	p, err := livePeer(v.session, peer)
	if err != nil {
		return nil, err
	}
	return collect(v.session, `SELECT bundle, held, reason, detail, record, since, retry_at, attempts FROM parked
 WHERE peer = ? ORDER BY bundle`, []any{p.id}, func(row scanner) (b ParkedBundle, err error) {
		b.Peer = peer
		err = row.Scan(blob{b.Bundle[:]}, &b.Held, &b.Reason, &b.Detail, &b.Index, &b.Since, &b.RetryAt, &b.Attempts)
		return b, err
	})
}
