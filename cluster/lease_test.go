package cluster

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestALeaseHoldsInItsTermAndForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease{length: time.Second}
		if l.holds(0) || l.holds(1) {
			t.Error("a lease that nobody gave")
		}
		l.grant(l.now(), 3, time.Now().Add(time.Second))
		if !l.holds(3) || l.holds(2) || l.holds(4) {
			t.Error("not in its term alone")
		}
		l.grant(l.now(), 2, time.Now().Add(time.Minute))
		l.grant(l.now(), 3, time.Now().Add(time.Millisecond))
		time.Sleep(999 * time.Millisecond)
		if !l.holds(3) {
			t.Error("an answer that came late ended it")
		}
		time.Sleep(time.Millisecond)
		if l.holds(3) {
			t.Error("it holds on")
		}
	})
}

func TestNoLeaseDuringAPauseNorFromBefore(t *testing.T) {
	l := &lease{length: time.Minute}
	before := l.now()
	l.grant(before, 1, time.Now().Add(time.Minute))
	resume := l.pause()
	if l.holds(1) || l.free() {
		t.Error("it holds during a pause")
	}
	during := l.now()
	l.grant(during, 1, time.Now().Add(time.Minute))
	other := l.pause()
	resume()
	resume()
	if l.free() {
		t.Error("two pauses ended with one")
	}
	other()
	for _, asked := range []uint64{before, during} {
		l.grant(asked, 1, time.Now().Add(time.Minute))
		if l.holds(1) {
			t.Error("what was promised before a pause or in it holds after it")
		}
	}
	l.grant(l.now(), 1, time.Now().Add(time.Minute))
	if !l.holds(1) {
		t.Error("no lease after a pause")
	}
}

func TestLeadershipIsHandedOverWhenNoVoterIsBoundAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease{length: 8 * time.Second}
		start := time.Now()
		l.handOver()()
		if time.Since(start) != 0 {
			t.Error("waited for nobody's promise")
		}
		l.promised()
		time.Sleep(time.Second)
		l.handOver()()
		if got := time.Since(start); got != 9*time.Second {
			t.Errorf("handed over after %v", got)
		}
	})
}

func TestAVoteWaitsForTheEndOfAPromise(t *testing.T) {
	store, err := openStore(filepath.Join(t.TempDir(), "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	synctest.Test(t, func(t *testing.T) {
		p := newPromise(2 * time.Second) // as after a start
		d := newDisk(store, time.Hour, nil, func(err error) { t.Error(err) })
		d.voting = p.keep
		start := time.Now()
		vote := func(term uint64) time.Duration {
			if err := d.SetUint64([]byte(keyVoteTerm), term); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		if err := d.SetUint64([]byte(keyCurrentTerm), 2); err != nil || time.Since(start) != 0 {
			t.Errorf("a term waited for %v, %v", time.Since(start), err)
		}
		if got := vote(2); got != 2*time.Second {
			t.Errorf("after a start it voted after %v", got)
		}
		p.give(3 * time.Second)
		p.give(time.Second)
		time.AfterFunc(2*time.Second, func() { p.give(2 * time.Second) })
		if got := vote(3); got != 6*time.Second {
			t.Errorf("it voted after %v", got)
		}
		p.give(time.Second)
		p.forget()
		if got := vote(4); got != 6*time.Second {
			t.Errorf("it voted after %v", got)
		}
	})
}

// Raft records a vote, its own too, under the key where the promise is kept.
func TestRaftVotesWhereThePromiseIsKept(t *testing.T) {
	n := startNode(t, t.TempDir())
	term, err := n.store.GetUint64([]byte(keyVoteTerm))
	if err != nil || term == 0 || term != n.raft.CurrentTerm() {
		t.Errorf("voted in term %d, is in %d, %v", term, n.raft.CurrentTerm(), err)
	}
}

func TestOnlyWhoFollowsPromises(t *testing.T) {
	n := startNode(t, t.TempDir())
	term := n.raft.CurrentTerm()
	for _, c := range []struct {
		from string
		q    termQuestion
		want termAnswer
	}{
		{"n1-1", termQuestion{Term: term, Promise: 100}, termAnswer{Term: term, Promised: true}},
		{"n1-1", termQuestion{Term: term}, termAnswer{Term: term}},
		{"n1-1", termQuestion{Term: term, Promise: 501}, termAnswer{Term: term}},
		{"n1-1", termQuestion{Term: term - 1, Promise: 100}, termAnswer{Term: term}},
		{"n2-1", termQuestion{Term: term, Promise: 100}, termAnswer{Term: term}},
		{"n2-1", termQuestion{Term: term + 1}, termAnswer{Term: term}},
	} {
		if got := n.answerTerm(raft.ServerID(c.from), c.q); got != c.want {
			t.Errorf("%s asks %+v: %+v", c.from, c.q, got)
		}
	}
}
