package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// A leader that is stopped or cut off closes no connection: who had passed a
// command to it would wait for as long as it is away.
func TestCommandPassedToALeaderThatIsCutOffIsTakenByTheNext(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(_ *clustertest.Node, config *cluster.Config) {
		config.HeartbeatTimeout, config.ElectionTimeout, config.RPCTimeout = time.Second, time.Second, time.Hour
	}})
	leader := c.Leader()
	n := c.Followers(leader)[0]
	n.MustPut("before", "x") // there is a connection
	c.Isolate(leader)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err := n.Put(ctx, "key", "x"); err != nil; err = n.Put(ctx, "key", "x") {
		if ctx.Err() != nil || !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Fatal(err)
		}
	}
	c.Heal()
	c.Converge()
}

func TestCommandEndsWhenTheDiskOfItsLeaderHangs(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: stallAfter(300 * time.Millisecond)})
	old := c.Leader()
	old.MustPut("before", "x")
	old.Disk().Freeze()
	for _, n := range c.Nodes() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := n.Put(ctx, "key", n.Name) // ends while the disk hangs
		if ctx.Err() != nil || err != nil && !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("%s: %v", n.Name, err)
		}
		cancel()
	}
	old.Disk().Thaw()
	c.Converge()
}

func TestAChangeWaitsForALeaderAndIsNotDecidedWithoutOne(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	n := c.Node(3)
	c.Isolate(n)
	if _, stale, err := n.Get(within(t, time.Minute), cluster.Current, "key"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("stale %v, %v", stale, err)
	}
	c.Heal()
	c.Eventually("it can decide", func() bool {
		_, stale, err := n.Get(within(t, time.Minute), cluster.Current, "key")
		return err == nil && !stale
	})
}
