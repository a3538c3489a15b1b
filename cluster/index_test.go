package cluster_test

import (
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// slowCatalog is a catalog that applies nothing while it is held.
type slowCatalog struct {
	cluster.StateMachine
	held *sync.Mutex
}

func (c slowCatalog) Apply(entries []catalog.Entry) ([]catalog.Result, error) {
	c.held.Lock()
	defer c.held.Unlock()
	return c.StateMachine.Apply(entries)
}

// A follower may apply an entry before its leader has. Who saw it there must not
// miss it afterwards anywhere.
func TestWhatAFollowerShowsNoLaterReadMisses(t *testing.T) {
	t.Parallel()
	held := map[string]*sync.Mutex{"n1": {}, "n2": {}, "n3": {}}
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		patient(n, config)
		config.Catalog = slowCatalog{config.Catalog, held[n.Name]}
	}})
	leader := c.Leader()
	ahead, behind := c.Followers(leader)[0], c.Followers(leader)[1]
	leader.MustPut("key", "old")
	c.Converge()
	for _, n := range []*clustertest.Node{leader, behind} {
		held[n.Name].Lock()
	}
	release := sync.OnceFunc(func() {
		for _, n := range []*clustertest.Node{leader, behind} {
			held[n.Name].Unlock()
		}
	})
	defer release()
	written := make(chan error, 1)
	go func() { written <- ahead.Put(within(t, 50*time.Second), "key", "new") }()
	c.Eventually("one follower shows it", func() bool { return has(t, ahead, "key", "new") })

	for _, level := range []cluster.Level{cluster.Consistent, cluster.Strong} {
		for _, n := range []*clustertest.Node{leader, behind} {
			// The index is had at once, so the read waits for the apply.
			got, stale, err := n.Get(within(t, 500*time.Millisecond), level, "key")
			if err == nil && !stale && got != "new" {
				t.Errorf("a %v read on %s went back to %q", level, n.Name, got)
			}
		}
	}
	release()
	if err := <-written; err != nil {
		t.Error(err)
	}
	for _, n := range c.Nodes() {
		for _, level := range []cluster.Level{cluster.Consistent, cluster.Strong} {
			if got, stale, err := n.Get(within(t, time.Minute), level, "key"); got != "new" || stale || err != nil {
				t.Errorf("a %v read on %s: %q, stale %v, %v", level, n.Name, got, stale, err)
			}
		}
	}
}

// A leader that was stopped and goes on believes that it leads for a while.
func TestReplacedLeaderThatDoesNotKnowItShowsNothingOldUnmarked(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		if n.Name == "n1" { // its own timers tell it nothing
			config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLease = time.Minute, time.Minute, time.Minute
		}
	}})
	old := c.Node(1)
	c.Eventually("it is replaced and does not know it", func() bool {
		c.Heal()
		if leader := c.Leader(); leader != old { // as a busy machine may have it
			_ = leader.Live().TransferLeadership(within(t, time.Minute), old.ID())
			return false
		}
		old.MustPut("key", "old")
		if _, _, err := old.Get(within(t, time.Minute), cluster.Consistent, "key"); err != nil { // on a lease from now on
			return false
		}
		c.Isolate(old)
		c.LeaderAmong(c.Followers(old)...).MustPut("key", "new")
		return old.Live().Leads()
	})
	look := func(level cluster.Level) bool {
		got, stale, err := old.Get(within(t, time.Minute), level, "key")
		if err == nil && !stale && got != "new" {
			t.Errorf("a %v read went back to %q", level, got)
		}
		return err == nil && !stale
	}
	for _, level := range []cluster.Level{cluster.Consistent, cluster.Strong} {
		if look(level) {
			t.Errorf("a %v read was answered without a quorum", level)
		}
	}
	c.Heal()
	for _, level := range []cluster.Level{cluster.Consistent, cluster.Strong} {
		c.Eventually("it reads as others do", func() bool { return look(level) })
	}
}
