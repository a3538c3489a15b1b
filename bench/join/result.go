package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// result is what a run found. Sizes are in bytes.
type result struct {
	Writers int     `json:"writers"`
	Catalog int64   `json:"catalog"`
	Filled  float64 `json:"filled_in_seconds"`

	Ready  time.Duration `json:"ready_after_ns"`
	Votes  time.Duration `json:"votes_after_ns"`
	Copies int           `json:"copies"`
	Wire   int64         `json:"copy_on_the_wire"`

	LeaderBefore site.Memory `json:"leader_before"`
	DiskBefore   int64       `json:"leader_disk_before"`
	Leader       cost        `json:"leader"`
	Newcomer     cost        `json:"newcomer"`

	Before stretch `json:"before"`
	During stretch `json:"until_it_votes"`
	After  stretch `json:"after"`

	Away *comeback `json:"follower_away,omitempty"`
}

// comeback is how a follower came back.
type comeback struct {
	Away    time.Duration `json:"away_ns"`
	Took    time.Duration `json:"up_to_date_after_ns"` // since it was started
	Entries uint64        `json:"entries"`             // it lacked
	Copies  int           `json:"copies"`
}

// verdict is an error if a commit failed.
func (r *result) verdict() error {
	for _, s := range []stretch{r.Before, r.During, r.After} {
		if s.Failed > 0 {
			return fmt.Errorf("commits failed, the first: %s", s.FirstFail)
		}
	}
	return nil
}

// report prints the result.
func (r *result) report(w io.Writer, asJSON bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	way := "by the log"
	if r.Copies > 0 {
		way = fmt.Sprintf("by %d copy, %d MiB on the wire", r.Copies, r.Wire>>20)
	}
	rows := [][2]string{
		{"catalog, writers", fmt.Sprintf("%d MiB (filled in %.0f s), %d", r.Catalog>>20, r.Filled, r.Writers)},
		{"the new node", fmt.Sprintf("ready after %s, votes after %s; it came %s", round(r.Ready), round(r.Votes), way)},
		{"memory, leader", fmt.Sprintf("%d MiB before (%d without mapped files), %d at most meanwhile (%d)",
			r.LeaderBefore.Resident>>20, r.LeaderBefore.Anonymous>>20, r.Leader.Memory>>20, r.Leader.Anonymous>>20)},
		{"memory, new node", fmt.Sprintf("%d MiB at most (%d)", r.Newcomer.Memory>>20, r.Newcomer.Anonymous>>20)},
		{"disk, leader", fmt.Sprintf("%d MiB before, %d at most meanwhile (%d of copies)", r.DiskBefore>>20, r.Leader.Disk>>20, r.Leader.Copies>>20)},
		{"disk, new node", fmt.Sprintf("%d MiB at most (%d of copies)", r.Newcomer.Disk>>20, r.Newcomer.Copies>>20)},
		{"commits before", r.Before.String()},
		{"until it votes", r.During.String()},
		{"after", r.After.String()},
	}
	if a := r.Away; a != nil {
		way = "by the log"
		if a.Copies > 0 {
			way = fmt.Sprintf("by %d copies", a.Copies)
		}
		rows = append(rows, [2]string{"a follower away", fmt.Sprintf("%s, up to date after %s with %d entries, %s", round(a.Away), round(a.Took), a.Entries, way)})
	}
	for _, row := range rows {
		fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
	}
	if err := t.Flush(); err != nil || !asJSON {
		return err
	}
	return site.PrintJSON(w, r)
}

// String says it in a line.
func (s stretch) String() string {
	return fmt.Sprintf("%.0f/s, p50 %s, p99 %s, %d failed", float64(s.Commits)/s.Seconds, round(s.P50), round(s.P99), s.Failed)
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
