package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// rates are commits a second in each round, on one node and on three, which took
// turns.
type rates struct {
	One   []float64 `json:"one_node"`
	Three []float64 `json:"three_nodes"`
}

// ratio is the median of the rounds' ratios.
func (r rates) ratio() float64 {
	var of []float64
	for k := range r.One {
		of = append(of, r.Three[k]/r.One[k])
	}
	return median(of)
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}

// rate lets writers commit on one node and on three in turn.
func rate(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	var labs []*lab.Lab
	var loads []*load
	defer func() {
		for _, l := range loads {
			l.close()
		}
		for _, i := range labs {
			err = errors.Join(err, i.Close())
		}
	}()
	for _, n := range []int{1, 3} {
		i, err := o.open(ctx, program, filepath.Join(dir, fmt.Sprint(n)), n)
		if err != nil {
			return nil, err
		}
		labs = append(labs, i)
		l, err := newLoad(ctx, i, o.writers)
		if err != nil {
			return nil, err
		}
		l.within, l.stay = patience, o.stay
		loads = append(loads, l)
	}
	r := &result{Nodes: 3, Writers: o.writers, Rates: &rates{}}
	for range o.rounds {
		for k, into := range []*[]float64{&r.Rates.One, &r.Rates.Three} {
			n, err := loads[k].slice(ctx, o.slice)
			if err != nil {
				return nil, err
			}
			*into = append(*into, n)
		}
	}
	for k, i := range labs {
		if err := r.verify(ctx, i, loads[k]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// slice writes for d, or until something is written, and returns the commits a
// second.
func (l *load) slice(ctx context.Context, d time.Duration) (float64, error) {
	before, began := l.commits(), time.Now()
	l.start(ctx)
	site.Pause(ctx, d)
	err := lab.Until(ctx, func(context.Context) error {
		if l.commits() == before {
			return errors.New("no commit succeeded")
		}
		return nil
	})
	made, took := l.commits()-before, time.Since(began)
	l.stop()
	return float64(made) / took.Seconds(), err
}

func (l *load) commits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count.Commits
}
