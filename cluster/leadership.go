package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// leadership runs the work of a leader. There is at most one session, and a new
// one begins only after the work of the one before has ended.
type leadership struct {
	mu      sync.Mutex
	works   []work
	session *session
	ended   bool          // by stopRaft: no session any more
	changed chan struct{} // closed and replaced when session or its state changes
	running sync.WaitGroup
}

type work func(ctx context.Context, l Leader)

// session is one stretch of leadership.
type session struct {
	term   uint64
	ready  bool // everything committed before the term is applied here
	lost   bool // leadership has ended
	start  func(work)
	cancel context.CancelFunc
	done   chan struct{} // closed when the session and its work have ended
	works  sync.WaitGroup
}

// lose is called with the leadership's mu held.
func (s *session) lose() {
	s.ready, s.lost = false, true
	s.cancel()
}

// current returns the term of the session, 0 if there is none, whether it is
// ready, and a channel that is closed at the next change.
func (l *leadership) current() (term uint64, ready bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil || l.session.lost {
		return 0, false, l.changed
	}
	return l.session.term, l.session.ready, l.changed
}

// signal wakes who waits for a change. The caller holds l.mu.
func (l *leadership) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// begin opens a session. prepare runs in it first, and the work starts when it
// reports true.
func (l *leadership) begin(leader Leader, prepare func(context.Context) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	var before <-chan struct{}
	if l.session != nil { // a loss that was not reported
		l.session.lose()
		before = l.session.done
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{term: leader.term, cancel: cancel, done: make(chan struct{})}
	s.start = func(w work) { s.works.Go(func() { w(ctx, leader) }) }
	l.session = s
	l.signal()
	l.running.Go(func() {
		defer close(s.done)
		defer s.works.Wait()
		if before != nil {
			<-before
		}
		if ctx.Err() == nil && prepare(ctx) {
			l.makeReady(s)
		}
		<-ctx.Done()
	})
}

func (l *leadership) makeReady(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.lost {
		return
	}
	s.ready = true
	for _, w := range l.works {
		s.start(w)
	}
	l.signal()
}

// lose ends the session's context at once; begin waits for its work.
func (l *leadership) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		return
	}
	l.session.lose()
	l.signal()
}

// end ends leadership for good and waits for all work.
func (l *leadership) end() {
	l.mu.Lock()
	l.ended = true
	if l.session != nil {
		l.session.lose()
	}
	l.signal()
	l.mu.Unlock()
	l.running.Wait()
}

func (l *leadership) register(w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.works = append(l.works, w)
	if l.session != nil && l.session.ready {
		l.session.start(w)
	}
}

// WhileLeader registers work for as long as this node is open. Each time the
// node becomes the leader and everything committed before is applied here, fn
// is called on a goroutine of its own with what it proposes through; ctx ends
// when leadership does. One fn never runs twice at the same time on this node: it must return
// soon after ctx ends, as the next stretch of leadership and Close wait for it.
// If it returns earlier it is called again in the next stretch only. Another
// node may lead before fn has noticed: so what fn decides is proposed through
// its [Leader], and not through the node.
func (n *Node) WhileLeader(fn func(ctx context.Context, l Leader)) { n.leadership.register(fn) }

// Leads reports whether this node leads and everything committed before is
// applied here.
func (n *Node) Leads() bool {
	_, ready, _ := n.leadership.current()
	return ready && n.raft.State() == raft.Leader
}

// lead follows raft's word on who leads, and the disk's. Raft waits for it, so
// it never blocks.
func (n *Node) lead() {
	for {
		select {
		case leading := <-n.notify:
			if !leading {
				n.logger.Info("lost leadership", "node", n.id)
				n.leadership.lose()
				continue
			}
			n.beginLeading()
		case <-n.store.changed:
			n.watchDisk()
		case <-n.regained:
			if term, _, _ := n.leadership.current(); term == 0 && n.raft.State() == raft.Leader && !n.store.stalled() {
				n.beginLeading()
			}
		case <-n.closing:
			return
		}
	}
}

func (n *Node) beginLeading() {
	term := n.raft.CurrentTerm()
	n.logger.Info("leading", "node", n.id, "term", term)
	l := Leader{node: n, term: term}
	n.leadership.begin(l, func(ctx context.Context) bool { return n.prepare(ctx, l) })
	if n.raft.State() != raft.Leader { // or raft says so later
		n.leadership.lose()
	}
}

// prepare makes the state current: it reports whether everything committed
// before the term is applied here. An only node puts the highest level in force
// then, before anybody proposes. It tries until ctx ends with leadership: a
// barrier that was not taken in time must not leave a leader that is never
// ready.
func (n *Node) prepare(ctx context.Context, l Leader) bool {
	for {
		_, err, ended := call(ctx, &n.calls, func() (struct{}, error) {
			return struct{}{}, n.raft.Barrier(n.rpcLimit).Error()
		})
		switch {
		case ended, ctx.Err() != nil, n.fsm.failed() != nil, errors.Is(err, errStopped):
			return false
		case err == nil:
			n.raised.Store(0) // of an earlier term: by now it is in force, or never will be
			n.raiseAlone(ctx, l)
			return true
		}
		n.logger.Warn("leading, but the state could not be made current; it is tried again", "term", l.term, "error", err)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// raiseAlone puts the highest level in force if this is the only node: a new
// instance begins there. What fails is tried again by raise.
func (n *Node) raiseAlone(ctx context.Context, l Leader) {
	if inForce, highest := n.fsm.catalog.Levels(); inForce >= highest || !n.alone() {
		return
	}
	if _, _, err := n.raiseOnce(ctx, l); err != nil && ctx.Err() == nil {
		n.logger.Warn("could not put a higher level in force yet", "error", err)
	}
}

// announce corrects this node's address among the members if it listens
// elsewhere than when it was added.
func (n *Node) announce(ctx context.Context) {
	for _, s := range n.servers() {
		if s.ID != n.id || s.Address == n.self || s.Suffrage != raft.Voter {
			continue
		}
		if err := n.AddVoter(ctx, string(n.id), string(n.self)); err != nil {
			n.logger.Warn("could not announce this node's address", "address", n.self, "error", err)
		}
	}
}

// campaign makes the only voter stand for election at once instead of waiting
// for a leader that cannot exist: raft's own message for handing leadership
// over does that. If it fails, the ordinary timeout elects.
func (n *Node) campaign() {
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.id), Addr: []byte(n.self),
	}}
	_ = n.calls.start(func() {
		if err := n.transport.TimeoutNow(n.id, n.self, req, &raft.TimeoutNowResponse{}); err != nil {
			n.logger.Debug("could not stand for election at once", "error", err)
		}
	})
}

// WaitLeader returns nil when this node leads and its state is current, or when
// it follows a leader it has heard from; ctx's error if that ends first.
func (n *Node) WaitLeader(ctx context.Context) error {
	// Who follows is told by raft without a channel, so look now and then.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		term, ready, changed := n.leadership.current()
		if ready {
			return nil
		}
		if _, id := n.raft.LeaderWithID(); term == 0 && id != "" && id != n.id {
			return nil
		}
		if err := n.stopped(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return n.noLeader(context.Cause(ctx))
		}
	}
}
