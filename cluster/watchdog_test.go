package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

func stallAfter(limit time.Duration) func(*clustertest.Node, *cluster.Config) {
	return func(_ *clustertest.Node, config *cluster.Config) { config.DiskStall = limit }
}

func TestLeaderWhoseDiskHangsMakesRoom(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: stallAfter(300 * time.Millisecond)})
	old := c.Leader()
	old.MustPut("key", "before")
	ended := make(chan struct{})
	old.Live().WhileLeader(func(ctx context.Context, _ cluster.Leader) { <-ctx.Done(); close(ended) })
	old.Disk().Freeze()
	hangs := make(chan error, 1)
	go func() { hangs <- old.Put(within(t, time.Minute), "other", "x") }()
	<-ended
	next := c.LeaderAmong(c.Followers(old)...)
	next.MustPut("key", "after")
	if !old.Live().Stats().DiskStalled {
		t.Error("the stall does not show")
	}
	// The old one still holds itself for the leader, as far as raft goes.
	got, stale, err := old.Get(within(t, time.Second), cluster.Consistent, "key")
	if err == nil && !stale && got != "after" {
		t.Errorf("the deposed leader reads %q as current", got)
	}
	if _, _, err := old.Get(within(t, time.Second), cluster.Strong, "key"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("strong, on the deposed leader: %v", err)
	}
	old.Disk().Thaw()
	if err := <-hangs; err != nil {
		e, ok := errors.AsType[*bundle.Error](err)
		if !ok || e.Kind != bundle.KindUnavailable {
			t.Errorf("the put that hung: %v", err)
		}
	}
	c.Converge()
	old.MustPut("key", "through the old one")
}

// Raft on a leader whose disk hangs says that it leads for as long as that lasts and
// nobody tells it better.
func TestLeaderWhoseDiskHangsShowsNothingThatIsTooOld(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(_ *clustertest.Node, config *cluster.Config) {
		config.DiskStall, config.MaxStaleness = 300*time.Millisecond, 3*time.Second
	}})
	old := c.Leader()
	old.MustPut("key", "before")
	old.Disk().Freeze()
	hangs := make(chan error, 1)
	go func() { hangs <- old.Put(within(t, time.Minute), "other", "x") }()
	c.Isolate(old)
	for _, level := range []cluster.Level{cluster.Local, cluster.Consistent} {
		c.Eventually("it refuses", func() bool {
			_, _, err := old.Get(within(t, time.Minute), level, "key")
			return bundle.IsKind(err, bundle.KindUnavailable)
		})
	}
	old.Disk().Thaw()
	c.Heal()
	<-hangs // whatever became of it
	c.Eventually("it answers", func() bool {
		got, _, err := old.Get(within(t, time.Minute), cluster.Local, "key")
		return err == nil && got == "before"
	})
}

// Without the watchdog the instance is down for as long as the disk hangs.
func TestWithoutTheWatchdogAHangingDiskKeepsTheLead(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		patient(n, config)
		config.DiskStall = time.Hour
	}})
	old := c.Leader()
	old.Disk().Freeze()
	n := c.Followers(old)[0]
	// More than any election takes.
	if err := n.Put(within(t, 8*time.Second), "key", "x"); err == nil {
		t.Error("a leader whose disk hangs committed")
	}
	if got := n.Live().Stats().Leader; got != old.ID() {
		t.Errorf("%q leads", got)
	}
	old.Disk().Thaw()
	c.Leader().MustPut("key", "y")
}

func TestStalledDiskOfTheOnlyVoterEndsNothing(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Configure: stallAfter(50 * time.Millisecond)})
	n := c.Leader()
	works := make(chan context.Context, 2)
	n.Live().WhileLeader(func(ctx context.Context, _ cluster.Leader) { works <- ctx; <-ctx.Done() })
	work := <-works
	n.Disk().Freeze()
	done := make(chan error, 1)
	go func() { done <- n.Put(within(t, time.Minute), "key", "x") }()
	c.Eventually("the stall shows", func() bool { return n.Live().Stats().DiskStalled })
	n.Disk().Thaw()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if work.Err() != nil {
		t.Error("the leader's work ended")
	}
}

// Nobody takes over, so the leader goes on when its disk does.
func TestLeaderGoesOnWhenNobodyTookOver(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(_ *clustertest.Node, config *cluster.Config) {
		// The others wait longer for a leader than the disk hangs.
		patient(nil, config)
		config.DiskStall = 100 * time.Millisecond
	}})
	old := c.Leader()
	terms := make(chan uint64, 8)
	old.Live().WhileLeader(func(ctx context.Context, l cluster.Leader) { terms <- l.Term(); <-ctx.Done(); terms <- 0 })
	term := <-terms
	for _, n := range c.Followers(old) {
		c.Cut(old, n) // its word does not reach them
	}
	old.Disk().Freeze()
	done := make(chan error, 1)
	go func() { done <- old.Put(within(t, time.Minute), "key", "x") }()
	if got := <-terms; got != 0 {
		t.Errorf("the leader's work began again in term %d", got)
	}
	old.Disk().Thaw()
	c.Eventually("the disk answers", func() bool { return !old.Live().Stats().DiskStalled })
	c.Heal()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := <-terms; got != term {
		t.Errorf("the leader's work goes on in term %d and not %d", got, term)
	}
}
