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

	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("drafts", run)) }

type options struct {
	clients, drafts  int
	lasting          time.Duration
	killEvery        time.Duration // 0: never
	kills            int           // at least, if killEvery is set
	seed             uint64
	storage, program string
	race, json       bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("drafts", flag.ContinueOnError)
	flags.IntVar(&o.clients, "clients", 64, "how many clients work at the same time")
	flags.IntVar(&o.drafts, "drafts", 16, "how many drafts they share")
	flags.DurationVar(&o.lasting, "for", time.Minute, "how long they work")
	flags.DurationVar(&o.killEvery, "kill-every", 0, "about how long the server lives before it is killed (default: it is not)")
	flags.Uint64Var(&o.seed, "seed", 1, "of contents, steps and moments; what the machine does between them is its own")
	flags.StringVar(&o.storage, "storage", "dir", "dir or s3")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.BoolVar(&o.race, "race", false, "build the server with the race detector")
	flags.BoolVar(&o.json, "json", false, "print the results as JSON, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.drafts < 1 || o.clients < o.drafts:
		return o, fmt.Errorf("give at least one draft, and at least as many clients as drafts")
	case o.lasting <= 0 || o.killEvery < 0:
		return o, fmt.Errorf("give times above zero")
	case o.race && o.program != "":
		return o, fmt.Errorf("--race builds a program, --program names one: give one of them")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return site.InFolder("drafts", func(dir string) error { return runIn(ctx, o, dir, stdout) })
}

// runIn builds the program in the folder dir and has it contended for.
func runIn(ctx context.Context, o options, dir string, stdout io.Writer) error {
	build := site.Program(o.program).OrBuild
	if o.race {
		build = site.BuildRace
	}
	program, err := build(ctx, dir)
	if err != nil {
		return err
	}
	r, err := contend(ctx, o, program, filepath.Join(dir, "site"))
	if err != nil {
		return err
	}
	return errors.Join(r.report(stdout, o.json), r.verdict())
}

// contend starts a site in the folder dir, lets the clients work on it, and
// judges.
func contend(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	buckets, err := site.OpenBuckets(ctx, filepath.Join(dir, "s3"), o.storage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, buckets.Close()) }()
	store, err := buckets.Store(o.storage, "north")
	if err != nil {
		return nil, err
	}
	north, err := site.Open(ctx, site.Config{Program: program, Dir: filepath.Join(dir, "north"), Name: "north", Store: store})
	if err != nil {
		return nil, err
	}
	r := &result{
		Clients: o.clients, Drafts: o.drafts, Bundles: (o.drafts + draftsOfBundle - 1) / draftsOfBundle,
		Seed: o.seed, Storage: o.storage, Race: o.race,
	}
	began := time.Now()
	c := &contest{options: o, result: r, north: north, history: &history{}}
	err = errors.Join(c.play(ctx), north.Close())
	r.Took = time.Since(began)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, north.LogTail())
	}
	races, text, err := north.Races()
	if races > 0 {
		r.violation(&r.Races, "%d data races, the first: %s", races, text)
		r.Races = races
	}
	return r, err
}
