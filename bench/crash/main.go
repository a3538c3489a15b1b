// Command crash ends a subscriber, a primary or both with kill -9 at random
// moments, again and again, and looks for what must never be: an acknowledged
// version that is lost, a gap or a twin among a bundle's versions, a version
// that is visible with a byte missing or changed, an alarm of an honest peer.
//
//	go run ./bench/crash [--kills N] [--seed S] [--mode subscriber|primary|both] [--north dir|s3] [--south dir|s3] [--json]
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
	"path/filepath"

	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("crash", run)) }

type options struct {
	kills                       int
	seed                        uint64
	mode, north, south, program string
	json                        bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("crash", flag.ContinueOnError)
	flags.IntVar(&o.kills, "kills", 50, "how often each is killed")
	flags.Uint64Var(&o.seed, "seed", 1, "of contents and moments; what the machine does between them is its own")
	flags.StringVar(&o.mode, "mode", "both", "who is killed: subscriber, primary or both (in turn)")
	flags.StringVar(&o.north, "north", "dir", "storage of the primary: dir or s3")
	flags.StringVar(&o.south, "south", "dir", "storage of the subscriber: dir or s3")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.BoolVar(&o.json, "json", false, "print the results as JSON, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.mode != "subscriber" && o.mode != "primary" && o.mode != "both":
		return o, fmt.Errorf("mode %q is none of subscriber, primary, both", o.mode)
	case o.kills < 1:
		return o, fmt.Errorf("give at least one kill")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return site.InFolder("crash", func(dir string) error { return runIn(ctx, o, dir, stdout) })
}

// runIn runs the modes one after the other, in the folder dir.
func runIn(ctx context.Context, o options, dir string, stdout io.Writer) error {
	program, err := site.Program(o.program).OrBuild(ctx, dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, mode := range []string{"subscriber", "primary"} {
		if o.mode != mode && o.mode != "both" {
			continue
		}
		r, err := crash(ctx, mode, o, program, filepath.Join(dir, mode))
		if err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
		errs = append(errs, r.report(stdout, o.json), r.verdict())
	}
	return errors.Join(errs...)
}

// crash opens two sites and runs one mode.
func crash(ctx context.Context, mode string, o options, program site.Program, dir string) (_ *result, err error) {
	pair, err := site.OpenPair(ctx, site.PairConfig{Program: program, Dir: dir, North: o.north, South: o.south})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pair.Close()) }()
	r := &result{Mode: mode, Seed: o.seed, North: o.north, South: o.south}
	if mode == "subscriber" {
		return r, crashSubscriber(ctx, pair, r, o, filepath.Join(dir, "work"))
	}
	return r, crashPrimary(ctx, pair, r, o)
}

// report prints the result.
func (r *result) report(w io.Writer, asJSON bool) error {
	if err := r.print(w); err != nil || !asJSON {
		return err
	}
	return site.PrintJSON(w, r)
}
