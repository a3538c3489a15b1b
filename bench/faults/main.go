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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("faults", run)) }

type options struct {
	histories, parallel int
	clients             int // of each history
	seed                uint64
	length              time.Duration
	kinds               []string
	program             string
	logLevel            string
	json                bool
	recheck             string
	shortLog            bool
}

func parse(args []string) (options, error) {
	var o options
	var list string
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.IntVar(&o.histories, "histories", 10, "how many histories")
	flags.Uint64Var(&o.seed, "seed", 1, "of the first history; the next have the next")
	flags.DurationVar(&o.length, "for", 20*time.Second, "how long each lasts, before everything heals")
	flags.IntVar(&o.parallel, "parallel", 2, "how many run at a time")
	flags.IntVar(&o.clients, "clients", 6, "how many work on each instance")
	flags.StringVar(&list, "faults", "", "kinds of faults, separated by commas (default: all)")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.StringVar(&o.logLevel, "log", "info", "what the nodes log: debug, info, warn or error")
	flags.BoolVar(&o.shortLog, "short-log", false, "build a program that keeps hardly any log: nodes that were away get a copy of the catalog")
	flags.StringVar(&o.recheck, "check", "", "a kept history.json: only look for an order of its calls again")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON, too")
	err := flags.Parse(args)
	if err != nil {
		return o, err
	}
	if o.kinds, err = parseKinds(list); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.histories < 1 || o.parallel < 1 || o.clients < 1 || o.length <= 0:
		return o, errors.New("give numbers and times above zero")
	}
	if o.shortLog && o.program != "" {
		return o, errors.New("--short-log builds a program, --program names one: give one of them")
	}
	return o, nil
}

// again returns the flags that another history of the same seed needs.
func (o options) again() string {
	s := fmt.Sprintf(" --for %v --clients %d", o.length, o.clients)
	if len(o.kinds) < len(faultKinds) {
		s += " --faults " + strings.Join(o.kinds, ",")
	}
	if o.shortLog {
		s += " --short-log"
	}
	return s
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.recheck != "" {
		return recheck(o.recheck, stdout)
	}
	return site.InFolder("faults", func(dir string) error {
		build := site.Program(o.program).OrBuild
		if o.shortLog {
			build = shortLog.build
		}
		program, err := build(ctx, dir)
		if err != nil {
			return err
		}
		r, err := campaign(ctx, o, program, dir, stdout)
		if err != nil {
			return err
		}
		if r.print(stdout); o.json {
			if err := site.PrintJSON(stdout, r); err != nil {
				return err
			}
		}
		if r.Findings.any() {
			return errors.New("this must never be; see above")
		}
		return nil
	})
}

// campaign plays the histories, each in a folder of its own in dir. Folders of
// those in which something was found stay.
func campaign(ctx context.Context, o options, program site.Program, dir string, stdout io.Writer) (*result, error) {
	began := time.Now()
	total := &result{Length: o.length, Faults: map[string]int{}}
	var mu sync.Mutex
	work, whole := errgroup.WithContext(ctx)
	work.SetLimit(o.parallel)
	for n := range o.histories {
		work.Go(func() error {
			if whole.Err() != nil {
				return whole.Err()
			}
			seed := o.seed + uint64(n)
			p := newPlay(o, seed, filepath.Join(dir, fmt.Sprint("seed-", seed)))
			if err := p.run(whole, program); whole.Err() != nil {
				return fmt.Errorf("seed %d: %w", seed, err)
			} else if err != nil {
				find(&p.findings.Unhealed, "the history broke off: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(p.result)
			return p.tell(stdout)
		})
	}
	err := work.Wait()
	total.Took = time.Since(began)
	return total, err
}

// How many findings of one history are printed, and how much of each; its folder
// has all.
const (
	maxTold = 12
	maxText = 1200
)

// tell prints what was found, and removes the history's folder if that is
// nothing.
func (p *play) tell(w io.Writer) error {
	if !p.findings.any() {
		return os.RemoveAll(p.dir)
	}
	fmt.Fprintf(w, "seed %d: everything is in %s; again: go run ./bench/faults --histories 1 --seed %d%s\n", p.seed, p.dir, p.seed, p.flags)
	told := 0
	for _, k := range p.findings.kinds() {
		for _, text := range *k.texts {
			if told++; told <= maxTold {
				fmt.Fprintf(w, "  %s: %s\n", k.name, text[:min(len(text), maxText)])
			}
		}
	}
	if told > maxTold {
		fmt.Fprintf(w, "  and %d more\n", told-maxTold)
	}
	return nil
}
