package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// row is a line of the table. Times are of one operation of one client.
type row struct {
	Workload  string    `json:"workload"`
	Subject   string    `json:"subject"`
	Clients   int       `json:"clients"`
	Ops       int       `json:"operations"` // in all rounds
	PerSecond float64   `json:"per_second"` // of all clients, median of the rounds
	Median    float64   `json:"median_seconds"`
	Rounds    []float64 `json:"rounds_seconds"`

	Ratio   float64 `json:"ratio,omitempty"` // median of the ratios within a round
	Against string  `json:"against,omitempty"`
	Target  string  `json:"target,omitempty"`
	Met     *bool   `json:"met,omitempty"` // of the target, if there is one
}

func newRow(workload string, s series) row {
	return row{
		Workload: workload, Subject: s.name, Clients: s.clients, Ops: s.ops,
		PerSecond: median(s.rate()), Median: median(s.cost()), Rounds: s.cost(),
	}
}

// target is what a ratio should be; the zero target is none.
type target struct {
	least, most float64 // 0 for no such bound
}

func atLeast(n float64) target { return target{least: n} }
func atMost(n float64) target  { return target{most: n} }

func (t target) String() string {
	switch {
	case t.least > 0:
		return fmt.Sprintf("≥ %g", t.least)
	case t.most > 0:
		return fmt.Sprintf("≤ %g", t.most)
	}
	return ""
}

func (t target) met(ratio float64) bool {
	return ratio >= t.least && (t.most == 0 || ratio <= t.most)
}

// compare gives the row its ratio to what against names.
func (r *row) compare(ratio float64, against string, t target) {
	r.Ratio, r.Against, r.Target = ratio, against, t.String()
	if t != (target{}) {
		met := t.met(ratio)
		r.Met = &met
	}
}

// verdict says whether the target is met.
func (r *row) verdict() string {
	switch {
	case r.Met == nil:
		return ""
	case *r.Met:
		return "met"
	}
	return "MISSED"
}

// report is all that a run found; its JSON goes to --json.
type report struct {
	Rows    []row    `json:"rows"`
	Skipped []string `json:"skipped"`
}

func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\twhat\tclients\ta second\tmedian\tfastest–slowest round\tratio\ttarget\t")
	for _, row := range r.Rows {
		fastest, slowest := 0.0, 0.0
		if len(row.Rounds) > 0 {
			fastest, slowest = slices.Min(row.Rounds), slices.Max(row.Rounds)
		}
		ratio := ""
		if row.Against != "" {
			ratio = fmt.Sprintf("%.2f %s", row.Ratio, row.Against)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%.1f\t%s\t%s–%s\t%s\t%s\t%s\n", row.Workload, row.Subject, row.Clients, row.PerSecond,
			milliseconds(row.Median), milliseconds(fastest), milliseconds(slowest), ratio, row.Target, row.verdict())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped: %s\n", s)
	}
	return nil
}

func milliseconds(s float64) string { return fmt.Sprintf("%.3g ms", s*1000) }
