package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// result is what one history, or several, did and found.
type result struct {
	Histories int           `json:"histories"`
	Length    time.Duration `json:"length_ns"` // of each
	Took      time.Duration `json:"took_ns"`

	Done         int            `json:"calls_done"`
	Refused      int            `json:"calls_refused"`
	Unanswered   int            `json:"calls_without_an_answer"`
	Stale        int            `json:"calls_answered_stale"`
	Repeated     int            `json:"calls_sent_more_than_once"`
	Faults       map[string]int `json:"faults"`
	VersionsRead int            `json:"versions_read"`
	Findings     findings       `json:"findings"`
}

// countRecords counts the calls of a history.
func (r *result) countRecords(records []record) {
	for _, one := range records {
		switch one.Answer.Told {
		case done, missing, unchanged, conflict, unmet:
			r.Done++
		case refused:
			r.Refused++
		case open:
			r.Unanswered++
		}
		if one.Stale {
			r.Stale++
		}
		if len(one.Nodes) > 1 {
			r.Repeated++
		}
	}
}

// add adds another result to this one.
func (r *result) add(other *result) {
	r.Histories += other.Histories
	r.Done += other.Done
	r.Refused += other.Refused
	r.Unanswered += other.Unanswered
	r.Stale += other.Stale
	r.Repeated += other.Repeated
	r.VersionsRead += other.VersionsRead
	for kind, n := range other.Faults {
		r.Faults[kind] += n
	}
	mine, theirs := r.Findings.kinds(), other.Findings.kinds()
	for i := range mine {
		*mine[i].texts = append(*mine[i].texts, *theirs[i].texts...)
	}
}

// print writes the summary of all histories.
func (r *result) print(w io.Writer) {
	fmt.Fprintf(w, "%d histories of %v in %v\n", r.Histories, r.Length, r.Took.Round(time.Second))
	fmt.Fprintf(w, "calls         %d done, %d refused, %d without an answer, %d stale; %d sent more than once\n",
		r.Done, r.Refused, r.Unanswered, r.Stale, r.Repeated)
	var faults []string
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		faults = append(faults, fmt.Sprintf("%d %s", r.Faults[kind], kind))
	}
	fmt.Fprintf(w, "faults        %s\n", strings.Join(faults, ", "))
	fmt.Fprintf(w, "versions read %d\n", r.VersionsRead)
	var counts []string
	for _, k := range r.Findings.kinds() {
		counts = append(counts, fmt.Sprintf("%s %d", k.name, len(*k.texts)))
	}
	fmt.Fprintln(w, strings.Join(counts, ", "))
}
