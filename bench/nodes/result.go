package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// electionTimeout is the program's, the unit of Again.
const electionTimeout = time.Second

// result is what a run found.
type result struct {
	Nodes   int    `json:"nodes"`
	Writers int    `json:"writers"`
	Lost    string `json:"lost_node"`
	How     string `json:"how"`

	Acknowledged int           `json:"versions_acknowledged"`
	Found        int           `json:"versions_found"`
	Unanswered   int           `json:"versions_found_without_acknowledgement"`
	Failed       int           `json:"attempts_without_acknowledgement"`
	Reads        int           `json:"reads_on_another_node"`
	Stale        int           `json:"reads_marked_stale"`
	Again        time.Duration `json:"writes_again_after_ns"`
	Violations   []string      `json:"violations"`
}

// check reads a writer's bundle through a node: versions 1 to n, and every
// acknowledged one with its content.
func (r *result) check(ctx context.Context, api *site.API, w *writer, count bool) error {
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
		case acked && count:
			r.Found++
		case count:
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

// print writes the result for people.
func (r *result) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"nodes, writers", fmt.Sprintf("%d, %d", r.Nodes, r.Writers)},
		{"lost", fmt.Sprintf("the %s (%s)", r.Lost, r.How)},
		{"versions acknowledged", fmt.Sprint(r.Acknowledged)},
		{"found on every node", fmt.Sprint(r.Found)},
		{"found, not acknowledged", fmt.Sprint(r.Unanswered)},
		{"attempts that failed", fmt.Sprint(r.Failed)},
		{"reads on another node", fmt.Sprintf("%d, %d marked stale", r.Reads, r.Stale)},
		{"writes again after", fmt.Sprintf("%s, %.1f election timeouts", r.Again.Round(time.Millisecond), float64(r.Again)/float64(electionTimeout))},
	} {
		fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
	}
	for _, v := range r.Violations {
		fmt.Fprintf(t, "VIOLATION: %s\n", v)
	}
	return t.Flush()
}
