// Command nodes builds an instance of three nodes as an operator does, with the
// commands and a bucket, lets writers commit through all of them, and does one of
// three things meanwhile: takes a node away and brings it back, replaces one node
// after the other, or compares its commit rate with that of one node.
//
//	go run ./bench/nodes [--kill leader|follower] [--how kill|pause|isolate|freeze] [--rounds N]
//	go run ./bench/nodes --roll restart
//	go run ./bench/nodes --roll upgrade --old PROGRAM
//	go run ./bench/nodes --rate [--stay] [--rounds N] [--slice D]
//
// Then it looks on every node for an acknowledged version that is lost or altered, a
// gap among a bundle's versions, a read without the mark of staleness that did not
// show what was acknowledged before it, and nodes that hold different things. The
// exit status is 1 if it found one.
//
// isolate and freeze give nodes networks and disks of their own, which takes root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("nodes", run)) }

type options struct {
	writers       int
	victim, how   string
	rounds        int
	before, after time.Duration // of load: until the loss of the node, and from when writes succeed again
	frozen        time.Duration
	settings      settings
	roll, old     string
	rate, stay    bool
	slice         time.Duration
	program       string
	json          bool
}

// settings are KEY=VALUE for the nodes' environment.
type settings []string

// String implements [flag.Value].
func (s *settings) String() string { return strings.Join(*s, " ") }

// Set implements [flag.Value].
func (s *settings) Set(v string) error {
	if !strings.HasPrefix(v, "BLOCKSTORED_") || !strings.Contains(v, "=") {
		return errors.New("write it like BLOCKSTORED_LOG_LEVEL=debug")
	}
	*s = append(*s, v)
	return nil
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("nodes", flag.ContinueOnError)
	flags.IntVar(&o.writers, "writers", 32, "how many write at a time, each a bundle of its own")
	flags.StringVar(&o.victim, "kill", "leader", "which node is lost: leader or follower")
	flags.StringVar(&o.how, "how", "kill", "kill (-9), pause (SIGSTOP), isolate (from the other nodes) or freeze (its disk)")
	flags.IntVar(&o.rounds, "rounds", 1, "how often a node is lost, or each number of nodes measured")
	flags.DurationVar(&o.before, "before", 5*time.Second, "load before the loss")
	flags.DurationVar(&o.after, "after", 10*time.Second, "load after writes succeed again")
	flags.DurationVar(&o.frozen, "frozen", 20*time.Second, "how long a disk is frozen")
	flags.Var(&o.settings, "set", "KEY=VALUE for the environment of every node; may be repeated")
	flags.StringVar(&o.roll, "roll", "", "replace one node after the other: restart or upgrade")
	flags.StringVar(&o.old, "old", "", "built blockstored that nodes run before --roll upgrade")
	flags.BoolVar(&o.rate, "rate", false, "compare the commit rate with that of one node")
	flags.BoolVar(&o.stay, "stay", false, "with --rate, let each writer keep to one node, and read nothing on another")
	flags.DurationVar(&o.slice, "slice", 8*time.Second, "load on each number of nodes in each round of --rate")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.check()
}

func (o options) check() error {
	switch {
	case o.victim != "leader" && o.victim != "follower":
		return fmt.Errorf("node %q is neither leader nor follower", o.victim)
	case o.how != "kill" && o.how != "pause" && o.how != "isolate" && o.how != "freeze":
		return fmt.Errorf("%q is none of kill, pause, isolate and freeze", o.how)
	case o.writers < 1 || o.rounds < 1:
		return errors.New("give at least one writer and one round")
	case o.roll != "" && o.roll != "restart" && o.roll != "upgrade":
		return fmt.Errorf("%q is neither restart nor upgrade", o.roll)
	case (o.roll == "upgrade") != (o.old != ""):
		return errors.New("--roll upgrade and --old PROGRAM belong together")
	case o.roll != "" && o.rate:
		return errors.New("give --roll or --rate, not both")
	case o.stay && !o.rate:
		return errors.New("--stay belongs to --rate")
	}
	return nil
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
		do := lose
		switch {
		case o.roll != "":
			do = roll
		case o.rate:
			do = rate
		}
		r, err := do(ctx, o, program, filepath.Join(dir, "instance"))
		if err != nil {
			return err
		}
		return errors.Join(r.report(stdout, o.json), r.verdict())
	})
}

// open starts an instance of n nodes, on the machine's own network and disks unless
// the run needs others.
func (o options) open(ctx context.Context, program site.Program, dir string, n int) (*lab.Lab, error) {
	l := lab.Options{Program: program, Dir: dir, Nodes: n, Settings: o.settings}
	if o.roll == "" && !o.rate {
		l.Namespaces = o.how == "isolate"
		if o.how == "freeze" {
			l.Disk = 4 << 30
		}
	}
	return lab.Open(ctx, l)
}
