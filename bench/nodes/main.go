// Command nodes builds an instance of three nodes as an operator does, with the
// commands and a bucket, lets writers commit through all of them, takes one node
// away meanwhile, and looks for an acknowledged version that is lost or altered,
// a gap among a bundle's versions, and a read that does not show what was
// acknowledged before it.
//
//	go run ./bench/nodes [--writers N] [--kill leader|follower] [--how kill|pause] [--json]
//
// The exit status is 1 if it found one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	writers       int
	victim, how   string
	before, after time.Duration // of load: until the loss of the node, and from when writes succeed again
	program       string
	json          bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("nodes", flag.ContinueOnError)
	flags.IntVar(&o.writers, "writers", 32, "how many write at a time, each a bundle of its own")
	flags.StringVar(&o.victim, "kill", "leader", "which node is lost: leader or follower")
	flags.StringVar(&o.how, "how", "kill", "kill (-9) or pause (SIGSTOP, and SIGCONT after the load)")
	flags.DurationVar(&o.before, "before", 5*time.Second, "load before the loss")
	flags.DurationVar(&o.after, "after", 10*time.Second, "load after writes succeed again")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.victim != "leader" && o.victim != "follower":
		return o, fmt.Errorf("node %q is neither leader nor follower", o.victim)
	case o.how != "kill" && o.how != "pause":
		return o, fmt.Errorf("%q is neither kill nor pause", o.how)
	case o.writers < 1:
		return o, errors.New("give at least one writer")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return site.InFolder("nodes", func(dir string) error {
		program, err := site.Program(o.program).OrBuild(ctx, dir)
		if err != nil {
			return err
		}
		r, err := lose(ctx, o, program, filepath.Join(dir, "instance"))
		if err != nil {
			return err
		}
		return errors.Join(r.report(stdout, o.json), r.verdict())
	})
}

// lose builds the instance, takes a node away under load, brings it back and
// checks everything.
func lose(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	gateway, store, err := startBucket(ctx, filepath.Join(dir, "bucket"))
	if err != nil {
		return nil, err
	}
	defer gateway.Close()
	i := &instance{program: program, dir: dir, store: store}
	defer i.close()
	if err := i.build(ctx, 3); err != nil {
		return nil, err
	}
	l, err := newLoad(ctx, i, o.writers)
	if err != nil {
		return nil, err
	}
	defer l.close()
	victim, err := i.pick(ctx, o.victim == "leader")
	if err != nil {
		return nil, err
	}
	l.start(ctx)
	if site.Pause(ctx, o.before); ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), l.stop())
	}
	l.lost(victim.number)
	if o.how == "kill" {
		victim.kill()
	} else {
		victim.signal(syscall.SIGSTOP)
	}
	if err = l.awaitAgain(ctx); err == nil {
		site.Pause(ctx, o.after)
		err = ctx.Err()
	}
	if err = errors.Join(err, l.stop()); err != nil {
		return nil, err
	}
	if o.how == "kill" {
		if err := victim.start(ctx, ""); err != nil {
			return nil, err
		}
	} else {
		victim.signal(syscall.SIGCONT)
	}
	if err := i.await(ctx, 3); err != nil {
		return nil, fmt.Errorf("the lost node came back: %w", err)
	}
	return l.verify(ctx, o)
}

// startBucket runs an S3 server with one bucket.
func startBucket(ctx context.Context, dir string) (*gatewaytest.Gateway, site.Store, error) {
	program, err := gatewaytest.Find()
	if err != nil {
		return nil, site.Store{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, site.Store{}, err
	}
	g, err := gatewaytest.Start(ctx, program, dir)
	if err != nil {
		return nil, site.Store{}, err
	}
	if err := g.MakeBucket("nodes"); err != nil {
		g.Close()
		return nil, site.Store{}, err
	}
	return g, site.Store{Endpoint: g.Endpoint, Bucket: "nodes", AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey}, nil
}

// report prints the result.
func (r *result) report(w io.Writer, asJSON bool) error {
	if err := r.print(w); err != nil || !asJSON {
		return err
	}
	return site.PrintJSON(w, r)
}
