// Command twosites publishes a folder as one bundle at a site and lets a second
// site follow it, both run as a user runs them; compares every file; then edits
// one file and publishes again. It prints what that took: wall time, bytes on
// the wire against bytes of content, objects and requests.
//
//	go run ./bench/twosites [--from DIR] [--north dir|s3] [--south dir|s3] [--kills N] [--json]
//
// With --kills the second site is ended with kill -9 that many times while it
// pulls, and a third site pulls the same undisturbed, which shows what was
// fetched twice. The exit status is 1 if anything went wrong or differed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("twosites", run)) }

type options struct {
	from, north, south, program string
	kills                       int
	json                        bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("twosites", flag.ContinueOnError)
	flags.StringVar(&o.from, "from", "", "folder to publish (default: the sources of Go's library)")
	flags.StringVar(&o.north, "north", "dir", "storage of the primary: dir or s3")
	flags.StringVar(&o.south, "south", "s3", "storage of the subscriber: dir or s3")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.IntVar(&o.kills, "kills", 0, "how often to kill -9 the subscriber during its first pull")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return site.InFolder("twosites", func(dir string) error { return runIn(ctx, o, dir, stdout) })
}

// runIn publishes a copy of the folder that was chosen, with all its work in the
// folder dir.
func runIn(ctx context.Context, o options, dir string, stdout io.Writer) error {
	source := filepath.Join(dir, "source")
	if err := copySource(ctx, o.from, source); err != nil {
		return err
	}
	program, err := site.Program(o.program).OrBuild(ctx, dir)
	if err != nil {
		return err
	}
	result, err := measure(ctx, o, program, dir, source)
	if err != nil {
		return err
	}
	if err := result.print(stdout); err != nil || !o.json {
		return err
	}
	return site.PrintJSON(stdout, result)
}

// copySource copies the regular files of a folder, so that one can be edited.
func copySource(ctx context.Context, from, to string) error {
	if from == "" {
		root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return fmt.Errorf("go env GOROOT: %w", err)
		}
		from = filepath.Join(strings.TrimSpace(string(root)), "src")
	}
	return os.CopyFS(to, os.DirFS(from))
}

// measure opens the sites, runs both phases and compares what arrived.
func measure(ctx context.Context, o options, program site.Program, dir, source string) (_ *result, err error) {
	pair, err := site.OpenPair(ctx, site.PairConfig{
		Program: program, Dir: filepath.Join(dir, "sites"), North: o.north, South: o.south,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pair.Close()) }()
	client, err := site.StartProxy(ctx, pair.North.Listen())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	r := &result{North: o.north, South: o.south, Source: "the sources of Go's library"}
	if o.from != "" {
		r.Source = o.from
	}
	m := &measurement{pair: pair, client: client, source: source, dir: dir, result: r}
	if err := m.first(ctx, o.kills); err != nil {
		return nil, fmt.Errorf("first version: %w", err)
	}
	if o.kills > 0 {
		if err := m.reference(ctx, o.south); err != nil {
			return nil, fmt.Errorf("undisturbed pull: %w", err)
		}
	}
	if err := m.edit(ctx); err != nil {
		return nil, fmt.Errorf("edited version: %w", err)
	}
	return r, nil
}
