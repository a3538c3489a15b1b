package main

import (
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// result is what a run did and found. Its methods may be called from any
// goroutine; its fields are read when the run is over.
type result struct {
	Clients int    `json:"clients"`
	Drafts  int    `json:"drafts"`
	Bundles int    `json:"bundles"`
	Seed    uint64 `json:"seed"`
	Storage string `json:"storage"`
	Race    bool   `json:"race_detector"`

	Requests  int `json:"requests"`
	Patches   int `json:"patches_acknowledged"`
	Files     int `json:"files_acknowledged"`
	Commits   int `json:"commits_acknowledged"`
	Unchanged int `json:"commits_without_changes"`
	Conflicts int `json:"conflicts"`
	Rebases   int `json:"rebases"`
	Reads     int `json:"drafts_read"`
	Retries   int `json:"retries"`
	Kills     int `json:"kills"`
	Versions  int `json:"versions_compared"`
	Bytes     int `json:"bytes_compared"`

	Failures int `json:"answers_500"`
	Refused  int `json:"answers_unexpected"`
	Lost     int `json:"lost"`
	Stray    int `json:"stray"`
	Gaps     int `json:"gaps"`
	Twins    int `json:"twins"`
	Disorder int `json:"disorder"`
	Races    int `json:"data_races"`

	Healthy    site.Durations `json:"healthy_after_restart_ns"`
	Took       time.Duration  `json:"took_ns"`
	Violations []string       `json:"violations"`

	mu sync.Mutex
}

// count adds n to one of the counters.
func (r *result) count(counter *int, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*counter += n
}

// violation counts what must never be, and keeps its text.
func (r *result) violation(counter *int, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*counter++
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// take adds what the judge found.
func (r *result) take(f *findings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Lost += f.lost
	r.Stray += f.stray
	r.Gaps += f.gaps
	r.Twins += f.twins
	r.Disorder += f.disorder
	r.Violations = append(r.Violations, f.texts...)
}

// verdict is an error if anything was found.
func (r *result) verdict() error {
	if len(r.Violations) == 0 {
		return nil
	}
	return fmt.Errorf("%d violations", len(r.Violations))
}

// shownViolations is how many texts are printed; the JSON has all.
const shownViolations = 10

func (r *result) print(w io.Writer) error {
	with := ""
	if r.Race {
		with = ", race detector"
	}
	fmt.Fprintf(w, "%d clients, %d drafts of %d bundles on %s, %d kills, seed %d%s: %.1f s\n",
		r.Clients, r.Drafts, r.Bundles, r.Storage, r.Kills, r.Seed, with, r.Took.Seconds())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range []struct {
		name  string
		count int
		note  string
	}{
		{"requests", r.Requests, fmt.Sprintf("(%d sent again with the same key)", r.Retries)},
		{"PATCHes acknowledged", r.Patches, fmt.Sprintf("(of %d files)", r.Files)},
		{"commits acknowledged", r.Commits, fmt.Sprintf("(and %d without changes)", r.Unchanged)},
		{"conflicts", r.Conflicts, "(each mended by the client)"},
		{"rebases", r.Rebases, ""},
		{"drafts read", r.Reads, ""},
		{"versions compared", r.Versions, fmt.Sprintf("(by hash; %d bytes fetched)", r.Bytes)},
		{"answers 500", r.Failures, ""},
		{"unexpected refusals", r.Refused, ""},
		{"lost", r.Lost, ""},
		{"from nowhere", r.Stray, ""},
		{"gaps", r.Gaps, ""},
		{"twins", r.Twins, ""},
		{"out of order", r.Disorder, ""},
	} {
		fmt.Fprintf(t, "  %s\t%d\t%s\n", line.name, line.count, line.note)
	}
	if r.Race {
		fmt.Fprintf(t, "  data races\t%d\t\n", r.Races)
	}
	if r.Kills > 0 {
		fmt.Fprintf(t, "  kills\t%d\t(healthy again after %s)\n", r.Kills, r.Healthy)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, v := range r.Violations {
		if i == shownViolations {
			fmt.Fprintf(w, "  … and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(w, "  VIOLATION: %s\n", v)
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
