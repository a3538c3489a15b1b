// Command bench measures the built program, and in the same run what it is held
// against: the durable steps a commit is made of, and other servers of the same
// bytes. It prints one table of medians and ratios, with each target beside it.
//
//	go run ./bench [--only P1,P3] [--quick] [--json FILE] [--program PATH]
//	go run ./bench --profile FILE [--clients N]   # CPU profile of P1
//
// Absolute times are the machine's; the ratios are the result. Subjects take
// turns (A B C A B C …), and each ratio is the median of those within a round.
// The clients run beside the server and take their share of the processors.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

func main() { os.Exit(site.Main("bench", start)) }

type options struct {
	only, json, program, profile string
	quick                        bool
	bundles, clients             int
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.only, "only", "P1,P2,P3", "workloads to run, with commas between them")
	flags.BoolVar(&o.quick, "quick", false, "shorter slices and a smaller catalog")
	flags.IntVar(&o.bundles, "bundles", 100_000, "bundles in the largest table of P3")
	flags.StringVar(&o.json, "json", "", "file to write the numbers to")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile of P1 to this file, and do nothing else")
	flags.IntVar(&o.clients, "clients", mostClients, "clients under --profile")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, w := range o.workloads() {
		if !slices.Contains([]string{"P1", "P2", "P3"}, w) {
			return o, fmt.Errorf("workload %q: there are P1, P2 and P3", w)
		}
	}
	if o.bundles < 1 || o.clients < 1 {
		return o, fmt.Errorf("--bundles %d, --clients %d: give at least 1", o.bundles, o.clients)
	}
	return o, nil
}

func (o options) workloads() []string { return strings.Split(o.only, ",") }

// bench is a run: its folder, and what it started.
type bench struct {
	options options
	rhythm  rhythm
	dir     string
	program site.Program
	floors  *floors
	buckets *buckets // nil without an S3 server
	edits   edits
	opened  []*instance
	report  report
}

func start(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return site.InFolder("bench", func(dir string) error { return runIn(ctx, o, dir, stdout) })
}

// runIn measures in the folder dir, and prints.
func runIn(ctx context.Context, o options, dir string, stdout io.Writer) error {
	if o.profile != "" {
		return profile(ctx, filepath.Join(dir, "data"), o.profile, o.clients, stdout)
	}
	b := &bench{options: o, dir: dir, program: site.Program(o.program), rhythm: rhythm{rounds: 5, slice: time.Second}}
	if o.quick {
		b.rhythm = rhythm{rounds: 3, slice: 400 * time.Millisecond}
		b.options.bundles = min(o.bundles, 10_000)
	}
	if err := errors.Join(b.measure(ctx), b.close()); err != nil {
		return err
	}
	if err := b.report.print(stdout); err != nil || o.json == "" {
		return err
	}
	encoded, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(encoded, '\n'), 0o600)
}

func (b *bench) measure(ctx context.Context) (err error) {
	if b.program, err = b.program.OrBuild(ctx, b.dir); err != nil {
		return err
	}
	if b.floors, err = newFloors(filepath.Join(b.dir, "floors")); err != nil {
		return err
	}
	b.buckets, err = startBuckets(ctx, filepath.Join(b.dir, "s3"))
	if errors.Is(err, gatewaytest.ErrNotFound) {
		b.skip("S3 storage", err.Error())
	} else if err != nil {
		return err
	}
	if b.buckets != nil {
		store, err := b.buckets.store("floor")
		if err != nil {
			return err
		}
		if err := b.floors.useBucket(ctx, store); err != nil {
			return err
		}
	}
	workloads := map[string]func(context.Context) ([]row, error){"P1": b.p1, "P2": b.p2, "P3": b.p3}
	for _, w := range b.options.workloads() {
		rows, err := workloads[w](ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
		b.report.Rows = append(b.report.Rows, rows...)
		if err := b.closeSites(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) skip(what, why string) {
	b.report.Skipped = append(b.report.Skipped, what+": "+why)
}

// drivers are the kinds of storage that can be measured here.
func (b *bench) drivers() []string {
	if b.buckets == nil {
		return []string{"dir"}
	}
	return []string{"dir", "s3"}
}

// closeSites ends the sites of a workload.
func (b *bench) closeSites() error {
	var errs []error
	for _, s := range b.opened {
		errs = append(errs, s.Close())
	}
	b.opened = nil
	return errors.Join(errs...)
}

func (b *bench) close() error {
	errs := []error{b.closeSites()}
	if b.buckets != nil {
		b.buckets.close()
	}
	if b.floors != nil {
		errs = append(errs, b.floors.close())
	}
	return errors.Join(errs...)
}
