package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// stretch is a leader of one term, as its work got it.
type stretch struct {
	cluster.Leader
	over <-chan struct{} // closed when it has ended
}

// stretches registers work that tells of each stretch of leadership.
func stretches(n *clustertest.Node) <-chan stretch {
	out := make(chan stretch, 64)
	n.Live().WhileLeader(func(ctx context.Context, l cluster.Leader) {
		out <- stretch{l, ctx.Done()}
		<-ctx.Done()
	})
	return out
}

// decide lets a leader decide; it is never passed on, so it answers soon.
func decide(t *testing.T, l cluster.Leader, value string) error {
	t.Helper()
	r, err := l.Propose(within(t, time.Minute), catalog.NewCommand(time.Now(), catalog.PutSecret{Name: "x", Sealed: []byte(value)}))
	if err == nil && r.Err != nil {
		err = r.Err
	}
	return err
}

func fieldOf(err error, name string) string {
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok {
		return ""
	}
	return e.Fields[name]
}

// TestADeposedLeaderDecidesNothing partitions a leader off, lets another take
// over, and has the first one's work go on deciding: while it does not know yet,
// when it follows, and when it leads again in another term.
func TestADeposedLeaderDecidesNothing(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Nodes: 3})
	works := map[*clustertest.Node]<-chan stretch{}
	for _, n := range c.Nodes() {
		works[n] = stretches(n)
	}
	var old *clustertest.Node
	var first stretch
	c.Eventually("a leader decides", func() bool {
		old = c.Leader()
		select {
		case first = <-works[old]:
		default:
		}
		return first.Term() > 0 && decide(t, first.Leader, "in time") == nil
	})
	c.Converge()

	// Another one leads, while the first one has begun to decide something.
	c.Isolate(old)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := make(chan error, 1)
	go func() {
		_, err := first.Propose(ctx, catalog.NewCommand(time.Now(), catalog.PutSecret{Name: "x", Sealed: []byte("alone")}))
		began <- err
	}()
	c.LeaderAmong(c.Followers(old)...).MustPut("x", "by the next")
	<-first.over
	cancel()
	if err := <-began; err == nil {
		t.Error("a leader without the others decided something")
	}

	// It is back and follows: nothing is passed on.
	c.Heal()
	c.Eventually("the deposed leader follows", func() bool { return has(t, old, "x", "by the next") })
	if err := decide(t, first.Leader, "late"); fieldOf(err, "reason") != "deposed" {
		t.Errorf("a deposed leader was answered %v", err)
	}

	// It leads again, in another term: what was decided in the old one is void.
	c.Eventually("it leads again", func() bool {
		if leader := c.Leader(); leader != old {
			_ = leader.Live().TransferLeadership(within(t, time.Minute), old.ID()) // tried until it leads
		}
		return old.Live().Leads() && old.Live().Stats().Term > first.Term()
	})
	if err := decide(t, first.Leader, "too late"); fieldOf(err, "reason") != "deposed" {
		t.Errorf("a deposed leader that leads again was answered %v", err)
	}
	// The same past the check on this node, as when the term ends just after it:
	// the log refuses it.
	late := catalog.NewCommand(time.Now(), catalog.PutSecret{Name: "x", Sealed: []byte("at the last moment")})
	late.Term = first.Term()
	c.Eventually("the log refuses it", func() bool {
		_, err := old.Propose(within(t, time.Minute), late)
		if bundle.IsKind(err, bundle.KindUnavailable) {
			return false // no leader at this moment
		}
		if !bundle.IsKind(err, bundle.KindConflict) || fieldOf(err, "reason") != "deposed" {
			t.Fatalf("got %v", err)
		}
		return true
	})
	c.Converge()
	for _, n := range c.Nodes() {
		if !has(t, n, "x", "by the next") {
			t.Errorf("%s has what a deposed leader decided", n.Name)
		}
	}
}

// watched tells of the commands that are applied.
type watched struct {
	cluster.StateMachine
	applied chan<- catalog.Entry
}

func (w watched) Apply(entries []catalog.Entry) ([]catalog.Result, error) {
	for _, e := range entries {
		w.applied <- e
	}
	return w.StateMachine.Apply(entries)
}

// TestALeadersCommandCarriesItsTerm from level 2 on, and what anybody proposes
// carries none.
func TestALeadersCommandCarriesItsTerm(t *testing.T) {
	t.Parallel()
	for _, level := range []uint64{1, 2} {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			t.Parallel()
			var highest atomic.Uint64
			highest.Store(level)
			applied := make(chan catalog.Entry, 64)
			c := clustertest.Start(t, clustertest.Options{Configure: func(_ *clustertest.Node, config *cluster.Config) {
				config.Catalog = watched{understands{config.Catalog, &highest}, applied}
			}})
			n := c.Leader()
			l := (<-stretches(n)).Leader
			for name, propose := range map[string]func(catalog.Command) (catalog.Result, error){
				"leader": func(cmd catalog.Command) (catalog.Result, error) { return l.Propose(within(t, time.Minute), cmd) },
				"anyone": func(cmd catalog.Command) (catalog.Result, error) { return n.Propose(within(t, time.Minute), cmd) },
			} {
				sent := catalog.NewCommand(time.Now(), catalog.PutSecret{Name: name, Sealed: []byte("x")})
				if r, err := propose(sent); err != nil || r.Err != nil {
					t.Fatal(err, r.Err)
				}
				want := uint64(0)
				if name == "leader" && level >= catalog.TermLevel {
					want = l.Term()
				}
				for { // past what raised the level
					e := <-applied
					got, err := catalog.DecodeCommand(e.Data)
					if err != nil {
						t.Fatal(err)
					}
					if _, raises := got.Body.(catalog.RaiseLevel); raises && got.Term != e.Term {
						t.Errorf("what raises the level has term %d in an entry of term %d", got.Term, e.Term)
					}
					if got.Request != sent.Request {
						continue
					}
					if got.Term != want || want != 0 && e.Term != want {
						t.Errorf("%s: the command has term %d in an entry of term %d, want %d", name, got.Term, e.Term, want)
					}
					break
				}
			}
		})
	}
}
