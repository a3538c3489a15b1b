package cluster_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// understands makes a node's program one that understands less.
type understands struct {
	cluster.StateMachine
	highest *atomic.Uint64
}

func (u understands) Levels() (inForce, highest uint64) {
	inForce, highest = u.StateMachine.Levels()
	return inForce, min(highest, u.highest.Load())
}

// TestTheLevelRisesWithTheLastNode upgrades the nodes of an instance one by one.
func TestTheLevelRisesWithTheLastNode(t *testing.T) {
	t.Parallel()
	var highest [4]atomic.Uint64
	for i := range highest {
		highest[i].Store(1)
	}
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		config.Catalog = understands{config.Catalog, &highest[n.Name[1]-'0']}
	}})
	for i := 1; i <= 3; i++ {
		n := c.Node(i)
		c.Leader().MustPut("level 1", "is written")
		for _, other := range c.Nodes() {
			if level := other.Live().Stats().Level; level != 1 {
				t.Fatalf("level %d is in force on %s while %s understands 1", level, other.Name, n.Name)
			}
		}
		// A command of a higher level is not proposed; a leader's is written in
		// the older form.
		_, err := c.Leader().Live().Propose(t.Context(), catalog.NewCommand(time.Now(), catalog.DeleteDraft{ID: bundle.NewID(), IfRevision: 1}))
		if !bundle.IsKind(err, bundle.KindUnavailable) || fieldOf(err, "reason") != "level" {
			t.Fatalf("a command of level 2 was answered %v", err)
		}
		n.Stop()
		highest[i].Store(catalog.HighestLevel)
		n.Start()
	}
	c.Eventually("the level rises on all nodes", func() bool {
		for _, n := range c.Nodes() {
			if n.Live().Stats().Level != catalog.HighestLevel {
				return false
			}
		}
		return true
	})
	for _, s := range c.Leader().Live().Nodes(t.Context()) {
		if s.Answers && s.Level != catalog.HighestLevel {
			t.Errorf("%s says that it understands level %d", s.ID, s.Level)
		}
	}
	c.Eventually("a command of level 2 is proposed", func() bool {
		_, err := c.Leader().Propose(within(t, time.Minute), catalog.NewCommand(time.Now(), catalog.DeleteDraft{ID: bundle.NewID(), IfRevision: 1}))
		return bundle.IsKind(err, bundle.KindNotFound) // there is no such draft
	})
	c.Converge()
}

// TestANewInstanceIsAtTheHighestLevel before anything else is in its log.
func TestANewInstanceIsAtTheHighestLevel(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	if level := c.Leader().Live().Stats().Level; level != catalog.HighestLevel {
		t.Errorf("level %d is in force", level)
	}
}
