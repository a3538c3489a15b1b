package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// gated is a catalog that applies while its gate is free.
type gated struct {
	cluster.StateMachine
	gate *sync.Mutex
}

func (g gated) Apply(entries []catalog.Entry) ([]catalog.Result, error) {
	g.gate.Lock()
	defer g.gate.Unlock()
	return g.StateMachine.Apply(entries)
}

// unready reports whether a node names a reason, or none if that is "".
func unready(n *clustertest.Node, reason string) bool {
	reasons := n.Live().Unready()
	if reason == "" {
		return len(reasons) == 0
	}
	return slices.ContainsFunc(reasons, func(r cluster.Reason) bool { return r.Name == reason && r.Detail != "" })
}

func TestNodeSaysWhyItShouldGetNoRequests(t *testing.T) {
	t.Parallel()
	gates := map[*clustertest.Node]*sync.Mutex{}
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		gates[n] = &sync.Mutex{}
		config.Catalog = gated{config.Catalog, gates[n]}
		config.BehindLimit, config.DiskStall = 200*time.Millisecond, 200*time.Millisecond
	}})
	for _, n := range c.Nodes() {
		c.Eventually(n.Name+" is ready", func() bool { return unready(n, "") })
	}
	leader := c.Leader()
	slow := c.Followers(leader)[0]
	gates[slow].Lock()
	leader.MustPut("key", "1")
	c.Eventually("a node that does not apply is behind", func() bool {
		s := slow.Live().Stats()
		return unready(slow, cluster.ReasonBehind) && s.Lag > 0 && s.Behind > 0
	})
	gates[slow].Unlock()
	c.Eventually("it has caught up", func() bool { return unready(slow, "") && slow.Live().Stats().Behind == 0 })

	slow.Disk().Freeze()
	leader.MustPut("key", "2")
	c.Eventually("its disk hangs", func() bool { return unready(slow, cluster.ReasonDiskStalled) })
	slow.Disk().Thaw()
	c.Eventually("its disk answers", func() bool { return unready(slow, "") })

	if err := slow.Live().Leave(within(t, time.Minute)); err != nil {
		t.Errorf("a node that does not lead leaves: %v", err)
	}
	if !unready(slow, cluster.ReasonLeaving) {
		t.Errorf("it leaves: %+v", slow.Live().Unready())
	}
	for _, n := range c.Nodes() {
		if n != slow {
			n.Kill()
		}
	}
	c.Eventually("it is alone", func() bool { return unready(slow, cluster.ReasonNoLeader) })
	slow.Start()
	live := slow.Live()
	slow.Stop()
	if got := live.Unready(); len(got) != 1 || got[0].Name != cluster.ReasonStopped {
		t.Errorf("closed: %+v", got)
	}
}

// Who leaves leads no more, before it stops, and no write fails for it.
func TestLeaderThatLeavesHandsOverFirst(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	old := c.Leader()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	for _, n := range c.Nodes() {
		writers.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				// Each request runs to its end, whatever ends the load.
				if err := n.Put(context.WithoutCancel(ctx), n.Name, fmt.Sprint(k)); err != nil {
					t.Errorf("a write through %s: %v", n.Name, err)
					return
				}
			}
		})
	}
	err := old.Live().Leave(within(t, 60*time.Second))
	if err == nil && old.Live().Leads() {
		t.Error("it leads on")
	}
	if err != nil {
		t.Logf("nobody took over in time, as may be on a busy machine: %v", err)
	}
	old.MustPut("through", "the one that leaves")
	cancel()
	writers.Wait()
	if err == nil { // the others do not give it back by themselves
		next := c.Leader()
		if err := next.Live().TransferLeadership(within(t, 60*time.Second), ""); err == nil && old.Live().Leads() {
			t.Error("leadership was handed to a node that leaves")
		}
	}
	old.Stop()
	c.Leader().MustPut("after", "it")
	c.Converge()
}

func TestNodeThatIsAloneLeavesAtOnce(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	if err := c.Leader().Live().Leave(within(t, time.Minute)); err != nil {
		t.Error(err)
	}
	c.Leader().MustPut("still", "here")
}

func TestLeavingWhenNobodyTakesOverEnds(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	old := c.Leader()
	for _, n := range c.Followers(old) {
		n.Kill()
	}
	if err := old.Live().Leave(within(t, 60*time.Second)); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("nobody is there: %v", err)
	}
}
