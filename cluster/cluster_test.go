package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// patient keeps a machine that is busy with other things from electing.
func patient(_ *clustertest.Node, config *cluster.Config) {
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLease = 3*time.Second, 3*time.Second, 3*time.Second
}

// has reports whether a node has a value, whatever the others have.
func has(t *testing.T, n *clustertest.Node, key, value string) bool {
	t.Helper()
	got, _, err := n.Get(t.Context(), cluster.Local, key)
	if err != nil {
		t.Fatalf("%s: %v", n.Name, err)
	}
	return got == value
}

func TestThreeNodesAgree(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[tls], func(t *testing.T) {
			t.Parallel()
			c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: tls})
			for i := range 30 {
				c.Leader().MustPut(fmt.Sprint(i), "x")
			}
			c.Converge()
			for _, n := range c.Nodes() {
				if got := n.Live().Stats(); len(got.Members) != 3 || !has(t, n, "29", "x") {
					t.Errorf("%s: %+v", n.Name, got)
				}
			}
		})
	}
}

func TestLateNodeReceivesACopyAndThenTheLog(t *testing.T) {
	t.Parallel()
	retention := cluster.Retention{Soft: 1, Age: 1, Hard: 1, Check: 10 * time.Millisecond}
	c := clustertest.Start(t, clustertest.Options{Configure: func(n *clustertest.Node, config *cluster.Config) {
		config.Retention = retention
	}})
	a := c.Leader()
	for i := range 100 {
		a.MustPut(fmt.Sprint(i), "x")
	}
	c.Eventually("the log is short", func() bool {
		a.MustPut("one more", "x") // what is cut ends at a mark, and marks come with entries
		return a.Live().Stats().LogEntries < 10
	})
	retention = cluster.Retention{}
	a.Stop()
	a.Start()
	c.Leader()
	b := c.Add()
	a.MustPut("after", "the copy")
	c.Eventually("the late node has it all", func() bool { return has(t, b, "after", "the copy") })
	if got := b.Live().Stats().Copies; got.Received != 1 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
	// What was installed survives a restart, and the node goes on from there.
	c.Eventually("both have the whole log", func() bool {
		s, other := a.Live().Stats(), b.Live().Stats()
		return s.LastLog == other.LastLog && s.Members[1].Voter
	})
	// It takes both to commit, so the leader knows then that b has what follows the
	// copy. One that does not goes back to before the copy, which b cannot follow.
	c.Leader().MustPut("before", "the restart")
	b.Stop()
	b.Start()
	c.Leader().MustPut("after", "the restart")
	c.Eventually("the restarted node catches up", func() bool { return has(t, b, "after", "the restart") })
	c.Converge()
	if got := b.Live().Stats().Copies; got.Received != 0 || got.Failed != 0 {
		t.Errorf("the restarted node needed another copy: %+v", got)
	}
}

func TestClosedLeaderHandsOver(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	a := c.Leader()
	a.MustPut("by", "a")
	c.Converge()
	var leading atomic.Int32
	for _, n := range c.Nodes() {
		n.Live().WhileLeader(func(ctx context.Context, l cluster.Leader) {
			if leading.Add(1) > 1 {
				t.Error("two nodes believe that they lead while all of them answer")
			}
			if !has(t, n, "by", "a") {
				t.Errorf("term %d: leader's work started before the state was current", l.Term())
			}
			<-ctx.Done()
			leading.Add(-1)
		})
	}
	c.Eventually("the leader's work runs", func() bool { return leading.Load() == 1 })
	a.Stop()
	b := c.Leader()
	c.Eventually("its work runs", func() bool { return leading.Load() == 1 })
	b.MustPut("by", "b")
	c.Converge()
}

func TestKilledLeaderIsReplacedAndLosesNothing(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	for round := range 2 {
		old := c.Leader()
		for i := range 10 {
			old.MustPut(fmt.Sprintf("%d/%d", round, i), "acknowledged")
		}
		old.Kill()
		next := c.Leader()
		for i := range 10 {
			if key := fmt.Sprintf("%d/%d", round, i); !has(t, next, key, "acknowledged") {
				t.Errorf("%s was lost", key)
			}
		}
		next.MustPut("while away", fmt.Sprint(round))
		old.Start()
		c.Converge()
	}
}

func TestLeaderWithoutQuorumStopsAcknowledging(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	a := c.Leader()
	ended := make(chan struct{})
	a.Live().WhileLeader(func(ctx context.Context, _ cluster.Leader) { <-ctx.Done(); close(ended) })
	for _, n := range c.Followers(a) {
		n.Kill()
	}
	if err := a.Put(within(t, time.Minute), "lonely", "x"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("put: %v", err)
	}
	<-ended
	if !has(t, a, "lonely", "") {
		t.Error("applied without a quorum")
	}
}

func TestIsolatedLeaderIsReplacedAndForgetsWhatItDidNotCommit(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	old := c.Leader()
	others := c.Followers(old)
	c.Isolate(old)
	lost := make(chan error, 1)
	go func() { lost <- old.Put(within(t, time.Minute), "key", "isolated") }()
	next := c.LeaderAmong(others...)
	next.MustPut("key", "majority")
	if err := <-lost; !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("the isolated leader: %v", err)
	}
	c.Heal()
	c.Converge()
	if !has(t, old, "key", "majority") {
		t.Error("the isolated leader kept what it did not commit")
	}
}

// One direction is enough to lose a leader, and the others still elect.
func TestLeaderThatIsNotHeardIsReplaced(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	old := c.Leader()
	others := c.Followers(old)
	for _, n := range others {
		c.Cut(old, n)
	}
	c.LeaderAmong(others...).MustPut("key", "x")
	c.Heal()
	c.Converge()
}

func TestFaultyLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, MayFail: true})
	a := c.Leader()
	a.MustPut("x", "1")
	a.Disk().Fail(errors.New("input/output error"))
	if err := a.Put(within(t, 5*time.Second), "y", "2"); err == nil {
		t.Error("the faulty leader acknowledged")
	}
	c.LeaderAmong(c.Followers(a)...).MustPut("z", "3")
}

func TestNodesWithClocksApartAgree(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	for i, n := range c.Nodes() {
		n.SetClock(time.Duration(i-1) * 24 * time.Hour)
	}
	for range 2 {
		leader := c.Leader()
		leader.MustPut("by", leader.Name)
		leader.Stop()
		c.Leader().MustPut("by", "the next")
		leader.Start()
	}
	c.Converge()
}

func TestSlowLinksDelayButDoNotStop(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	a := c.Leader()
	for _, n := range c.Followers(a) {
		c.Slow(a, n, 30*time.Millisecond)
	}
	term := a.Live().Stats().Term
	start := time.Now()
	a.MustPut("x", "1")
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Errorf("a put took %v over a link of 30 ms: the link is not slow", took)
	}
	if got := c.Leader(); got != a || a.Live().Stats().Term != term {
		t.Error("a slow link cost the leader its place")
	}
}
