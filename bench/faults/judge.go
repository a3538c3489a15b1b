package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// shown is what one node shows of one bundle when all faults are over.
type shown struct {
	node, bundle string
	listed       []int // numbers, in the order of the list
	versions     map[int]version
}

// version is a version as it is shown at the end.
type version struct {
	label      string // change description
	content    content
	unreadable []string // files whose bytes did not come or are others
}

// findings are what must never be, by kind. A text says what it is.
type findings struct {
	Illegal     []string `json:"illegal_histories"`
	Undecided   []string `json:"undecided"`
	Lost        []string `json:"lost_writes"`
	Gaps        []string `json:"gaps_and_twins"`
	Unreadable  []string `json:"unreadable_bytes"`
	Invented    []string `json:"invented_reads"`
	Dumps       []string `json:"differing_dumps"`
	Unexplained []string `json:"unexplained_answers"`
	Ended       []string `json:"nodes_that_ended"`
	Unhealed    []string `json:"not_healed"`
}

// kind is one kind of findings.
type kind struct {
	name  string
	texts *[]string
}

// kinds returns all kinds, in the order in which they are told.
func (f *findings) kinds() []kind {
	return []kind{
		{"illegal histories", &f.Illegal}, {"undecided", &f.Undecided}, {"lost writes", &f.Lost}, {"gaps and twins", &f.Gaps},
		{"unreadable bytes", &f.Unreadable}, {"invented reads", &f.Invented}, {"differing dumps", &f.Dumps},
		{"unexplained answers", &f.Unexplained}, {"nodes that ended", &f.Ended}, {"not healed", &f.Unhealed},
	}
}

// any reports whether anything was found, an undecided check included.
func (f *findings) any() bool {
	return slices.ContainsFunc(f.kinds(), func(k kind) bool { return len(*k.texts) > 0 })
}

func find(to *[]string, format string, args ...any) { *to = append(*to, fmt.Sprintf(format, args...)) }

// judge holds what every node shows at the end, and what was read meanwhile,
// against what was acknowledged.
func (f *findings) judge(all []record, ends []shown) {
	parts := byBundle(all)
	for _, s := range ends {
		f.judgeNumbers(s)
		f.judgeAcknowledged(parts[s.bundle], s)
	}
	f.judgeSame(ends)
	for _, bundle := range slices.Sorted(maps.Keys(parts)) {
		f.judgeTwins(parts[bundle])
		f.judgeReads(parts[bundle], endOf(bundle, ends))
	}
	for _, r := range all {
		if r.Unexplained != "" {
			find(&f.Unexplained, "client %d, %s of bundle %s by %v: %s", r.Client, r.Op, r.Bundle, r.Nodes, r.Unexplained)
		}
	}
}

// endOf returns what a bundle shows at the end, from any node: that they are the
// same is another finding.
func endOf(bundle string, ends []shown) *shown {
	for i := range ends {
		if ends[i].bundle == bundle {
			return &ends[i]
		}
	}
	return nil
}

func (f *findings) judgeNumbers(s shown) {
	for i, n := range s.listed {
		if n != i+1 {
			find(&f.Gaps, "node %s lists the versions %v of bundle %s", s.node, s.listed, s.bundle)
			break
		}
	}
	labels := map[string]int{}
	for _, n := range slices.Sorted(maps.Keys(s.versions)) {
		v := s.versions[n]
		if first, twice := labels[v.label]; twice {
			find(&f.Gaps, "versions %d and %d of bundle %s on node %s are both of the commit %s", first, n, s.bundle, s.node, v.label)
		}
		labels[v.label] = n
		for _, what := range v.unreadable {
			find(&f.Unreadable, "node %s, version %d of bundle %s: %s", s.node, n, s.bundle, what)
		}
	}
}

// judgeAcknowledged looks for every acknowledged version, and for versions that
// nobody asked for.
func (f *findings) judgeAcknowledged(records []record, s shown) {
	asked := map[string]bool{}
	for _, r := range records {
		if r.Op.Kind != commitDraft {
			continue
		}
		asked[r.Op.Label] = true
		if r.Answer.Told != done {
			continue
		}
		if v, here := s.versions[r.Answer.Number]; !here || v.label != r.Op.Label {
			find(&f.Lost, "node %s shows %q as version %d of bundle %s, which the commit %s made", s.node, v.label, r.Answer.Number, s.bundle, r.Op.Label)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(s.versions)) {
		if label := s.versions[n].label; !asked[label] {
			find(&f.Invented, "version %d of bundle %s on node %s is of the commit %q, which nobody sent", n, s.bundle, s.node, label)
		}
	}
}

// judgeSame compares the nodes with each other.
func (f *findings) judgeSame(ends []shown) {
	for _, s := range ends {
		first := endOf(s.bundle, ends)
		if !slices.Equal(s.listed, first.listed) {
			find(&f.Lost, "node %s lists the versions %v of bundle %s, node %s %v", s.node, s.listed, s.bundle, first.node, first.listed)
		}
		for _, n := range slices.Sorted(maps.Keys(first.versions)) {
			if !maps.Equal(s.versions[n].content, first.versions[n].content) {
				find(&f.Lost, "node %s shows %s as version %d of bundle %s, node %s %s",
					s.node, canonical(s.versions[n].content), n, s.bundle, first.node, canonical(first.versions[n].content))
			}
		}
	}
}

// judgeTwins looks for one number that was given to two commits.
func (f *findings) judgeTwins(records []record) {
	made := map[int]string{}
	for _, r := range records {
		if r.Op.Kind != commitDraft || r.Answer.Told != done {
			continue
		}
		if first, twice := made[r.Answer.Number]; twice {
			find(&f.Gaps, "the commits %s and %s of bundle %s were both told that they made version %d", first, r.Op.Label, r.Bundle, r.Answer.Number)
		}
		made[r.Answer.Number] = r.Op.Label
	}
}

// judgeReads holds every reading, old ones too, against all that was ever there:
// a version is what it is at the end, a draft shows what somebody wrote, and one
// revision of it shows one thing.
func (f *findings) judgeReads(records []record, end *shown) {
	type revision struct {
		draft  string
		number int
	}
	seen := map[revision]content{}
	for _, r := range records {
		if !r.Op.reads() || r.Answer.Told != done {
			continue
		}
		odd := func(format string, args ...any) {
			find(&f.Invented, "client %d read from %v, %s of bundle %s: %s", r.Client, r.Nodes, r.Op, r.Bundle, fmt.Sprintf(format, args...))
		}
		for _, name := range r.Answer.Drafts {
			if !written(records, r.Return, func(o op) bool { return o.Kind == createDraft && o.Draft == name }) {
				odd("the draft %s, which nobody had made", name)
			}
		}
		switch {
		case r.Op.Kind == readDraft:
			at := revision{r.Op.Draft, r.Answer.Revision}
			if first, again := seen[at]; again && !maps.Equal(first, r.Answer.Shown) {
				odd("revision %d shows %s, and to others %s", at.number, canonical(r.Answer.Shown), canonical(first))
			}
			seen[at] = r.Answer.Shown
			for path, value := range r.Answer.Shown {
				value = strings.TrimSuffix(value, modified)
				if !written(records, r.Return, func(o op) bool { return o.Edits[path] == value }) {
					odd("%q at %s, which nobody had written", value, path)
				}
			}
		case end == nil:
		case r.Op.Kind == readVersion:
			if v, here := end.versions[r.Op.Number]; !here || !maps.Equal(v.content, r.Answer.Shown) {
				odd("%s, which is %s at the end", canonical(r.Answer.Shown), canonical(v.content))
			}
		case r.Answer.Number > len(end.listed):
			odd("version %d, and there are %d at the end", r.Answer.Number, len(end.listed))
		}
	}
}

// written reports whether anybody had sent such an operation by then.
func written(records []record, by int64, like func(o op) bool) bool {
	return slices.ContainsFunc(records, func(r record) bool { return r.Call <= by && like(r.Op) })
}
