package cluster_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// memberOf returns what n's log says of a node, nil if it is no member.
func memberOf(n *clustertest.Node, id string) *cluster.Member {
	for _, m := range n.Live().Stats().Members {
		if m.ID == id {
			return &m
		}
	}
	return nil
}

func TestNodeVotesOnceItHasCaughtUp(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	a := c.Leader()
	for i := range 50 {
		a.MustPut(fmt.Sprint(i), "x")
	}
	b := c.New()
	b.Start()
	b.Disk().Freeze() // it takes part, and nothing reaches its log
	c.Join(b)
	if m := memberOf(a, b.ID()); m == nil || m.Voter {
		t.Errorf("after it joined: %+v", m)
	}
	a.MustPut("while it lags", "x") // the leader alone is the quorum
	if m := memberOf(a, b.ID()); m == nil || m.Voter {
		t.Errorf("while it lags: %+v", m)
	}
	c.Join(b) // again, which changes nothing
	b.Disk().Thaw()
	c.Eventually("it votes", func() bool { m := memberOf(a, b.ID()); return m != nil && m.Voter })
	if !has(t, b, "while it lags", "x") {
		t.Error("it votes without what was committed before")
	}
}

func TestNodeThatLostItsDiskIsAnother(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true, Configure: patient})
	leader := c.Leader()
	leader.MustPut("before", "x")
	n := c.Followers(leader)[0]
	old := n.ID()
	n.Kill()
	n.LoseDisk()
	n.Start()
	leader.MustPut("meanwhile", "x")
	// It is at its old address, and nothing that is meant for what it was
	// reaches it: its log stays empty and it votes for nobody.
	if s := n.Live().Stats(); s.LastLog != 0 || s.Term != 0 {
		t.Errorf("the new incarnation took part as the old one: %+v", s)
	}
	c.Join(n)
	if memberOf(leader, old) != nil {
		t.Error("the lost incarnation is still a member")
	}
	c.Eventually("it votes", func() bool { m := memberOf(leader, n.ID()); return m != nil && m.Voter })
	c.Converge()
	if !has(t, n, "before", "x") || !has(t, n, "meanwhile", "x") {
		t.Error("it has not everything")
	}
}

// A node is not gone because it knows no members yet, nor because the one that
// asks for its name does not wait for the answer.
func TestNameOfANodeThatReceivesItsCopyIsTaken(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Configure: func(_ *clustertest.Node, config *cluster.Config) {
		// So much time has a node to say that it is there.
		config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLease = 20*time.Second, 20*time.Second, 20*time.Second
	}})
	leader := c.Leader()
	n := c.New()
	n.Start()
	n.Disk().Freeze() // so that it has no log, and no members
	c.Join(n)
	if err := leader.Live().Join(within(t, 30*time.Second), "n2-9", "127.0.0.1:1"); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("its name: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := leader.Live().Join(gone, "n2-9", "127.0.0.1:1"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("its name, without waiting: %v", err)
	}
	if memberOf(leader, n.ID()) == nil {
		t.Error("it is no member any more")
	}
	n.Disk().Thaw()
	c.Eventually("it votes", func() bool { m := memberOf(leader, n.ID()); return m != nil && m.Voter })
}

// The one that is killed stays while three are needed, and goes when a fourth
// votes. Whoever answers stays, also a newcomer whose disk hangs.
func TestDeadNodeIsRemovedWhenItsSuccessorVotes(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true, Configure: func(n *clustertest.Node, config *cluster.Config) {
		config.RemoveDeadAfter = time.Minute
	}})
	leader := c.Leader()
	dead := c.Followers(leader)[0]
	id := dead.ID()
	dead.Kill()
	successor := c.New()
	successor.Start()
	successor.Disk().Freeze()
	c.Join(successor)
	for _, n := range c.Nodes() {
		n.SetClock(24 * time.Hour) // for whoever leads the others were silent for a day, if they do not answer now
	}
	c.Leader().MustPut("with one of three", "x")
	if m := memberOf(c.Leader(), id); m == nil || !m.Voter {
		t.Errorf("the dead one of three: %+v", m)
	}
	successor.Disk().Thaw()
	c.Eventually("the dead one goes", func() bool {
		// A leader counts from when it began to lead.
		for _, n := range c.Nodes() {
			n.SetClock(n.Clock() + time.Minute)
		}
		return memberOf(c.Leader(), id) == nil
	})
	c.Eventually("the others vote", func() bool {
		voters := 0
		for _, m := range c.Leader().Live().Stats().Members {
			if m.Voter {
				voters++
			}
		}
		return voters == 3
	})
	dead.Start()
	c.Eventually("it says that it was removed", func() bool { return dead.Live().Stats().Removed })
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 2, Configure: patient})
	a, b := c.Node(1), c.Node(2)
	leader := c.Leader()
	ctx := within(t, time.Minute)
	for what, r := range map[string]struct {
		id, address string
		kind        bundle.Kind
	}{
		"an id without incarnation": {"n3", "127.0.0.1:1", bundle.KindInvalid},
		"no address":                {"n3-1", "", bundle.KindInvalid},
		"the name of a live node":   {"n2-9", "127.0.0.1:1", bundle.KindConflict},
		"the address of another":    {"n3-1", b.Address(), bundle.KindConflict},
	} {
		if err := leader.Live().Join(ctx, r.id, r.address); !bundle.IsKind(err, r.kind) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := leader.Live().AddVoter(ctx, "n2-9", "127.0.0.1:1"); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("a vote for a second incarnation: %v", err)
	}
	follower := c.Followers(leader)[0]
	if err := follower.Live().Join(ctx, "n3-1", "127.0.0.1:1"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("joining through a follower: %v", err)
	}
	if err := leader.Live().Remove(ctx, "n7-1"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("removing nobody: %v", err)
	}
	if err := leader.Live().Remove(ctx, follower.ID()); err != nil {
		t.Fatal(err)
	}
	if err := leader.Live().Remove(ctx, leader.ID()); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("removing the only voter: %v", err)
	}
	if got := a.Live().Stats().Members; a == leader && len(got) != 1 {
		t.Errorf("members: %+v", got)
	}
}

func TestNodeThatMovedTellsTheLeader(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	leader := c.Leader()
	n := c.Followers(leader)[0]
	n.Stop()
	n.Move()
	leader.MustPut("meanwhile", "x")
	n.Start()
	c.Eventually("it is a voter at its new address", func() bool {
		m := memberOf(leader, n.ID())
		return m != nil && m.Voter && m.Address == n.Address()
	})
	c.Converge()
}

func TestLeadershipIsHandedToWhomTheOperatorNames(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	var lost atomic.Int32
	for range 3 {
		leader := c.Leader()
		next := c.Followers(leader)[0]
		leader.MustPut("by", leader.Name)
		if err := leader.Live().TransferLeadership(within(t, time.Minute), next.ID()); err != nil {
			lost.Add(1) // the other was not quick enough, and the first leads on
			continue
		}
		if got := c.Leader(); got != next {
			t.Errorf("%s leads and not %s", got.Name, next.Name)
		}
	}
	if lost.Load() == 3 {
		t.Error("leadership was never handed over")
	}
	leader := c.Leader()
	if err := leader.Live().TransferLeadership(t.Context(), "n9-1"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("to nobody: %v", err)
	}
	if err := c.Followers(leader)[0].Live().TransferLeadership(t.Context(), ""); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("from a follower: %v", err)
	}
	leader.MustPut("after", "x")
}
