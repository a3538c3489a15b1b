package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// lease is what a leader knows of how long nobody else can lead: a quorum has
// promised not to vote before until. It saves asking the voters for each read.
type lease struct {
	length time.Duration // a leader counts on a promise for so long

	mu      sync.Mutex
	term    uint64    // it holds in
	until   time.Time // of the monotonic clock, as all times here
	bound   time.Time // when the last promise that was given has ended
	pauses  int       // reasons why there is none
	version uint64    // counts the pauses that began or ended
}

// promiseLength is what a voter is asked to promise: clocks differ in speed.
func (l *lease) promiseLength() time.Duration { return l.length + l.length/8 }

// holds reports whether nobody else can have begun to lead since term began.
func (l *lease) holds(term uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pauses == 0 && l.term == term && time.Now().Before(l.until)
}

// now is handed to grant by those who ask for promises from now on.
func (l *lease) now() (version uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version
}

// grant records the promises of a quorum, unless there was a pause since version.
func (l *lease) grant(version, term uint64, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pauses == 0 && l.version == version && (term > l.term || term == l.term && until.After(l.until)) {
		l.term, l.until = term, until
	}
}

// promised records that a voter has promised something up to now.
func (l *lease) promised() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bound = time.Now().Add(l.promiseLength())
}

// pause ends the lease and lets there be none until resume is called.
func (l *lease) pause() (resume func()) {
	step := func(by int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pauses, l.version, l.until = l.pauses+by, l.version+1, time.Time{}
	}
	step(1)
	return sync.OnceFunc(func() { step(-1) })
}

// handOver pauses and waits until the voters are free to elect another leader:
// until then this one goes on.
func (l *lease) handOver() (resume func()) {
	resume = l.pause()
	l.mu.Lock()
	wait := time.Until(l.bound)
	l.mu.Unlock()
	time.Sleep(wait)
	return resume
}

// confirm makes sure that nobody else led when the call began, for a node that
// had become the leader in term by then. With ask the voters are asked even if
// there is a lease. The error is elsewhere if the node does not lead any more.
func (n *Node) confirm(ctx context.Context, term uint64, ask bool) error {
	if n.otherVoters() > 0 && (ask || !n.lease.holds(term)) {
		confirmed, err := n.rounds.ask(ctx, n.calls.start, n.askVoters)
		if err != nil {
			return err
		}
		if confirmed != term {
			return elsewhere{n.notLeader()}
		}
	}
	if n.raft.State() != raft.Leader || n.raft.CurrentTerm() != term {
		return elsewhere{n.notLeader()}
	}
	return nil
}

// voterWord is what a voter says in a round.
type voterWord struct {
	term  uint64    // the voter's
	asked uint64    // this node's when it asked
	until time.Time // it votes for nobody before; zero without a promise
	old   bool      // it runs a program that does not know the question
}

// askVoters asks the voters in which term they are, and returns this node's if a
// quorum knows no newer one: then there was no later leader that could commit
// anything when the round began. The term decides, and not that a voter heard
// of this leader: a leader's messages may arrive long after it was replaced.
func (n *Node) askVoters() (uint64, error) {
	ctx, cancel := context.WithTimeout(n.asking, n.askLimit)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	term, version := n.raft.CurrentTerm(), n.lease.now()
	if n.raft.State() != raft.Leader {
		return 0, elsewhere{n.notLeader()}
	}
	others, needed := n.quorumOfOthers()
	type heard struct {
		voterWord
		err error
	}
	answers := make(chan heard, len(others))
	for _, id := range others {
		asking.Go(func() {
			w, err := n.voters.of(id).ask(ctx, n.calls.start, func() (voterWord, error) { return n.askVoter(id) })
			answers <- heard{w, err}
		})
	}
	var cause error
	var until time.Time
	confirmed, old, promised := 0, 0, 0
	for range others {
		a := <-answers
		switch {
		case a.err != nil:
			cause = errors.Join(cause, a.err)
		case a.old:
			old++
		case a.term > term:
			return 0, elsewhere{n.notLeader()}
		default:
			confirmed++
			if a.asked == term && !a.until.IsZero() {
				promised++
				if until.IsZero() || a.until.Before(until) {
					until = a.until
				}
			}
		}
		if confirmed >= needed {
			if promised >= needed {
				n.lease.grant(version, term, until)
			}
			return term, nil
		}
	}
	if confirmed+old < needed {
		return 0, bundle.Errorf(bundle.KindUnavailable, "a majority of the nodes does not confirm that this one leads; retry, or ask another one: %w", cause)
	}
	// While the nodes are being updated, raft's own word must do.
	switch err := n.raft.VerifyLeader().Error(); {
	case err == nil:
		return term, nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return 0, elsewhere{n.notLeader()}
	default:
		return 0, bundle.Errorf(bundle.KindUnavailable, "a majority of the nodes does not confirm that this one leads; retry, or ask another one: %w", err)
	}
}

// quorumOfOthers returns the other voters, and of how many of them the word
// makes a quorum together with this node.
func (n *Node) quorumOfOthers() (others []raft.ServerID, needed int) {
	voters, self := 0, 0
	for _, m := range n.servers() {
		switch {
		case m.Suffrage != raft.Voter:
		case m.ID == n.id:
			voters, self = voters+1, 1
		default:
			voters++
			others = append(others, m.ID)
		}
	}
	return others, voters/2 + 1 - self
}

// askVoter asks one voter for its term, and not to vote for a while.
func (n *Node) askVoter(id raft.ServerID) (voterWord, error) {
	ctx, cancel := context.WithTimeout(n.asking, n.askLimit)
	defer cancel()
	q := termQuestion{Term: n.raft.CurrentTerm()}
	if n.lease.free() {
		q.Promise = n.lease.promiseLength().Milliseconds()
	}
	body, err := json.Marshal(q)
	if err != nil {
		return voterWord{}, err
	}
	sent := time.Now()
	answer, _, err := n.peers.call(ctx, id, http.MethodPost, callTerm, body)
	if _, ok := errors.AsType[unknownCall](err); ok {
		return voterWord{old: true}, nil
	}
	if q.Promise > 0 {
		n.lease.promised() // maybe, also if the answer was lost
	}
	var a termAnswer
	if err == nil {
		err = json.Unmarshal(answer, &a)
	}
	if err != nil {
		return voterWord{}, err
	}
	w := voterWord{term: a.Term, asked: q.Term}
	if a.Promised {
		w.until = sent.Add(n.lease.length)
	}
	return w, nil
}

// free reports whether there may be a lease.
func (l *lease) free() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pauses == 0
}

// voters keeps the questions that are put to each voter: one that does not
// answer holds up nobody else's, and has no more than one question at a time.
type voters struct {
	mu sync.Mutex
	by map[raft.ServerID]*questions[voterWord]
}

func (v *voters) of(id raft.ServerID) *questions[voterWord] {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.by == nil {
		v.by = map[raft.ServerID]*questions[voterWord]{}
	}
	if v.by[id] == nil {
		v.by[id] = &questions[voterWord]{}
	}
	return v.by[id]
}
