package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// loss is a node that is away, and what is seen meanwhile. The load's lock guards
// it.
type loss struct {
	node    int
	from    time.Time // when it began to go
	gone    time.Time // when it was away for sure; zero before
	again   time.Time // when a commit that began after that was acknowledged first
	resumed chan struct{}
	apart   // what the node itself answered
}

// apart is what a node answered that was cut off.
type apart struct {
	Reads        int `json:"reads"`
	Stale        int `json:"reads_marked_stale"`
	Acknowledged int `json:"commits_acknowledged"`
	Refused      int `json:"commits_refused"`
	Unanswered   int `json:"commits_unanswered"`
}

// lose builds the instance and takes a node away under load and brings it back, as
// often as it is told, and checks everything in the end.
func lose(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	i, err := o.open(ctx, program, dir, 3)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	l, err := newLoad(ctx, i, o.writers)
	if err != nil {
		return nil, err
	}
	defer l.close()
	r := &result{Nodes: 3, Writers: o.writers, Lost: o.victim, How: o.how}
	for range o.rounds {
		if err := r.round(ctx, o, i, l); err != nil {
			return nil, err
		}
	}
	return r, r.verify(ctx, i, l)
}

// round is one loss.
func (r *result) round(ctx context.Context, o options, i *lab.Lab, l *load) error {
	victim, err := pick(ctx, i, o.victim)
	if err != nil {
		return err
	}
	l.start(ctx)
	site.Pause(ctx, o.before)
	lost := l.lost(victim)
	back, err := takeAway(ctx, o, i, i.Nodes()[victim])
	l.away()
	if err == nil {
		err = lost.await(ctx)
	}
	if err == nil {
		site.Pause(ctx, o.after)
		err = ctx.Err()
	}
	l.stop()
	if err = errors.Join(err, back()); err != nil {
		return err
	}
	if err := i.Await(ctx, len(i.Nodes())); err != nil {
		return fmt.Errorf("the lost node came back: %w", err)
	}
	r.Again = append(r.Again, lost.again.Sub(lost.from))
	if o.how == "isolate" {
		r.Apart = append(r.Apart, lost.apart)
		if lost.Acknowledged > 0 {
			r.violation("a node that was cut off from the others acknowledged %d commits", lost.Acknowledged)
		}
	}
	return nil
}

// pick returns the number of the node that leads, or of one that does not.
func pick(ctx context.Context, i *lab.Lab, which string) (int, error) {
	leader, err := i.Leader(ctx)
	if err != nil {
		return 0, err
	}
	for k, n := range i.Nodes() {
		if (n == leader) == (which == "leader") {
			return k, nil
		}
	}
	return 0, fmt.Errorf("there is no %s", which)
}

// takeAway loses a node and returns how it comes back.
func takeAway(ctx context.Context, o options, i *lab.Lab, n *lab.Node) (back func() error, err error) {
	switch o.how {
	case "kill":
		n.Kill()
		return func() error { return n.Start(ctx, "") }, nil
	case "pause":
		n.Pause()
		return func() error { n.Resume(); return nil }, nil
	case "isolate":
		return func() error { i.Heal(); return nil }, i.Isolate(n)
	}
	thawing, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	var thawed error
	err = i.FreezeDisk(n)
	work.Go(func() {
		site.Pause(thawing, o.frozen)
		thawed = i.ThawDisk(n)
	})
	return func() error {
		cancel()
		work.Wait()
		if !n.Running() { // its disk was gone for too long
			thawed = errors.Join(thawed, n.Start(ctx, ""))
		}
		return thawed
	}, err
}

// lost notes that a node is being taken away, and drops idle connections to it.
func (l *load) lost(node int) *loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss = &loss{node: node, from: time.Now(), resumed: make(chan struct{})}
	l.apis[node].Close()
	return l.loss
}

// away notes that the node is gone.
func (l *load) away() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss.gone = time.Now()
}

// tried notes a commit that was tried at a node.
func (s *loss) tried(at int, began time.Time, err error) {
	if s.gone.IsZero() || !began.After(s.gone) {
		return
	}
	_, refused := errors.AsType[*site.StatusError](err)
	switch {
	case at != s.node:
	case err == nil:
		s.Acknowledged++
	case refused:
		s.Refused++
	case !errors.Is(err, context.Canceled): // at the end of the load
		s.Unanswered++
	}
	if err == nil && s.again.IsZero() {
		s.again = time.Now()
		close(s.resumed)
	}
}

// read notes a read that a node answered.
func (s *loss) read(at int, began time.Time, stale bool) {
	if at != s.node || s.gone.IsZero() || !began.After(s.gone) {
		return
	}
	s.Reads++
	if stale {
		s.Stale++
	}
}

// await waits until a write succeeded that began after the loss.
func (s *loss) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-s.resumed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no write succeeded after the loss of the node: %w", ctx.Err())
	}
}
