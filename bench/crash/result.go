package main

import (
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// result is what a run found. Its methods may be called from any goroutine; its
// fields are read when the run is over.
type result struct {
	Mode  string `json:"mode"`
	Seed  uint64 `json:"seed"`
	North string `json:"north_storage"`
	South string `json:"south_storage"`
	Kills int    `json:"kills"`
	// Starting counts the kills before the process was healthy, Acknowledged
	// those at the moment of an acknowledgement.
	KillsStarting     int `json:"kills_while_starting"`
	KillsAcknowledged int `json:"kills_right_after_an_acknowledgement"`

	Versions     int `json:"versions_acknowledged"`
	Found        int `json:"versions_found"`
	Lost         int `json:"versions_lost"`
	Unknown      int `json:"commits_without_answer"`
	Repeated     int `json:"commits_answered_on_repetition"`
	Checked      int `json:"visible_versions_compared"`
	Incomplete   int `json:"visible_versions_incomplete"`
	Disorder     int `json:"gaps_and_twins"`
	ContentBytes int `json:"content_bytes"`

	Wire        site.Wire `json:"peer_wire"`
	Undisturbed site.Wire `json:"undisturbed_pull"` // of the subscriber's mode

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
	if counter != nil {
		*counter++
	}
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// verdict is an error if anything was found.
func (r *result) verdict() error {
	if len(r.Violations) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d violations", r.Mode, len(r.Violations))
}

// shownViolations is how many texts are printed; the JSON has all.
const shownViolations = 10

func (r *result) print(w io.Writer) error {
	fmt.Fprintf(w, "kill -9 of the %s: seed %d, north on %s, south on %s, %.1f s\n",
		r.Mode, r.Seed, r.North, r.South, r.Took.Seconds())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  kills\t%d\t(%d while starting, %d right after an acknowledgement)\n", r.Kills, r.KillsStarting, r.KillsAcknowledged)
	fmt.Fprintf(t, "  versions acknowledged\t%d\t\n", r.Versions)
	fmt.Fprintf(t, "  found with every byte\t%d\t\n", r.Found)
	fmt.Fprintf(t, "  lost\t%d\t\n", r.Lost)
	if r.Mode == "primary" {
		fmt.Fprintf(t, "  commits without an answer\t%d\t(%d answered when repeated with the same key)\n", r.Unknown, r.Repeated)
		fmt.Fprintf(t, "  gaps and twins\t%d\t\n", r.Disorder)
	}
	fmt.Fprintf(t, "  visible versions compared\t%d\t(between the kills)\n", r.Checked)
	fmt.Fprintf(t, "  visible with a byte wrong\t%d\t\n", r.Incomplete)
	fmt.Fprintf(t, "  healthy after restart\t%s\t\n", r.Healthy)
	if r.Mode == "subscriber" {
		twice := r.Wire.Down - r.Undisturbed.Down
		fmt.Fprintf(t, "  received by south\t%d bytes\t(content published: %d bytes)\n", r.Wire.Down, r.ContentBytes)
		fmt.Fprintf(t, "  received undisturbed\t%d bytes\t(another site, the same content at the end)\n", r.Undisturbed.Down)
		fmt.Fprintf(t, "  fetched twice\t%d bytes\t(%.1f %%, %d a kill)\n", twice,
			100*float64(twice)/float64(max(1, r.Undisturbed.Down)), twice/int64(max(1, r.Kills)))
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
	_, err := fmt.Fprintln(w)
	return err
}
