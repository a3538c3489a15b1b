// Command join measures a node that is added to an instance with a large catalog,
// under load. It builds an instance of two nodes as an operator does, fills the
// catalog through the API, lets writers commit, adds a third node, and tells
// how long that took, what it cost the leader and the writers, and what it took on
// disk, on the wire and in memory. Then it stops a follower for a while, under
// load, and tells whether the log brought it up to date or another copy.
//
//	go run ./bench/join [--size MIB] [--writers N] [--settle D] [--after D] [--away D]
//
// The exit status is 1 if a commit failed, or a node did not come back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("join", run)) }

type options struct {
	size                int64 // of the catalog, MiB
	writers             int
	settle, after, away time.Duration
	program             string
	json                bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("join", flag.ContinueOnError)
	flags.Int64Var(&o.size, "size", 256, "how large the catalog is, in MiB, before the node is added")
	flags.IntVar(&o.writers, "writers", 8, "how many write at a time, each a bundle of its own")
	flags.DurationVar(&o.settle, "settle", 10*time.Second, "load before the node is added")
	flags.DurationVar(&o.after, "after", 10*time.Second, "load after it votes")
	flags.DurationVar(&o.away, "away", 20*time.Second, "how long a follower is stopped under load in the end; 0: not at all")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.writers < 1 || o.size < 1:
		return o, errors.New("give at least one writer and 1 MiB")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return site.InFolder("join", func(dir string) error {
		program, err := site.Program(o.program).OrBuild(ctx, dir)
		if err != nil {
			return err
		}
		r, err := measure(ctx, o, program, filepath.Join(dir, "instance"))
		if err != nil {
			return err
		}
		return errors.Join(r.report(stdout, o.json), r.verdict())
	})
}

// patience bounds each wait for the program. A large catalog takes its time.
const patience = 30 * time.Minute

// measure does it all.
func measure(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	i, err := lab.Open(ctx, lab.Options{Program: program, Dir: dir, Nodes: 2})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	l, err := newLoad(ctx, i, o.writers)
	if err != nil {
		return nil, err
	}
	defer l.close()
	r := &result{Writers: o.writers}
	if err := r.fill(ctx, i, l, o.size<<20); err != nil {
		return nil, err
	}
	l.start(ctx)
	defer l.stop()
	if r.Before, err = l.during(ctx, o.settle); err != nil {
		return nil, err
	}
	if err := r.join(ctx, i, l); err != nil {
		return nil, err
	}
	if r.After, err = l.during(ctx, o.after); err != nil {
		return nil, err
	}
	if o.away > 0 {
		err = r.leave(ctx, i, o.away)
	}
	return r, err
}
