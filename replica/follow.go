package replica

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// follower is the work for one peer. Its run is one goroutine, which alone uses
// the fields without a lock.
type follower struct {
	cfg  Config
	id   bundle.ID
	name string
	log  *slog.Logger
	live *live

	client    PeerClient
	connected string    // what the client was made from
	lags      time.Time // since when the peer shows nothing newer than is known; zero if it does
	floods    int       // how often in a row too many bundles failed at once
	reread    time.Time // when the log was last read again from its start because of new grants

	mu     sync.Mutex
	cancel context.CancelFunc // ends the wait that is going on, nil for none
	poked  bool               // somebody poked while nothing waited
	seen   string             // what of the peer's row ends a wait when it changes
}

func newFollower(cfg Config, p catalog.Peer) *follower {
	return &follower{
		cfg: cfg, id: p.ID, name: p.Name, log: cfg.Logger.With("peer", p.Name), live: newLive(), seen: interest(p),
	}
}

// interest is what of a peer's row a waiting follower must be told about.
func interest(p catalog.Peer) string {
	b, err := json.Marshal([]any{p.SubscriptionRevision, p.Subscriptions, p.Addresses, p.Descriptor, alarmNames(p)})
	if err != nil {
		panic(err) // plain data always encodes
	}
	return string(b)
}

func alarmNames(p catalog.Peer) []string {
	names := make([]string, len(p.Alarms))
	for i, a := range p.Alarms {
		names[i] = a.Alarm
	}
	return names
}

// refresh takes note of the peer's row; it runs on the manager's goroutine.
func (f *follower) refresh(p catalog.Peer) {
	now := interest(p)
	f.mu.Lock()
	changed := now != f.seen
	f.seen = now
	f.mu.Unlock()
	if changed {
		f.poke()
	}
}

// sees takes note of the row that a round goes by: what differs from it ends the
// wait, also an alarm that was raised and cleared between two looks of the manager.
func (f *follower) sees(p catalog.Peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = interest(p)
}

// poke ends the wait that is going on, or the next one.
func (f *follower) poke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancel == nil {
		f.poked = true
		return
	}
	f.cancel()
}

// waiting returns a context that also ends when the follower is poked.
func (f *follower) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	wctx, cancel := context.WithCancel(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.poked {
		f.poked = false
		cancel()
		return wctx, cancel
	}
	f.cancel = cancel
	return wctx, func() {
		f.mu.Lock()
		f.cancel = nil
		f.mu.Unlock()
		cancel()
	}
}

// rest waits for d, or until the follower is poked.
func (f *follower) rest(ctx context.Context, d time.Duration) {
	wctx, done := f.waiting(ctx)
	defer done()
	_ = f.cfg.Pause(wctx, d) // however it ends, the peer's row is read next
}

// run follows the peer until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer f.disconnect()
	failures := 0
	for ctx.Err() == nil {
		err := f.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
		default:
			failures++
			d := backOff(failures)
			f.live.failed(err)
			f.log.Warn("peer: the next attempt waits", "error", err, "pause", d)
			f.rest(ctx, d)
		}
	}
}

// step makes one round with the peer: what is due again, one poll, and what it
// brought. A nil error means that the next round may begin at once.
func (f *follower) step(ctx context.Context) error {
	peer, parked, err := f.load(ctx)
	if err != nil {
		return err
	}
	f.live.row(peer)
	f.sees(peer)
	frozen, stopped := standing(peer)
	switch {
	case len(peer.Subscriptions) == 0:
		f.live.state(StateIdle)
		f.rest(ctx, maxRetry)
		return nil
	case stopped:
		f.live.state(StateAlarmed)
		f.rest(ctx, maxRetry)
		return nil
	}
	if err := f.connect(peer); err != nil {
		return err
	}
	if peer.Cursor == 0 && len(parked) > 0 {
		// The log is read from its start: what was set aside comes again.
		return f.unparkAll(ctx, parked)
	}
	if !frozen {
		if err := f.retryDue(ctx, peer, parked); err != nil {
			return f.alarmed(ctx, peer, err, nil)
		}
		if peer, parked, err = f.load(ctx); err != nil {
			return err
		}
	}
	return f.poll(ctx, peer, parked, frozen)
}

func (f *follower) load(ctx context.Context) (peer catalog.Peer, parked []catalog.ParkedBundle, err error) {
	err = f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		if peer, err = v.Peer(f.id); err != nil {
			return err
		}
		parked, err = v.Parked(f.id)
		return err
	})
	return peer, parked, err
}

// standing reports whether FREEZE stands, and whether an alarm stands that only
// the operator clears.
func standing(p catalog.Peer) (frozen, stopped bool) {
	for _, a := range p.Alarms {
		if a.Alarm == string(publog.AlarmFreeze) {
			frozen = true
		} else {
			stopped = true
		}
	}
	return frozen, stopped
}

func (f *follower) connect(peer catalog.Peer) error {
	from := string(peer.Descriptor)
	for _, a := range peer.Addresses {
		from += "\x00" + a
	}
	if f.client != nil && from == f.connected {
		return nil
	}
	f.disconnect()
	client, err := f.cfg.Connect(peer, f.observe)
	if err != nil {
		return err
	}
	f.client, f.connected = client, from
	return nil
}

func (f *follower) disconnect() {
	if f.client != nil {
		f.client.Close()
		f.client = nil
	}
}

// poll asks for news, checks the answer and takes it in.
func (f *follower) poll(ctx context.Context, peer catalog.Peer, parked []catalog.ParkedBundle, frozen bool) error {
	known, err := syndication.KnownOf(peer)
	if err != nil {
		return err
	}
	req := f.request(peer, known, parked, frozen)
	asked := f.cfg.Now()
	wctx, done := f.waiting(ctx)
	answer, err := f.client.Poll(wctx, req)
	poked := wctx.Err() != nil && ctx.Err() == nil
	done()
	if poked && (err != nil || answer == nil) {
		return nil
	}
	if err != nil {
		return f.alarmed(ctx, peer, f.lagging(known, err), nil)
	}
	verified, err := syndication.Check(known, req, answer, f.cfg.Now(), f.cfg.limits())
	if bundle.IsKind(err, bundle.KindForbidden) {
		return f.unknownKey(ctx, peer, answer, err)
	}
	if err != nil {
		return f.alarmed(ctx, peer, f.lagging(known, err), evidenceOf(peer, answer))
	}
	f.lags = time.Time{}
	f.live.contact(f.cfg.Now(), verified.Checkpoint)
	if frozen {
		if err := f.cfg.apply(ctx, catalog.ClearAlarms{Peer: f.id, Alarm: string(publog.AlarmFreeze)}); err != nil {
			return err
		}
		f.log.Info("peer: its checkpoints are fresh again", "alarm", publog.AlarmFreeze)
	}
	if err := f.follows(ctx, peer, verified.Descriptor); err != nil {
		return f.alarmed(ctx, peer, err, nil)
	}
	if err := f.news(ctx, peer, parked, verified); err != nil {
		return f.alarmed(ctx, peer, err, nil)
	}
	if verified.Next == peer.Cursor && verified.GrantRevision == peer.SeenGrantRevision && f.cfg.Now().Sub(asked) < req.Wait/2 {
		f.rest(ctx, firstPause) // it should have waited; each checkpoint costs a command here
	}
	return nil
}

// lagGrace is how long a node of a peer may lag behind what is known, when that
// is old already because nobody asked for a while: it may just be starting.
const lagGrace = time.Minute

// lagging makes FREEZE of an answer that is older than what is known, or a
// refusal because the peer is behind it, once what is known is too old: whoever
// replays an old answer for ever, or was rolled back, is found out by that.
func (f *follower) lagging(known syndication.Known, err error) error {
	if !errors.Is(err, publog.ErrStale) && reasonOf(err) != syndication.ReasonBehind {
		return err
	}
	now := f.cfg.Now()
	if f.lags.IsZero() {
		f.lags = now
	}
	if freeze := syndication.CheckLag(known, now, f.cfg.limits()); freeze != nil && now.Sub(f.lags) >= lagGrace {
		return freeze
	}
	return err
}

func (c *Config) limits() syndication.Limits {
	return syndication.Limits{FreezeAfter: c.FreezeAfter, MaxSkew: c.MaxSkew}
}

// request is the poll of a peer: how long it may wait depends on what is due.
func (f *follower) request(peer catalog.Peer, known syndication.Known, parked []catalog.ParkedBundle, frozen bool) syndication.PollRequest {
	req := syndication.PollRequest{
		Size: known.Checkpoint.Size, Root: known.Checkpoint.Root, Generation: known.Checkpoint.Generation,
		From: peer.Cursor, GrantRevision: peer.SeenGrantRevision, Selectors: selectors(peer), Wait: f.cfg.PollWait,
	}
	for _, p := range parked {
		if at, ok := f.cfg.due(p); ok {
			req.Wait = max(0, min(req.Wait, at.Sub(f.cfg.Now())))
		}
	}
	if frozen {
		req.Wait = 0
	}
	return req
}

// selectors returns what to ask for, nil for everything.
func selectors(peer catalog.Peer) []catalog.Selector {
	if slices.ContainsFunc(peer.Subscriptions, func(s catalog.Selector) bool { return s.Scope == scopeAll }) {
		return nil
	}
	return peer.Subscriptions
}

// news takes in what a poll brought.
func (f *follower) news(ctx context.Context, peer catalog.Peer, parked []catalog.ParkedBundle, v *syndication.Verified) error {
	if v.GrantRevision != peer.SeenGrantRevision && peer.Cursor > 0 {
		f.log.Info("peer: its grants for this instance changed; the log is read again from its start")
		if now := f.cfg.Now(); now.Sub(f.reread) < firstPause {
			f.rest(ctx, firstPause)
		} else {
			f.reread = now
		}
		if err := f.unparkAll(ctx, parked); err != nil {
			return err
		}
		return f.intake(ctx, peer, v, 0, nil, nil)
	}
	b, err := f.selectRecords(ctx, peer, parked, v)
	if err != nil {
		return err
	}
	if len(b.items) > 0 {
		f.live.waits(micro(b.items[0].Record.Time))
	}
	if err := f.complete(ctx, b); err != nil {
		return err
	}
	if err := f.commit(ctx, peer, v, b); err != nil {
		return err
	}
	f.floods = 0
	f.live.taken(b.cursor, v.Checkpoint.Size)
	if n := len(b.all()); n > 0 {
		f.log.Info("peer: taken in", "records", n, "versions", len(b.versions()), "cursor", b.cursor, "log", v.Checkpoint.Size)
	}
	return nil
}

// alarmed raises the alarm that err is, if it is one, and passes on what is not.
func (f *follower) alarmed(ctx context.Context, peer catalog.Peer, err error, evidence []byte) error {
	alarm, ok := errors.AsType[*publog.AlarmError](err)
	if !ok {
		return err
	}
	if e, ok := errors.AsType[*evidenceError](err); ok {
		evidence = e.evidence
	}
	if evidence == nil {
		evidence = evidenceOf(peer, &syndication.PollAnswer{})
	}
	f.live.failed(err)
	f.live.state(StateAlarmed)
	if frozen, _ := standing(peer); frozen && alarm.Alarm == publog.AlarmFreeze {
		f.rest(ctx, f.cfg.RetryAfter) // it stands already
		return nil
	}
	f.log.Error("peer: alarm; intake stops, what was verified is served on", "alarm", alarm.Alarm, "detail", alarm.Detail)
	return f.cfg.apply(ctx, catalog.RaiseAlarm{
		Peer: f.id, Alarm: string(alarm.Alarm), Detail: alarm.Detail, Evidence: evidence[:min(len(evidence), maxEvidence)],
	})
}

// unknownKey handles a checkpoint that no known key signed: the keys may have
// been rotated, and then the descriptor says so.
func (f *follower) unknownKey(ctx context.Context, peer catalog.Peer, answer *syndication.PollAnswer, cause error) error {
	updated, err := f.updateDescriptor(ctx, peer)
	if err == nil && !updated {
		err = &publog.AlarmError{Alarm: publog.AlarmAltered, Detail: cause.Error() + "; the peer's descriptor names no other key"}
	}
	return f.alarmed(ctx, peer, err, evidenceOf(peer, answer))
}

// follows fetches the peer's descriptor if it is another than the known one.
func (f *follower) follows(ctx context.Context, peer catalog.Peer, now bundle.Digest) error {
	if now == bundle.DigestOf(peer.Descriptor) {
		return nil
	}
	_, err := f.updateDescriptor(ctx, peer)
	return err
}

func (f *follower) updateDescriptor(ctx context.Context, peer catalog.Peer) (updated bool, err error) {
	b, err := f.client.Descriptor(ctx)
	if err != nil || string(b) == string(peer.Descriptor) {
		return false, err
	}
	next, err := publog.ParseDescriptor(b)
	if err != nil {
		return false, err
	}
	old, err := publog.ParseDescriptor(peer.Descriptor)
	if err != nil {
		return false, err
	}
	if err := publog.CheckSuccession(old, next); err != nil {
		if errors.Is(err, publog.ErrStale) {
			return false, nil
		}
		return false, err
	}
	f.log.Info("peer: it has a new descriptor", "name", next.Name, "endpoints", next.Endpoints)
	return true, f.cfg.apply(ctx, catalog.UpdatePeer{Peer: f.id, Descriptor: b, Addresses: peer.Addresses})
}
