package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The kinds of operations.
const (
	createBundle = "create bundle"
	createDraft  = "create draft"
	patchDraft   = "patch draft"
	commitDraft  = "commit draft"
	deleteDraft  = "delete draft"
	readDraft    = "read draft"
	readBundle   = "read bundle"
	listVersions = "list versions"
	readVersion  = "read version"
)

// op is what a client asks for. Drafts go by their names, which are never used
// twice in a bundle.
type op struct {
	Kind       string  `json:"kind"`
	Draft      string  `json:"draft,omitempty"`
	Edits      content `json:"edits,omitempty"`       // "" deletes
	IfRevision int     `json:"if_revision,omitempty"` // of the draft; 0: any
	Number     int     `json:"number,omitempty"`      // of a version to read
	Label      string  `json:"label,omitempty"`       // change description of a commit; no two have the same
}

func (o op) reads() bool {
	return slices.Contains([]string{readDraft, readBundle, listVersions, readVersion}, o.Kind)
}

// String describes the operation for people.
func (o op) String() string {
	s := o.Kind
	if o.Draft != "" {
		s += " " + o.Draft
	}
	if o.Number != 0 {
		s += fmt.Sprintf(" %d", o.Number)
	}
	if o.IfRevision != 0 {
		s += fmt.Sprintf(" if at %d", o.IfRevision)
	}
	if o.Edits != nil {
		s += " " + canonical(o.Edits)
	}
	return s
}

// told is what a client knows of what became of its operation.
type told string

const (
	done      told = "done"
	missing   told = "missing"    // 404: there is no such draft or version
	unchanged told = "no changes" // 400 to a commit
	conflict  told = "conflict"   // 409 to a commit
	unmet     told = "unmet"      // 412: the draft is at another revision
	refused   told = "refused"    // 503 and the like, which say that nothing was done
	open      told = "open"       // no answer, or one that leaves it open
)

// answer is what a client was told.
type answer struct {
	Told     told     `json:"told"`
	Revision int      `json:"revision,omitempty"` // of the draft, 0 if it is not told
	Number   int      `json:"number,omitempty"`   // of the version made, or of the newest one shown
	Shown    content  `json:"shown,omitempty"`    // of a draft or version
	Drafts   []string `json:"drafts,omitempty"`   // sorted names, of a bundle

	// What the model does not look at.
	Listed []int             `json:"listed,omitempty"` // numbers of versions, in the order of the list
	Label  string            `json:"label,omitempty"`  // of a version
	URLs   map[string]string `json:"-"`                // of a version's files
}

// String describes the answer for people.
func (a answer) String() string {
	s := string(a.Told)
	if a.Number != 0 {
		s += fmt.Sprintf(" %d", a.Number)
	}
	if a.Revision != 0 {
		s += fmt.Sprintf(" revision %d", a.Revision)
	}
	if a.Shown != nil {
		s += " " + canonical(a.Shown)
	}
	if a.Drafts != nil {
		s += fmt.Sprint(" drafts ", a.Drafts)
	}
	return s
}

// record is one operation of a history. Its times are nanoseconds since the
// history began: before the first byte was sent, after the last one arrived.
type record struct {
	Bundle string `json:"bundle"`
	Client int    `json:"client"`
	Op     op     `json:"op"`
	Answer answer `json:"answer"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`

	Nodes       []string `json:"nodes"`                 // asked, one after the other
	Level       string   `json:"level,omitempty"`       // of a reading
	Key         string   `json:"key,omitempty"`         // Idempotency-Key
	Stale       bool     `json:"stale,omitempty"`       // marked so
	Texts       []string `json:"texts,omitempty"`       // of answers other than success
	Unexplained string   `json:"unexplained,omitempty"` // an answer that nothing asked for
}

// checked reports whether the record must fit into one order with the others: it
// says something, and does not say that it may be old.
func (r record) checked() bool {
	if r.Answer.Told == refused || r.Bundle == "" {
		return false
	}
	return !r.Op.reads() || r.Answer.Told != open && !r.Stale && r.Level != "local"
}

// until is when the operation's effect has happened: at the end of everything, if
// it is open.
func (r record) until(end int64) int64 {
	if r.Answer.Told == open {
		return end
	}
	return r.Return
}

// history is what the clients did and were told. Its methods may be called from
// any goroutine.
type history struct {
	began time.Time

	mu      sync.Mutex
	records []record
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records = append(h.records, r)
}

// all returns the records in the order in which they began.
func (h *history) all() []record {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.records)
	slices.SortStableFunc(all, func(a, b record) int { return cmp.Compare(a.Call, b.Call) })
	return all
}

// byBundle returns the records of each bundle, in that order.
func byBundle(all []record) map[string][]record {
	parts := map[string][]record{}
	for _, r := range all {
		parts[r.Bundle] = append(parts[r.Bundle], r)
	}
	return parts
}
