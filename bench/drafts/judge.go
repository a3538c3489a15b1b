package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
)

// findings are violations by kind; see the package's documentation.
type findings struct {
	lost, stray, gaps, twins, disorder int
	texts                              []string
}

func (f *findings) add(counter *int, format string, args ...any) {
	*counter++
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

// judge holds what is shown against what the clients were told.
func judge(h *history, bundles []shown) *findings {
	f := &findings{}
	made := make(map[string]commit, len(h.commits))
	for _, c := range h.commits {
		made[c.key] = c
	}
	byDraft := make(map[int][]write)
	for _, w := range h.writes {
		byDraft[w.draft] = append(byDraft[w.draft], w)
	}
	for _, b := range bundles {
		before := len(f.texts)
		slices.SortStableFunc(b.versions, func(a, b version) int { return cmp.Compare(a.number, b.number) })
		f.numbers(b)
		f.acknowledged(b, made)
		if len(f.texts) > before {
			continue // whose contents these versions should have is not known
		}
		f.order(b, made)
		for _, d := range b.drafts {
			newStory(f, b, d, made, byDraft[d.draft]).judge()
		}
	}
	return f
}

// numbers looks for gaps and for versions listed twice.
func (f *findings) numbers(b shown) {
	for i, v := range b.versions {
		last := 0
		if i > 0 {
			last = b.versions[i-1].number
		}
		switch {
		case v.number == last:
			f.add(&f.twins, "%s: version %d is listed twice", b.name, v.number)
		case v.number != last+1:
			f.add(&f.gaps, "%s: version %d follows %d", b.name, v.number, last)
		}
	}
}

// acknowledged compares the versions with the answers to commits.
func (f *findings) acknowledged(b shown, made map[string]commit) {
	drafts := make(map[int]bool)
	for _, d := range b.drafts {
		drafts[d.draft] = true
	}
	told := make(map[int]string)   // number → key of the commit it was told to
	listed := make(map[string]int) // key → number
	for _, v := range b.versions {
		if other, ok := listed[v.key]; ok {
			f.add(&f.twins, "%s: versions %d and %d are both of commit %s", b.name, other, v.number, v.key)
		}
		listed[v.key] = v.number
		if c, ok := made[v.key]; !ok || c.version == 0 || !drafts[c.draft] {
			f.add(&f.stray, "%s: version %d is of commit %q, which was not acknowledged", b.name, v.number, v.key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(made)) {
		c := made[key]
		if c.version == 0 || !drafts[c.draft] {
			continue
		}
		if other, ok := told[c.version]; ok {
			f.add(&f.twins, "%s: commits %s and %s were both acknowledged as version %d", b.name, other, key, c.version)
		}
		told[c.version] = key
		if number, ok := listed[key]; !ok {
			f.add(&f.lost, "%s: commit %s was acknowledged as version %d, which is not there", b.name, key, c.version)
		} else if number != c.version {
			f.add(&f.lost, "%s: commit %s was acknowledged as version %d and is version %d", b.name, key, c.version, number)
		}
	}
}

// order looks for a version whose commit was sent after a later version's was
// acknowledged.
func (f *findings) order(b shown, made map[string]commit) {
	var first commit // acknowledged first, of the later versions
	for i, v := range slices.Backward(b.versions) {
		c := made[v.key]
		if i < len(b.versions)-1 && c.from > first.to {
			f.add(&f.disorder, "%s: version %d was sent after version %d was acknowledged", b.name, c.version, first.version)
		}
		if i == len(b.versions)-1 || c.to < first.to {
			first = c
		}
	}
}

// story is the life of one draft: spans, each ended by a commit, the last by
// the end of the run.
type story struct {
	*findings
	bundle shown
	draft  int
	spans  []ending
	sent   []int // when the commit at the end of each span was sent, at the earliest
	told   []int // when it was acknowledged, at the latest
	writes map[string][]placed
}

// ending is what a span comes to: what the version or the draft at its end
// shows, and the number of the version under it.
type ending struct {
	name        string
	files       files
	since, over int // the draft's base was one of these versions
}

// placed is a write and the spans in which it may have taken effect.
type placed struct {
	write
	first, last int
}

func newStory(f *findings, b shown, d view, made map[string]commit, writes []write) *story {
	s := &story{findings: f, bundle: b, draft: d.draft, writes: make(map[string][]placed)}
	since := 0
	for _, v := range b.versions {
		c := made[v.key]
		if c.draft != d.draft {
			continue
		}
		s.spans = append(s.spans, ending{fmt.Sprint("version ", v.number), v.files, since, v.number - 1})
		s.sent, s.told = append(s.sent, c.from), append(s.told, c.to)
		since = v.number
	}
	// Commits of one draft take effect in the order of their numbers.
	for i := 1; i < len(s.sent); i++ {
		s.sent[i] = max(s.sent[i], s.sent[i-1])
	}
	for i := len(s.told) - 2; i >= 0; i-- {
		s.told[i] = min(s.told[i], s.told[i+1])
	}
	base := 0
	for _, v := range b.versions {
		if v.digest == d.base {
			base = v.number // the newest of those with the same content
		}
	}
	if base < since || base == 0 && d.base != "" {
		f.add(&f.lost, "%s: draft %d is based on version %d (%q) and made version %d", b.name, d.draft, base, d.base, since)
		base = max(base, since)
	}
	s.spans = append(s.spans, ending{"the draft", d.files, since, base})
	for _, w := range writes {
		s.writes[w.path] = append(s.writes[w.path], placed{
			w, sort.SearchInts(s.told, w.from), sort.SearchInts(s.sent, w.to),
		})
	}
	return s
}

func (s *story) judge() {
	bySpan := make([]map[string][]placed, len(s.spans))
	for i := range bySpan {
		bySpan[i] = make(map[string][]placed)
	}
	for path, ws := range s.writes {
		for _, w := range ws {
			for i := w.first; i <= w.last; i++ {
				bySpan[i][path] = append(bySpan[i][path], w)
			}
		}
	}
	for i, end := range s.spans {
		paths := make(map[string]bool)
		for _, has := range []files{end.files, s.under(i)} {
			for path := range has {
				paths[path] = true
			}
		}
		for path := range bySpan[i] {
			paths[path] = true
		}
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			s.ended(i, path, bySpan[i][path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.writes)) {
		for _, w := range s.writes[path] {
			s.kept(w, bySpan)
		}
	}
}

// under returns the files of the version below the end of span i.
func (s *story) under(i int) files { return s.at(s.spans[i].over) }

func (s *story) at(number int) files {
	if number == 0 {
		return nil
	}
	return s.bundle.versions[number-1].files
}

// idle reports whether a write may say what the draft's base says in span i.
func (s *story) idle(i int, w placed) bool {
	for n := s.spans[i].since; n <= s.spans[i].over; n++ {
		if s.at(n)[w.path] == w.value {
			return true
		}
	}
	return false
}

// explains reports whether a path may end span i as it does with w the last
// write to it.
func (s *story) explains(i int, w placed) bool {
	got := s.spans[i].files[w.path]
	return got == w.value || got == s.under(i)[w.path] && s.idle(i, w)
}

// ended holds what a span ends with at a path against the writes that may belong
// to it.
func (s *story) ended(i int, path string, ws []placed) {
	must := false
	for _, w := range ws {
		must = must || w.first == w.last
		later := func(o placed) bool { return o.from > w.to && o.last <= i }
		if s.explains(i, w) && !slices.ContainsFunc(ws, later) {
			return
		}
	}
	got, was := s.spans[i].files[path], s.under(i)[path]
	switch {
	case got == was && !must:
	case must:
		s.add(&s.lost, "%s: %s of draft %d shows %q at %s, which is none of the writes before it", s.bundle.name, s.spans[i].name, s.draft, got, path)
	default:
		s.add(&s.stray, "%s: %s of draft %d shows %q at %s, which is neither from before (%q) nor written there", s.bundle.name, s.spans[i].name, s.draft, got, path, was)
	}
}

// kept looks for a span in which w may have taken effect: one that ends with it
// or with a write that may have come after it.
func (s *story) kept(w placed, bySpan []map[string][]placed) {
	for i := w.first; i <= w.last; i++ {
		for _, o := range bySpan[i][w.path] {
			if o.to >= w.from && s.explains(i, o) {
				return
			}
		}
	}
	s.add(&s.lost, "%s: client %d wrote %q to %s of draft %d at %d to %d; neither %s nor anything later shows it",
		s.bundle.name, w.client, w.value, w.path, s.draft, w.from, w.to, s.spans[w.first].name)
}
