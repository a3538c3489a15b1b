package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// roll stops one node after the other under load and starts it again, with the new
// program if it is an upgrade.
func roll(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	first := program
	if o.old != "" {
		first = site.Program(o.old)
	}
	i, err := o.open(ctx, first, dir, 3)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	l, err := newLoad(ctx, i, o.writers)
	if err != nil {
		return nil, err
	}
	defer l.close()
	l.within, l.again = 10*time.Second, true
	r := &result{Nodes: 3, Writers: o.writers, Roll: o.roll}
	l.start(ctx)
	site.Pause(ctx, o.before)
	for _, n := range i.Nodes() {
		if err = n.Stop(ctx); err != nil {
			break
		}
		n.Use(program)
		if err = n.Start(ctx, ""); err != nil {
			break
		}
		if err = i.AwaitVoters(ctx, len(i.Nodes())); err != nil {
			break
		}
	}
	if err == nil {
		site.Pause(ctx, o.after)
		err = ctx.Err()
	}
	l.stop()
	if err != nil {
		return nil, err
	}
	if err := i.Await(ctx, len(i.Nodes())); err != nil {
		return nil, fmt.Errorf("after all nodes were replaced: %w", err)
	}
	return r, r.verify(ctx, i, l)
}
