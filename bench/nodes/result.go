package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// electionTimeout is the program's, the unit of Again.
const electionTimeout = time.Second

// result is what a run found.
type result struct {
	Nodes   int    `json:"nodes"`
	Writers int    `json:"writers"`
	Lost    string `json:"lost_node,omitempty"`
	How     string `json:"how,omitempty"`
	Roll    string `json:"roll,omitempty"`
	counts

	Acknowledged int             `json:"versions_acknowledged"`
	Found        int             `json:"versions_found"`
	Unanswered   int             `json:"versions_found_without_acknowledgement"`
	Again        []time.Duration `json:"writes_again_after_ns,omitempty"`
	Apart        []apart         `json:"cut_off_node,omitempty"`
	Rates        *rates          `json:"commits_per_second,omitempty"`
	Violations   []string        `json:"violations"`
}

// verify adds what the load saw, and reads every version of every bundle through
// every node.
func (r *result) verify(ctx context.Context, i *lab.Lab, l *load) error {
	c := l.count
	r.Commits += c.Commits
	r.Requests += c.Requests
	r.FailedFirst += c.FailedFirst
	r.Failed += c.Failed
	r.Reads += c.Reads
	r.Stale += c.Stale
	r.LongestGap = max(r.LongestGap, c.LongestGap)
	r.Failures = append(r.Failures, c.Failures...)
	if len(c.Behind) > 0 {
		r.violation("%d reads did not show what was acknowledged before: %s", len(c.Behind), c.Behind[0])
	}
	if _, err := i.SameState(ctx); err != nil {
		r.violation("nodes differ: %v", err)
	}
	for k, api := range l.apis {
		if err := r.readAll(ctx, api, l.writers, k == 0); err != nil {
			return fmt.Errorf("node %d: %w", k+1, err)
		}
	}
	return nil
}

// readers is how many bundles are read at a time.
const readers = 8

// readAll reads every bundle through a node.
func (r *result) readAll(ctx context.Context, api *site.API, writers []*writer, count bool) error {
	var (
		mu    sync.Mutex
		first error
		all   sync.WaitGroup
		slots = make(chan struct{}, readers)
	)
	for _, w := range writers {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			one := &result{}
			err := one.check(ctx, api, w)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
			r.Violations = append(r.Violations, one.Violations...)
			if count {
				r.Acknowledged += len(w.acked)
				r.Found += one.Found
				r.Unanswered += one.Unanswered
			}
		})
	}
	all.Wait()
	return first
}

// check reads a writer's bundle through a node: versions 1 to n, and every
// acknowledged one with its content.
func (r *result) check(ctx context.Context, api *site.API, w *writer) error {
	newest, err := api.Newest(ctx, w.bundle)
	if err != nil {
		return err
	}
	for v := range w.acked {
		if v > newest {
			r.violation("bundle %s: version %d was acknowledged, and the newest is %d", w.bundle, v, newest)
		}
	}
	for v := 1; v <= newest; v++ {
		files, err := api.Fetch(ctx, site.Listed{Bundle: w.bundle, Version: v})
		if err != nil {
			r.violation("bundle %s: version %d of %d cannot be read: %v", w.bundle, v, newest, err)
			continue
		}
		want, acked := w.acked[v]
		switch {
		case acked && string(files["a.txt"]) != want:
			r.violation("bundle %s: version %d holds %q, acknowledged with %q", w.bundle, v, files["a.txt"], want)
		case acked:
			r.Found++
		default:
			r.Unanswered++
		}
	}
	return nil
}

func (r *result) violation(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// verdict is an error if something is there that must never be.
func (r *result) verdict() error {
	if len(r.Violations) > 0 || r.Found != r.Acknowledged {
		return fmt.Errorf("%d versions acknowledged, %d found, %d violations", r.Acknowledged, r.Found, len(r.Violations))
	}
	return nil
}

// report prints the result.
func (r *result) report(w io.Writer, asJSON bool) error {
	if err := r.print(w); err != nil || !asJSON {
		return err
	}
	return site.PrintJSON(w, r)
}

// print writes the result for people.
func (r *result) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := [][2]string{{"nodes, writers", fmt.Sprintf("%d, %d", r.Nodes, r.Writers)}}
	rows = append(rows, r.what()...)
	rows = append(rows, [][2]string{
		{"versions acknowledged", fmt.Sprint(r.Acknowledged)},
		{"found on every node", fmt.Sprint(r.Found)},
		{"found, not acknowledged", fmt.Sprint(r.Unanswered)},
		{"reads on another node", fmt.Sprintf("%d, %d marked stale", r.Reads, r.Stale)},
	}...)
	for _, row := range rows {
		fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
	}
	for _, f := range r.Failures {
		fmt.Fprintf(t, "failed, for example\t%s\n", f)
	}
	for _, v := range r.Violations {
		fmt.Fprintf(t, "VIOLATION: %s\n", v)
	}
	return t.Flush()
}

// what is what the kind of run is about.
func (r *result) what() (rows [][2]string) {
	switch {
	case r.Rates != nil:
		return [][2]string{
			{"commits/s on 1 node", fmt.Sprintf("%.0f %.0f", median(r.Rates.One), r.Rates.One)},
			{"commits/s on 3 nodes", fmt.Sprintf("%.0f %.0f", median(r.Rates.Three), r.Rates.Three)},
			{"ratio", fmt.Sprintf("%.2f", r.Rates.ratio())},
		}
	case r.Roll != "":
		return [][2]string{
			{"rolling", r.Roll},
			{"requests", fmt.Sprintf("%d, %d failed at first, %d after one retry on the next node", r.Requests, r.FailedFirst, r.Failed)},
			{"longest without a commit", r.LongestGap.Round(time.Millisecond).String()},
		}
	}
	rows = [][2]string{
		{"lost", fmt.Sprintf("the %s (%s), %d times", r.Lost, r.How, len(r.Again))},
		{"requests", fmt.Sprintf("%d, %d failed", r.Requests, r.Failed)},
		{"writes again after", again(r.Again)},
	}
	for _, a := range r.Apart {
		rows = append(rows, [2]string{"the node cut off meanwhile", fmt.Sprintf("%d reads, %d marked stale; %d commits acknowledged, %d refused, %d not answered in 2 s",
			a.Reads, a.Stale, a.Acknowledged, a.Refused, a.Unanswered)})
	}
	return rows
}

// again shows the median and the range.
func again(took []time.Duration) string {
	sorted := slices.Sorted(slices.Values(took))
	in := func(d time.Duration) float64 { return float64(d) / float64(electionTimeout) }
	middle := sorted[len(sorted)/2]
	return fmt.Sprintf("%s, %.1f election timeouts (%.1f to %.1f)", middle.Round(time.Millisecond), in(middle), in(sorted[0]), in(sorted[len(sorted)-1]))
}

// newKey is an Idempotency-Key.
func newKey() string { return rand.Text() }
