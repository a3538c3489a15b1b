package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

func TestNodesForwardAndHaveAppliedWhatTheyAnswer(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true})
	for i := range 20 {
		for _, n := range c.Nodes() {
			key := fmt.Sprintf("%s/%d", n.Name, i)
			n.MustPut(key, "x")
			if !has(t, n, key, "x") {
				t.Errorf("%s answered before it had applied %s", n.Name, key)
			}
		}
	}
	c.Converge()
}

func TestRefusalsAndResultsAreTheSameFromEveryNode(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	for _, cmd := range []catalog.Command{
		catalog.NewCommand(time.Now(), catalog.PutSecret{Name: "x", Sealed: []byte("y")}),
		catalog.NewCommand(time.Now(), catalog.CreateBundle{ID: bundle.NewID(), Collection: bundle.NewID(), Title: "of nothing"}),
		catalog.NewCommand(time.Now(), catalog.RevokeToken{Name: "nobody"}),
	} {
		var want catalog.Result
		for i, n := range c.Nodes() {
			got, err := n.Live().Propose(within(t, time.Minute), cmd)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				want = got
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%T from %s: %+v, from n1: %+v", cmd.Body, n.Name, got, want)
			}
		}
	}
}

func TestWhatOneNodeAcknowledgedEveryNodeReads(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	for i := range 20 {
		writer := c.Nodes()[i%3]
		value := fmt.Sprint(i)
		writer.MustPut("key", value)
		for _, level := range []cluster.Level{cluster.Consistent, cluster.Strong} {
			for _, n := range c.Nodes() {
				got, stale, err := n.Get(within(t, time.Minute), level, "key")
				if err != nil || stale || got != value {
					t.Errorf("written by %s, read %v from %s: %q, want %q (stale %v, %v)", writer.Name, level, n.Name, got, value, stale, err)
				}
			}
		}
	}
}

func TestReadOnANodeThatIsBehindWaits(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	leader := c.Leader()
	behind := c.Followers(leader)[0]
	behind.Disk().Freeze()
	leader.MustPut("key", "x")
	done := make(chan string, 1)
	go func() {
		value, _, err := behind.Get(within(t, time.Minute), cluster.Consistent, "key")
		if err != nil {
			t.Error(err)
		}
		done <- value
	}()
	if got, _, err := behind.Get(within(t, time.Second), cluster.Local, "key"); err != nil || got != "" {
		t.Errorf("local: %q, %v", got, err)
	}
	_, _, err := behind.Get(within(t, 100*time.Millisecond), cluster.Consistent, "key")
	if !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("a reader with little time: %v", err)
	}
	behind.Disk().Thaw()
	if got := <-done; got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestReadsWithoutALeader(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: func(n *clustertest.Node, config *cluster.Config) {
		if n.Name == "n2" {
			config.MaxStaleness = 2 * time.Second
		}
	}})
	c.Node(1).MustPut("key", "x")
	c.Converge()
	c.Isolate(c.Node(2))
	c.Isolate(c.Node(3))
	n := c.Node(3)
	if got, stale, err := n.Get(within(t, time.Minute), cluster.Consistent, "key"); got != "x" || !stale || err != nil {
		t.Errorf("consistent: %q, stale %v, %v", got, stale, err)
	}
	if got, stale, err := n.Get(t.Context(), cluster.Local, "key"); got != "x" || stale || err != nil {
		t.Errorf("local: %q, stale %v, %v", got, stale, err)
	}
	if _, _, err := n.Get(within(t, time.Minute), cluster.Strong, "key"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("strong: %v", err)
	}
	for _, level := range []cluster.Level{cluster.Local, cluster.Consistent} {
		c.Eventually("a node of limited staleness refuses", func() bool {
			_, _, err := c.Node(2).Get(within(t, time.Minute), level, "key")
			return bundle.IsKind(err, bundle.KindUnavailable)
		})
	}
	c.Heal()
	for _, n := range c.Nodes() {
		c.Eventually(n.Name+" reads as before", func() bool {
			got, stale, err := n.Get(within(t, time.Minute), cluster.Consistent, "key")
			return got == "x" && !stale && err == nil
		})
	}
}

func TestWithoutALeaderNothingIsProposed(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	leader := c.Leader()
	left := c.Followers(leader)[0]
	for _, n := range c.Nodes() {
		if n != left {
			n.Kill()
		}
	}
	c.Eventually("the last node knows that nobody leads", func() bool { return left.Live().Stats().Leader == "" })
	err := left.Put(within(t, time.Minute), "key", "x")
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok || e.Kind != bundle.KindUnavailable || e.Fields["outcome"] != "" {
		t.Errorf("got %#v", err)
	}
}

// A leader that took a command and cannot say what came of it.
func TestForwardedCommandWithoutAnswerIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient})
	leader := c.Leader()
	n := c.Followers(leader)[0]
	var before sync.WaitGroup
	for i := range 8 { // there are connections, and not only for what the nodes ask each other
		before.Go(func() { n.MustPut(fmt.Sprint("before", i), "x") })
	}
	before.Wait()
	c.Cut(leader, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- n.Put(ctx, "key", "x") }()
	c.Eventually("the leader has applied it", func() bool { return has(t, leader, "key", "x") })
	cancel()
	err := <-answered
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok || e.Kind != bundle.KindUnavailable || e.Fields["outcome"] != "unknown" {
		t.Errorf("got %#v", err)
	}
}

func TestWritersThroughAllNodesOutliveTheirLeaders(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	stop := make(chan struct{})
	var writers sync.WaitGroup
	acknowledged := make([]atomic.Int64, 3)
	for i, n := range c.Nodes() {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n.Live() == nil {
					continue
				}
				key := fmt.Sprintf("%s/%d", n.Name, acknowledged[i].Load())
				// A node that stops refuses; what it refused is written again.
				if n.Put(within(t, time.Minute), key, "x") == nil {
					acknowledged[i].Add(1)
				}
			}
		})
	}
	for _, end := range []func(*clustertest.Node){(*clustertest.Node).Stop, (*clustertest.Node).Kill} {
		leader := c.Leader()
		end(leader)
		c.Leader()
		leader.Start()
	}
	for i, n := range c.Nodes() {
		c.Eventually(n.Name+" acknowledges", func() bool { return acknowledged[i].Load() > 0 })
	}
	close(stop)
	writers.Wait()
	c.Converge()
	for i, n := range c.Nodes() {
		for j := range acknowledged[i].Load() {
			if key := fmt.Sprintf("%s/%d", n.Name, j); !has(t, n, key, "x") {
				t.Errorf("%s was acknowledged and is lost", key)
			}
		}
	}
}

// Who waits on a follower while the leader dies gets an answer, not an error.
func TestForwardedCommandOutlivesItsLeader(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Configure: patient}) // commands wait for a leader for longer, too
	leader := c.Leader()
	n := c.Followers(leader)[0]
	for _, other := range c.Followers(leader) { // what the leader takes is not committed
		c.Cut(other, leader)
	}
	done := make(chan error, 1)
	go func() { done <- n.Put(within(t, time.Minute), "key", "x") }()
	leader.Kill()
	c.Heal()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !has(t, n, "key", "x") {
		t.Error("acknowledged and not there")
	}
}

func TestRemovedNodeIsRefused(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true})
	leader := c.Leader()
	n := c.Followers(leader)[0]
	n.MustPut("before", "x")
	if err := leader.Live().Remove(within(t, time.Minute), n.ID()); err != nil {
		t.Fatal(err)
	}
	err := n.Put(within(t, time.Minute), "after", "x")
	if !bundle.IsKind(err, bundle.KindForbidden) && !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("got %v", err)
	}
	if !has(t, leader, "after", "") {
		t.Error("a node that is no member changed the catalog")
	}
	leader.MustPut("after", "y")
}
