package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// State says in a word how it goes with a peer.
type State string

// The states.
const (
	StateFollowing   State = "following"   // what the peer published is here
	StateBehind      State = "behind"      // known records wait to be taken in
	StateUnreachable State = "unreachable" // no answer, or none of an instance
	StateRefused     State = "refused"     // it answers, and knows this instance no more
	StateClockSkew   State = "clock_skew"  // one of the two clocks is wrong
	StatePaused      State = "paused"      // storage here is full
	StateAlarmed     State = "alarmed"     // its log lied; the operator decides
	StateIdle        State = "idle"        // nothing of it is followed
	StateStandby     State = "standby"     // another node of this instance follows it
)

// PeerStatus is how it goes with one peer. What is about this process is zero
// on a node that does not lead.
type PeerStatus struct {
	Peer          bundle.ID  `json:"peer"`
	Name          string     `json:"name"`
	State         State      `json:"state"`
	Subscriptions []Followed `json:"subscriptions"`

	Cursor           int64     `json:"cursor"`
	LogSize          int64     `json:"checkpoint_size"` // of the last verified checkpoint
	CheckpointIssued time.Time `json:"checkpoint_issued_at,omitzero"`
	CheckpointAge    float64   `json:"checkpoint_age"` // seconds
	Behind           int64     `json:"lag_records"`
	OldestUnapplied  time.Time `json:"oldest_unapplied_at,omitzero"` // when it was published
	Lag              float64   `json:"lag"`                          // seconds since OldestUnapplied

	Bundles map[string]int64 `json:"bundles"` // copy, withdrawn, parked, held

	WireReceived int64     `json:"bytes_received"` // since Run began
	WireSent     int64     `json:"bytes_sent"`
	Useful       int64     `json:"bytes_useful"` // of WireReceived: content that was verified and is stored
	Requests     int64     `json:"requests"`
	LastError    string    `json:"last_error,omitempty"`
	LastContact  time.Time `json:"last_contact_at,omitzero"`

	Alarms   []Alarm   `json:"alarms"`
	Parked   []Parked  `json:"parked"`
	Progress *Progress `json:"progress,omitempty"`
}

// Followed is a subscription.
type Followed struct {
	Scope  string    `json:"scope"` // all, collection, bundle
	Target bundle.ID `json:"target,omitzero"`
}

// Alarm is an alarm that stands.
type Alarm struct {
	Alarm  string    `json:"alarm"`
	Detail string    `json:"detail"`
	Raised time.Time `json:"raised_at"`
}

// Parked is a bundle that was set aside: held as a question for the operator, or
// parked for a fault and tried again.
type Parked struct {
	Bundle   bundle.ID `json:"bundle"`
	Held     bool      `json:"held"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail"`
	Since    time.Time `json:"since"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
	Attempts int64     `json:"attempts"`
}

// Progress is how far the files of the present batch are.
type Progress struct {
	Versions  int       `json:"versions"`
	Files     int       `json:"files_total"`
	FilesDone int       `json:"files"`
	Bytes     int64     `json:"bytes_total"` // of content
	BytesDone int64     `json:"bytes"`
	Rate      float64   `json:"bytes_per_second"`
	Started   time.Time `json:"started_at"`
}

// Status returns how it goes with each peer, in the catalog's order.
func (r *Replica) Status(ctx context.Context) ([]PeerStatus, error) {
	all := []PeerStatus{}
	err := r.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		peers, err := v.Peers()
		if err != nil {
			return err
		}
		for _, p := range peers {
			st, err := r.status(v, p)
			if err != nil {
				return err
			}
			all = append(all, st)
		}
		return nil
	})
	return all, err
}

func (r *Replica) status(v *catalog.View, p catalog.Peer) (PeerStatus, error) {
	now := r.cfg.Now()
	st := PeerStatus{
		Peer: p.ID, Name: p.Name, State: StateStandby, Subscriptions: []Followed{},
		Cursor: p.Cursor, LogSize: p.Size, Behind: max(0, p.Size-p.Cursor), Alarms: []Alarm{}, Parked: []Parked{},
	}
	for _, s := range p.Subscriptions {
		st.Subscriptions = append(st.Subscriptions, Followed(s))
	}
	for _, a := range p.Alarms {
		st.Alarms = append(st.Alarms, Alarm{a.Alarm, a.Detail, micro(a.Raised)})
	}
	if p.Issued > 0 {
		st.CheckpointIssued = micro(p.Issued)
	}
	f := r.follower(p.ID)
	if f != nil {
		f.live.fill(&st, now)
	}
	if !st.CheckpointIssued.IsZero() {
		st.CheckpointAge = max(0, now.Sub(st.CheckpointIssued).Seconds())
	}
	switch {
	case len(p.Alarms) > 0:
		st.State = StateAlarmed
	case len(p.Subscriptions) == 0:
		st.State = StateIdle
	}
	return st, countBundles(v, p.ID, &st)
}

// countBundles counts the peer's bundles here, up to a limit that keeps the
// answer quick.
func countBundles(v *catalog.View, peer bundle.ID, st *PeerStatus) error {
	st.Bundles = map[string]int64{"copy": 0, "withdrawn": 0, "parked": 0, "held": 0}
	parked, err := v.Parked(peer)
	if err != nil {
		return err
	}
	for _, p := range parked {
		state := "parked"
		if p.Held {
			state = "held"
		}
		st.Bundles[state]++
		row := Parked{Bundle: p.Bundle, Held: p.Held, Reason: p.Reason, Detail: p.Detail, Since: micro(p.Since), Attempts: p.Attempts}
		if p.RetryAt > 0 {
			row.RetryAt = micro(p.RetryAt)
		}
		st.Parked = append(st.Parked, row)
	}
	page := catalog.Page{Limit: countPage}
	for n := 0; n < maxCounted; n += countPage {
		rows, err := v.Bundles(catalog.BundleFilter{Owner: peer}, page)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Row.State == stateWithdrawn {
				st.Bundles[stateWithdrawn]++
			} else {
				st.Bundles["copy"]++
			}
			page.After = row.Cursor
		}
		if len(rows) < countPage {
			break
		}
	}
	return nil
}

func micro(us int64) time.Time { return time.UnixMicro(us).UTC() }

// live is what only this process knows of a peer.
type live struct {
	mu         sync.Mutex
	current    State
	lastError  string
	lastSeen   time.Time
	checkpoint time.Time // when the newest verified one was issued
	oldest     time.Time // publication of the oldest record that waits
	alarms     map[string]bool

	received, sent, usefulWire, requests int64
	progress                             *Progress
}

func newLive() *live {
	return &live{current: StateBehind, alarms: make(map[string]bool)}
}

func (l *live) fill(st *PeerStatus, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.State, st.LastError, st.LastContact, st.OldestUnapplied = l.current, l.lastError, l.lastSeen, l.oldest
	st.WireReceived, st.WireSent, st.Useful, st.Requests = l.received, l.sent, l.usefulWire, l.requests
	if !l.oldest.IsZero() {
		st.Lag = max(0, now.Sub(l.oldest).Seconds())
	}
	if l.checkpoint.After(st.CheckpointIssued) {
		st.CheckpointIssued = l.checkpoint
	}
	if l.progress != nil {
		p := *l.progress
		if took := now.Sub(p.Started).Seconds(); took > 0 {
			p.Rate = float64(p.BytesDone) / took
		}
		st.Progress = &p
	}
}

func (l *live) state(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = s
}

// row takes note of what the catalog says.
func (l *live) row(p catalog.Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Issued > 0 {
		l.checkpoint = micro(p.Issued)
	}
	for name := range l.alarms {
		l.alarms[name] = false
	}
	for _, a := range p.Alarms {
		l.alarms[a.Alarm] = true
	}
}

// failed notes an error and the state that it is.
func (l *live) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastError = err.Error()
	reason := reasonOf(err)
	switch {
	case errors.Is(err, publog.ErrClockSkew), reason == syndication.ReasonClock:
		l.current = StateClockSkew
	case bundle.IsKind(err, bundle.KindUnauthorized):
		l.current = StateRefused
	case errors.Is(err, publog.ErrStale), reason == syndication.ReasonBehind:
		l.current = StateBehind // it answers; the node that did lags behind its cluster
	case bundle.IsKind(err, bundle.KindUnavailable):
		l.current = StateUnreachable
	case bundle.IsKind(err, bundle.KindNoSpace):
		l.current = StatePaused
	default:
		l.current = StateBehind
	}
}

// contact notes that the peer answered with a checkpoint that was verified.
func (l *live) contact(now time.Time, c publog.Checkpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastSeen, l.checkpoint, l.lastError = now.UTC(), c.IssuedAt(), ""
}

// waits notes records that are known and not taken in yet.
func (l *live) waits(oldest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.oldest = StateBehind, oldest
}

// taken notes how far the log is taken in.
func (l *live) taken(cursor, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = StateBehind
	if cursor >= size {
		l.current, l.oldest = StateFollowing, time.Time{}
	}
}

// begin and done bracket the fetching of a batch.
func (l *live) begin(p *plan, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress = &Progress{Versions: p.versions, Files: len(p.wants), Bytes: p.bytes, Started: now.UTC()}
}

func (l *live) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress = nil
}

// useful counts content that came.
func (l *live) useful(files int, size, wire int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.usefulWire += wire
	if l.progress != nil {
		l.progress.FilesDone += files
		l.progress.BytesDone += size
	}
}

// observe counts one exchange.
func (f *follower) observe(t syndication.Transfer) {
	f.live.mu.Lock()
	f.live.received += t.Received
	f.live.sent += t.Sent
	f.live.requests++
	f.live.mu.Unlock()
	result := "ok"
	if t.Err != nil {
		result = bundle.KindOf(t.Err).String()
	}
	f.cfg.Metrics.PeerRequest(f.name, result)
	f.cfg.Metrics.PeerBytes(f.name, metrics.Received, t.Received)
	f.cfg.Metrics.PeerBytes(f.name, metrics.Sent, t.Sent)
}

// observe fills the gauges of all peers when they are scraped.
func (r *Replica) observe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	for _, f := range r.followers {
		f.gauges(now)
	}
}

func (f *follower) gauges(now time.Time) {
	l := f.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.checkpoint.IsZero() {
		f.cfg.Metrics.SetPeerCheckpointAge(f.name, max(0, now.Sub(l.checkpoint)))
	}
	var oldest time.Duration
	if !l.oldest.IsZero() {
		oldest = max(0, now.Sub(l.oldest))
	}
	f.cfg.Metrics.SetPeerOldestUnapplied(f.name, oldest)
	for name, stands := range l.alarms {
		f.cfg.Metrics.SetAlarm(f.name, name, stands)
	}
}
