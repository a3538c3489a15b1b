package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
	apiclient "github.com/blockstored/blockstored/client"
)

// leaderWithin bounds the search for a leader to strike; one of the nodes is
// struck if there is none.
const leaderWithin = 2 * time.Second

// inflict lets one fault after the other happen and end. What goes wrong in the
// lab itself is an error.
func (p *play) inflict(ctx context.Context) error {
	for _, f := range p.faults {
		if site.Pause(ctx, f.After); ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.strike(ctx, f); err != nil {
			return fmt.Errorf("fault %+v: %w", f, err)
		}
		if p.result.Faults[f.Kind]++; f.And != "" {
			p.result.Faults[f.And]++
		}
		p.revive()
	}
	return nil
}

func (p *play) strike(ctx context.Context, f fault) error {
	n, other := p.lab.Nodes()[f.Node], p.lab.Nodes()[f.Other]
	if f.Leader {
		asking, cancel := context.WithTimeout(ctx, leaderWithin)
		if leader, err := p.lab.Leader(asking); err == nil && leader != n {
			n, other = leader, n
		}
		cancel()
	}
	p.note("%s %s (%s) %s", f.Kind, n.Name(), f.For, f.And)
	defer p.note("%s is over", f.Kind)
	end, err := p.slowDown(f, other)
	if err == nil {
		err = p.strikeNode(ctx, f, n, other)
	}
	return errors.Join(err, end())
}

// slowDown begins what is slow meanwhile and returns what ends it. It is milder
// than the fault of that kind.
func (p *play) slowDown(f fault, n *lab.Node) (end func() error, err error) {
	switch f.And {
	case slow:
		return func() error { p.lab.Heal(); return nil }, p.lab.Slow(n, 30*time.Millisecond, 30*time.Millisecond, 0)
	case crawl:
		return func() error { return p.lab.ThawDisk(n) }, p.lab.SlowDisk(n, 100*time.Millisecond, 200*time.Millisecond)
	case bucket:
		p.lab.Bucket().Fail(0.2)
		return func() error { p.lab.Bucket().Restore(); return nil }, nil
	}
	return func() error { return nil }, nil
}

// victims are the nodes that a fault of one node strikes: now and then two, or
// all.
func (p *play) victims(f fault, n, other *lab.Node) []*lab.Node {
	switch {
	case f.Part < 0.1:
		return p.lab.Nodes()
	case f.Part < 0.3:
		return []*lab.Node{n, other}
	default:
		return []*lab.Node{n}
	}
}

func (p *play) strikeNode(ctx context.Context, f fault, n, other *lab.Node) error {
	l, victims := p.lab, p.victims(f, n, other)
	switch f.Kind {
	case kill:
		for _, v := range victims {
			v.Kill()
		}
		site.Pause(ctx, f.For)
		return p.start(victims...)
	case restart:
		if err := n.Stop(ctx); err != nil {
			find(&p.findings.Unhealed, "%v", err)
		}
		site.Pause(ctx, f.For)
		return p.start(n)
	case transfer:
		return p.transfer(ctx, n, other)
	case pause:
		for _, v := range victims {
			v.Pause()
		}
		site.Pause(ctx, f.For)
		for _, v := range victims {
			v.Resume()
		}
		return nil
	case freeze, crawl, full:
		return p.strikeDisk(ctx, f, n)
	case bucket:
		if l.Bucket().Fail(f.Part); f.Leader {
			l.Bucket().Delay(time.Duration(f.Part * float64(time.Second)))
		}
		site.Pause(ctx, f.For)
		l.Bucket().Restore()
		return nil
	}
	if err := p.cut(f, n, other); err != nil {
		return err
	}
	site.Pause(ctx, f.For)
	l.Heal()
	return nil
}

func (p *play) strikeDisk(ctx context.Context, f fault, n *lab.Node) error {
	begin, end := func() error { return p.lab.FreezeDisk(n) }, p.lab.ThawDisk
	switch f.Kind {
	case crawl:
		begin = func() error {
			return p.lab.SlowDisk(n, 20*time.Millisecond+time.Duration(f.Part*float64(400*time.Millisecond)), 500*time.Millisecond)
		}
	case full:
		begin, end = func() error { return p.lab.FillDisk(n) }, p.lab.FreeDisk
	}
	p.filled[n] = p.filled[n] || f.Kind == full
	if err := begin(); err != nil {
		return err
	}
	site.Pause(ctx, f.For)
	return end(n)
}

// cut does what a fault of the network does, until the lab is healed.
func (p *play) cut(f fault, n, other *lab.Node) error {
	switch {
	case f.Kind == slow:
		delay := 10*time.Millisecond + time.Duration(f.Part*float64(200*time.Millisecond))
		return p.lab.Slow(n, delay, delay/2, f.Part/20)
	case f.Kind == isolate:
		return p.lab.Isolate(n)
	case f.Kind == partition:
		return p.lab.Partition(n, other)
	case f.Part < 0.3:
		return p.lab.Mute(n)
	case f.Part < 0.6:
		return p.lab.Deafen(n)
	default:
		return p.lab.Cut(n, other)
	}
}

// transfer hands leadership from n to other, if it has it. That this fails while
// nodes are behind is nothing to find.
func (p *play) transfer(ctx context.Context, n, other *lab.Node) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := n.Operator(func(c *apiclient.Client) error { return c.TransferLeadership(ctx, other.Name()) })
	if err != nil {
		p.note("transfer: %v", err)
	}
	return nil
}

// revive starts nodes that have ended. Nobody asked them to, which is a finding
// unless their disk was full since they were started last: then that is what they
// have to do, if they notice.
func (p *play) revive() {
	for _, n := range p.lab.Nodes() {
		if n.Running() {
			continue
		}
		p.note("%s had ended", n.Name())
		if !p.filled[n] {
			find(&p.findings.Ended, "node %s ended by itself: %s", n.Name(), lastLine(n.LogTail()))
		}
		if err := p.start(n); err != nil {
			find(&p.findings.Ended, "node %s does not start again: %v", n.Name(), err)
		}
	}
}

// start runs nodes again and does not wait for them.
func (p *play) start(some ...*lab.Node) error {
	var errs []error
	for _, n := range some {
		p.filled[n] = false
		errs = append(errs, n.Launch(""))
	}
	return errors.Join(errs...)
}

// heal ends everything that is wrong and waits until all nodes are well. That they
// do not become so is a finding.
func (p *play) heal(ctx context.Context) {
	p.lab.Heal()
	p.lab.Bucket().Restore()
	for _, n := range p.lab.Nodes() {
		n.Resume()
		if err := errors.Join(p.lab.ThawDisk(n), p.lab.FreeDisk(n)); err != nil {
			find(&p.findings.Unhealed, "node %s: %v", n.Name(), err)
		}
	}
	err := lab.Until(ctx, func(ctx context.Context) error {
		p.revive()
		for _, n := range p.lab.Nodes() {
			if !n.Ready(ctx) {
				return fmt.Errorf("node %s is not ready; it said last: %s", n.Name(), lastLine(n.LogTail()))
			}
		}
		return nil
	})
	if err == nil {
		err = p.lab.Await(ctx, nodes)
	}
	if err != nil && ctx.Err() == nil {
		find(&p.findings.Unhealed, "%v", err)
		for _, n := range p.lab.Nodes() {
			if !n.Ready(ctx) {
				n.Abort() // its log shows where it hangs
			}
		}
	}
}
