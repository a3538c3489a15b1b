package cluster

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// keyVoteTerm is where raft records that it votes, for itself too, before it
// lets anybody know.
const keyVoteTerm = "LastVoteTerm"

// promise keeps this node from voting for a while.
//
// Raft's own timers are not enough for that: a heartbeat may come in, and be
// answered in the old term, while raft's main goroutine is on its way to vote
// in a new one. So the promise is kept where each vote must pass, and it is
// given before the term is read: a vote that had passed by then shows in the
// term, and one that comes later waits.
type promise struct {
	longest time.Duration // that is given

	mu    sync.Mutex
	until time.Time // of the monotonic clock
}

// newPromise returns one that was given just now: what the process before this
// one has promised is not known.
func newPromise(longest time.Duration) *promise {
	p := &promise{longest: longest}
	p.give(longest)
	return p
}

// give promises not to vote for so long.
func (p *promise) give(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}

// forget ends the promise: nobody counts on it.
func (p *promise) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Time{}
}

// keep waits until this node may vote.
func (p *promise) keep() {
	for {
		p.mu.Lock()
		wait := time.Until(p.until)
		p.mu.Unlock()
		if wait <= 0 {
			return
		}
		time.Sleep(wait)
	}
}

// termQuestion is what a leader asks a voter.
type termQuestion struct {
	Term    uint64 `json:"term"`              // the leader's
	Promise int64  `json:"promise,omitempty"` // milliseconds in which the voter shall not vote
}

// termAnswer is what the voter says.
type termAnswer struct {
	Term     uint64 `json:"term"` // the voter's
	Promised bool   `json:"promised"`
}

// answerTerm answers the node from, which believes that it leads. Only who
// follows it promises anything: elections wait for nobody else.
func (n *Node) answerTerm(from raft.ServerID, q termQuestion) termAnswer {
	d := time.Duration(q.Promise) * time.Millisecond
	_, leader := n.raft.LeaderWithID()
	promised := d > 0 && d <= n.promise.longest && leader == from && n.raft.CurrentTerm() <= q.Term
	if promised {
		n.promise.give(d)
	}
	return termAnswer{Term: n.raft.CurrentTerm(), Promised: promised}
}

// term is the call of a leader that wants to know whether it still is one.
func (s *server) term(w http.ResponseWriter, r *http.Request) {
	var q termQuestion
	if err := readJSON(w, r, 1<<10, &q); err != nil {
		refuse(w, bundle.Errorf(bundle.KindInvalid, "the question for the term did not arrive: %w", err))
		return
	}
	peer := r.Context().Value(peerKey{}).(*nodeConn).peer
	answer, err := json.Marshal(s.node.answerTerm(raft.ServerID(peer), q))
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, s.node.fsm.position().index, answer)
}
