package cluster_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// shortLog keeps some dozen entries of the log: less would be too little for nodes
// that keep up.
var shortLog = cluster.Retention{Soft: 8 << 10, Age: 1, Hard: 8 << 10, Check: 20 * time.Millisecond}

// copied is a catalog whose copies are counted, held up or too large.
type copied struct {
	cluster.StateMachine
	made    atomic.Int32
	size    atomic.Int64                                       // if not 0, of the catalog
	making  func()                                             // before a copy is made
	arrives func(ctx context.Context, r io.Reader) (err error) // before a copy is read
}

func (c *copied) Size() (int64, error) {
	if size := c.size.Load(); size != 0 {
		return size, nil
	}
	return c.StateMachine.Size()
}

func (c *copied) Copy(ctx context.Context, path string, progress func(done, total int64)) error {
	c.made.Add(1)
	if c.making != nil {
		c.making()
	}
	return c.StateMachine.Copy(ctx, path, progress)
}

func (c *copied) Receive(ctx context.Context, r io.Reader) (index, term uint64, err error) {
	if c.arrives != nil {
		if err := c.arrives(ctx, r); err != nil {
			return 0, 0, err
		}
	}
	return c.StateMachine.Receive(ctx, r)
}

// begins is the first entry of a node's log.
func begins(n *clustertest.Node) uint64 {
	s := n.Live().Stats()
	return s.LastLog - s.LogEntries + 1
}

// write writes values, by the node's clock one a second: what is cut of a log ends
// at a mark, and marks are a second apart.
func write(n *clustertest.Node, what string, values int) {
	for i := range values {
		n.SetClock(time.Duration(n.Live().Stats().LastLog) * time.Second)
		n.MustPut(fmt.Sprint(what, " ", i), "x")
	}
}

// shorten writes until the log begins after what was written before.
func shorten(c *clustertest.Cluster, n *clustertest.Node) {
	last := n.Live().Stats().LastLog
	c.Eventually("the log of "+n.Name+" is short", func() bool {
		write(n, "old", 10)
		return begins(n) > last
	})
}

// Two nodes that join while a copy is made share it. Writes go on meanwhile, and
// the log that follows the copy stays for them, however short it is kept.
func TestNewcomersShareACopyUnderLoad(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	leading := &copied{making: func() { <-goOn }}
	c := clustertest.Start(t, clustertest.Options{Configure: func(n *clustertest.Node, config *cluster.Config) {
		patient(n, config)
		config.Retention = shortLog
		if n.Name == "n1" {
			leading.StateMachine, config.Catalog = config.Catalog, leading
		}
	}})
	a := c.Node(1)
	shorten(c, a)
	b, d := c.Add(), c.Add()
	c.Eventually("both wait for a copy", func() bool {
		sending := a.Live().Stats().Copies.Sending
		return len(sending) == 2 && sending[0].Making && sending[1].Making
	})
	shown := false
	for _, s := range a.Live().Nodes(t.Context()) {
		shown = shown || s.ID == b.ID() && s.Copy != nil && s.Copy.Making
	}
	if !shown {
		t.Error("the leader does not say that it makes a copy for the node")
	}
	last := a.Live().Stats().LastLog // the copy is of no later entry
	write(a, "while the copy is made", 80)
	if first := begins(a); first > last {
		t.Errorf("the log ended at %d when the copy was begun, and begins at %d", last, first)
	}
	close(goOn)
	write(a, "while it is sent", 80)
	c.Eventually("both vote", func() bool {
		for _, n := range []*clustertest.Node{b, d} {
			if m := memberOf(a, n.ID()); m == nil || !m.Voter {
				return false
			}
		}
		return true
	})
	c.Converge()
	for _, n := range []*clustertest.Node{b, d} {
		if s := n.Live().Stats().Copies; s.Received != 1 || s.Failed != 0 || len(s.Receiving) != 0 || s.WireBytes == 0 {
			t.Errorf("%s: %+v", n.Name, s)
		}
	}
	if s := a.Live().Stats().Copies; s.Sent != 2 || s.Failed != 0 || leading.made.Load() != 1 {
		t.Errorf("made %d, %+v", leading.made.Load(), s)
	}
}

// A voter that receives a copy votes when its leader is cut off, and catches up from
// the next one.
func TestAVoterThatReceivesACopyVotes(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	var behind *copied // once it lags
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		config.Retention = shortLog
		// An exchange may take long on a busy machine; a copy that stands still, too.
		config.RPCTimeout = time.Minute
		if behind != nil && n.Name == "n3" {
			behind.StateMachine, config.Catalog = config.Catalog, behind
		}
	}})
	lagging := c.Node(3)
	for c.Leader() == lagging {
		_ = lagging.Live().TransferLeadership(within(t, time.Minute), "") // tried again
	}
	lagging.Stop()
	leader := c.Leader()
	shorten(c, leader)
	var began atomic.Bool
	behind = &copied{arrives: func(ctx context.Context, r io.Reader) error {
		if began.Swap(true) {
			return nil
		}
		if _, err := io.CopyN(io.Discard, r, 1); err != nil {
			return err
		}
		close(reached)
		<-ctx.Done() // the rest never comes, as far as this node can tell
		return context.Cause(ctx)
	}}
	lagging.Start()
	<-reached
	// It may be another one by now, on a busy machine.
	leader = c.Leader()
	c.Isolate(leader)
	others := []*clustertest.Node{}
	for _, n := range c.Nodes() {
		if n != leader {
			others = append(others, n)
		}
	}
	next := c.LeaderAmong(others...)
	next.MustPut("after", "x")
	c.Eventually("the node behind has it", func() bool { return has(t, lagging, "after", "x") })
	c.Heal()
	c.Converge()
}

// A leader whose disk has no room for a copy says so, leads on, and makes it when
// there is room.
func TestNoRoomForACopy(t *testing.T) {
	t.Parallel()
	leading := &copied{}
	c := clustertest.Start(t, clustertest.Options{Configure: func(n *clustertest.Node, config *cluster.Config) {
		patient(n, config)
		config.Retention = shortLog
		if n.Name == "n1" {
			leading.StateMachine, config.Catalog = config.Catalog, leading
		}
	}})
	a := c.Node(1)
	shorten(c, a)
	leading.size.Store(1 << 60)
	b := c.Add()
	c.Eventually("a copy failed", func() bool { return a.Live().Stats().Copies.Failed > 0 })
	a.MustPut("goes on", "x")
	if leading.made.Load() != 0 {
		t.Error("a copy was begun that the disk has no room for")
	}
	leading.size.Store(0)
	c.Eventually("the node has it", func() bool { return has(t, b, "goes on", "x") })
}

// A node that was away under load, for less than the log is kept, needs no copy.
func TestTheLogBringsANodeBack(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		patient(n, config)
		config.Retention.Check = 10 * time.Millisecond
	}})
	leader := c.Leader()
	away := c.Followers(leader)[0]
	away.Stop()
	for i := range 300 {
		leader.MustPut(fmt.Sprint("meanwhile ", i), "x")
	}
	away.Start()
	leader.MustPut("back", "x")
	c.Eventually("it is back", func() bool { return has(t, away, "back", "x") })
	c.Converge()
	for _, n := range c.Nodes() {
		if s := n.Live().Stats().Copies; s.Received+s.Sent+s.Failed != 0 {
			t.Errorf("%s: %+v", n.Name, s)
		}
	}
}
