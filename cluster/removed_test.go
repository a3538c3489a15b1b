package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// removes has whoever leads remove a node.
func removes(t *testing.T, c *clustertest.Cluster, n *clustertest.Node) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	for {
		err := c.Leader().Live().Remove(ctx, n.ID())
		switch {
		case err == nil, bundle.IsKind(err, bundle.KindNotFound): // by an attempt whose outcome was unknown
			return
		case ctx.Err() != nil || !bundle.IsKind(err, bundle.KindUnavailable):
			t.Fatal(err)
		}
	}
}

// quiet holds a removed node to not having begun a term: whoever stands for
// election in one makes all that hear of it follow into it.
func quiet(t *testing.T, c *clustertest.Cluster, n *clustertest.Node) {
	t.Helper()
	if own, others := n.Live().Stats().Term, c.Leader().Live().Stats().Term; own > others {
		t.Errorf("it is in term %d, and the others in %d", own, others)
	}
}

// saysRemoved waits until a node says of itself that it was removed, everywhere
// where it is asked.
func saysRemoved(t *testing.T, c *clustertest.Cluster, n *clustertest.Node) {
	t.Helper()
	c.Eventually("it says that it was removed", func() bool { return n.Live().Stats().Removed })
	if !unready(n, cluster.ReasonRemoved) {
		t.Errorf("it does not say why it should get no requests: %+v", n.Live().Unready())
	}
	for _, level := range []cluster.Level{cluster.Local, cluster.Consistent, cluster.Strong} {
		_, _, err := n.Get(within(t, 30*time.Second), level, "before")
		if !bundle.IsKind(err, bundle.KindUnavailable) || !strings.Contains(err.Error(), "was removed") {
			t.Errorf("a %s read of a removed node: %v", level, err)
		}
	}
	if err := n.Put(within(t, 60*time.Second), "by the removed", "x"); !bundle.IsKind(err, bundle.KindUnavailable) || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("a write through a removed node: %v", err)
	}
}

func TestNodeThatWasRemovedSaysSo(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true, Configure: patient})
	leader := c.Leader()
	leader.MustPut("before", "x")
	n := c.Followers(leader)[0]
	if n.Live().Stats().Removed {
		t.Error("a member says that it was removed")
	}
	removes(t, c, n)
	saysRemoved(t, c, n)
	n.Stop()
	n.Start() // again, with what it has
	saysRemoved(t, c, n)
	leader.MustPut("after", "x")
	quiet(t, c, n)
}

// The log of a node that was down says that it votes, and it would like to be
// elected. Nobody hears it, and it finds out why.
func TestNodeThatWasRemovedWhileItWasDownSaysSo(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true, Configure: patient})
	leader := c.Leader()
	leader.MustPut("before", "x")
	n := c.Followers(leader)[0]
	n.Kill()
	removes(t, c, n)
	n.Start()
	saysRemoved(t, c, n)
	leader.MustPut("after", "x")
	quiet(t, c, n)
	// As its disk is what it was, it may also be let in again.
	c.Join(n)
	c.Eventually("it votes", func() bool { m := memberOf(leader, n.ID()); return m != nil && m.Voter })
	c.Eventually("it says so", func() bool {
		got, _, err := n.Get(t.Context(), cluster.Local, "after")
		return err == nil && got == "x" && !n.Live().Stats().Removed
	})
}

// The one that is left decides alone; the other must not.
func TestNodeThatWasRemovedOfTwoDoesNotLead(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 2, Configure: patient})
	leader := c.Leader()
	leader.MustPut("before", "x")
	n := c.Followers(leader)[0]
	removes(t, c, n)
	saysRemoved(t, c, n)
	n.Kill()
	n.Start()
	saysRemoved(t, c, n)
	leader.MustPut("after", "x")
}

// A leader that removes itself has the entry before all others, and steps down.
func TestLeaderThatRemovedItselfSaysSo(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	n := c.Leader()
	n.MustPut("before", "x")
	removes(t, c, n)
	saysRemoved(t, c, n)
	next := c.LeaderAmong(c.Followers(n)...)
	next.MustPut("after", "x")
	if memberOf(next, n.ID()) != nil {
		t.Error("it is still a member")
	}
}

// A newcomer has no members, or some of before it joined, and was not removed.
func TestNewNodeWasNotRemoved(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 1})
	n := c.New()
	n.Start()
	if n.Live().Stats().Removed {
		t.Error("before it joined")
	}
	c.Join(n)
	c.Eventually("it votes", func() bool { return len(n.Live().Stats().Members) == 2 && !n.Live().Stats().Removed })
}
