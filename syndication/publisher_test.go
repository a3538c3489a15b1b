package syndication

import (
	"context"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// running runs the publisher until the test ends.
func (s *testSite) running() (tick chan<- time.Time) {
	ticks := make(chan time.Time)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- RunPublisher(ctx, PublisherConfig{
			Catalog: s.db, Proposer: s, Identity: func() *Identity { return s.identity }, Now: s.clock.Now, Tick: ticks,
		})
	}()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	return ticks
}

// await waits until the checkpoint satisfies ok.
func (s *testSite) await(ok func(c catalog.SignedCheckpoint) bool) catalog.SignedCheckpoint {
	s.t.Helper()
	for {
		changed := s.db.Changed()
		var c catalog.SignedCheckpoint
		s.view(func(v *catalog.View) { c, _ = v.Checkpoint() })
		if len(c.Note) > 0 && ok(c) {
			return c
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			s.t.Fatalf("the checkpoint is still %+v", c)
		}
	}
}

func TestThePublisherSignsWhateverIsAppended(t *testing.T) {
	a := newSite(t, "north")
	a.running()
	x := a.bundle(a.collection("c"), "x")
	for range 10 {
		a.publish(x, map[string]string{"a": "1"})
	}
	var size int64
	a.view(func(v *catalog.View) { size, _ = v.LogSize() })
	c := a.await(func(c catalog.SignedCheckpoint) bool { return c.Size == size })
	keys, err := publog.NewLogVerifiers(a.identity.ID(), a.identity.Descriptor().LogKeys...)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := publog.ParseCheckpoint(c.Note, a.identity.ID(), keys)
	if err != nil || signed.Size != size || bundle.Digest(signed.Root) != c.Root || signed.Issued != c.Issued {
		t.Errorf("%+v, %v", signed, err)
	}
}

func TestRecordsShareACheckpointWhileThePublisherStandsBack(t *testing.T) {
	a := newSite(t, "north")
	rests, rested := make(chan time.Duration), make(chan time.Time)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- RunPublisher(ctx, PublisherConfig{
			Catalog: a.db, Proposer: slowly{a}, Identity: func() *Identity { return a.identity }, Now: a.clock.Now,
			Tick: make(chan time.Time),
			After: func(d time.Duration) <-chan time.Time {
				rests <- d
				return rested
			},
		})
	}()
	if d := <-rests; d != 4*slowness {
		t.Errorf("it stands back for %v after %v", d, slowness)
	}
	var before int64
	a.view(func(v *catalog.View) { c, _ := v.Checkpoint(); before = c.Size })
	x := a.bundle(a.collection("c"), "x")
	for range 3 {
		a.publish(x, map[string]string{"a": "1"})
	}
	var size int64
	a.view(func(v *catalog.View) {
		size, _ = v.LogSize()
		if c, _ := v.Checkpoint(); c.Size != before {
			t.Errorf("a checkpoint of %d records while it stood back", c.Size)
		}
	})
	rested <- time.Time{}
	<-rests
	if c := a.await(func(catalog.SignedCheckpoint) bool { return true }); c.Size != size || size < before+3 {
		t.Errorf("the next checkpoint has %d records of %d, after one of %d", c.Size, size, before)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// slowness is how long the clock says that each of slowly's proposals takes.
const slowness = 3 * time.Millisecond

type slowly struct{ *testSite }

func (s slowly) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	s.clock.advance(slowness)
	return s.testSite.Propose(ctx, cmd)
}

func TestThePublisherStandsBackForAMomentAtMost(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, time.Millisecond: 4 * time.Millisecond, time.Hour: standBackMax,
	} {
		if got := standBack(took); got != want {
			t.Errorf("%v after %v, want %v", got, took, want)
		}
	}
}

func TestThePublisherRenewsAQuietLogEachMinute(t *testing.T) {
	a := newSite(t, "north")
	tick := a.running()
	first := a.await(func(catalog.SignedCheckpoint) bool { return true })
	a.clock.advance(CheckpointEvery / 2)
	tick <- time.Time{}
	tick <- time.Time{} // taken when the look after the first is over
	if c := a.await(func(catalog.SignedCheckpoint) bool { return true }); c.Issued != first.Issued {
		t.Error("renewed too early")
	}
	a.clock.advance(CheckpointEvery)
	tick <- time.Time{}
	c := a.await(func(c catalog.SignedCheckpoint) bool { return c.Issued > first.Issued })
	if c.Size != first.Size || c.Root != first.Root {
		t.Errorf("%+v became %+v", first, c)
	}
}

func TestIssuedRisesUnderAClockThatStands(t *testing.T) {
	a := newSite(t, "north")
	a.running()
	last := int64(0)
	for range 5 {
		a.collection("c")
		var size int64
		a.view(func(v *catalog.View) { size, _ = v.LogSize() })
		c := a.await(func(c catalog.SignedCheckpoint) bool { return c.Size == size })
		if c.Issued <= last {
			t.Errorf("issued %d after %d", c.Issued, last)
		}
		last = c.Issued
	}
}
