package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// subject is something that is timed: a workload with so many clients, a rival,
// or a floor.
type subject struct {
	name    string
	clients int
	// op is one operation of a client, counted from 0; a client does one at a
	// time.
	op func(ctx context.Context, client int) error
}

// series is what the rounds of one subject took.
type series struct {
	name    string
	clients int
	seconds []float64 // of one operation of one client, by round
	ops     int       // in all rounds
}

// rhythm is how often and how long each subject runs.
type rhythm struct {
	rounds int
	slice  time.Duration
}

// alternate runs every subject for a slice, in turn, and so on in rounds
// (A B C A B C …), so that whatever else the machine does meets all of them.
// Each does one operation before that is not counted.
func alternate(ctx context.Context, r rhythm, subjects []subject) ([]series, error) {
	all := make([]series, len(subjects))
	for i, s := range subjects {
		all[i] = series{name: s.name, clients: s.clients}
		if err := s.op(ctx, 0); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for range r.rounds {
		for i, s := range subjects {
			ops, took, err := run(ctx, s, r.slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			all[i].ops += ops
			all[i].seconds = append(all[i].seconds, took.Seconds()*float64(s.clients)/float64(ops))
		}
	}
	return all, nil
}

// run lets each client do operations until the slice is over, at least one, and
// returns how many there were and how long it took until the last one's end.
func run(ctx context.Context, s subject, slice time.Duration) (int, time.Duration, error) {
	var (
		ops   atomic.Int64
		work  sync.WaitGroup
		errs  = make([]error, s.clients)
		began = time.Now()
	)
	for client := range s.clients {
		work.Go(func() {
			for errs[client] == nil {
				if errs[client] = s.op(ctx, client); errs[client] == nil {
					ops.Add(1)
				}
				if time.Since(began) >= slice {
					return
				}
			}
		})
	}
	work.Wait()
	return int(ops.Load()), time.Since(began), errors.Join(errs...)
}

// cost is what one operation of one client takes, in seconds, by round.
func (s series) cost() []float64 { return s.seconds }

// rate is the operations a second of all clients together, by round.
func (s series) rate() []float64 {
	rates := make([]float64, len(s.seconds))
	for i, t := range s.seconds {
		rates[i] = float64(s.clients) / t
	}
	return rates
}

// median returns the middle of the values, of two the mean; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// medianRatio returns the median of a[i]/b[i]: what ran in the same round is
// compared, so that a machine that slows down between rounds does not show.
func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}

// weighted returns the sum of each series' cost times its weight, by round.
func weighted(parts map[*series]float64, rounds int) []float64 {
	sum := make([]float64, rounds)
	for s, weight := range parts {
		for i, t := range s.cost() {
			sum[i] += weight * t
		}
	}
	return sum
}
