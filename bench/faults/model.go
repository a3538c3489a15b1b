package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/anishathalye/porcupine"
)

// content is what a version or a draft shows: a value for each path. A link
// stands among the files under linkPrefix and its name.
type content map[string]string

const linkPrefix = "link:"

// key identifies a state, so that two of them are compared in one step.
type key [16]byte

// state is one bundle. It is never changed: every step makes a new one.
type state struct {
	exists   bool
	versions []content // versions[0] is version 1
	drafts   map[string]draft
	chain    key // of versions
	key      key // of everything
}

// draft is a draft of a bundle: its base version (0 is none) and the changes
// since then, in which the value "" deletes.
type draft struct {
	base, revision int
	overlay        content
}

// shown returns what the draft shows. A value that stands in the overlay has the
// mark modified behind it.
func (s *state) shown(d draft) content {
	c := content{}
	for path, value := range s.version(d.base) {
		c[path] = value
	}
	for path, value := range d.overlay {
		if delete(c, path); value != "" {
			c[path] = value + modified
		}
	}
	return c
}

const modified = "*"

// version returns a version's content, none for number 0.
func (s *state) version(number int) content {
	if number == 0 {
		return nil
	}
	return s.versions[number-1]
}

// step tries an operation on the state. It reports whether it may have been
// answered so, and the state after it.
func step(s *state, o op, a answer) (bool, *state) {
	switch o.Kind {
	case createBundle:
		return !s.exists, s.with(func(n *state) { n.exists = true })
	case createDraft:
		return stepCreate(s, o, a)
	case patchDraft, commitDraft, deleteDraft:
		return stepDraft(s, o, a)
	default:
		return allows(s, o, a), s
	}
}

func stepCreate(s *state, o op, a answer) (bool, *state) {
	_, taken := s.drafts[o.Draft]
	if !s.exists || taken || a.Told != done && a.Told != open {
		return a.Told == open, s
	}
	return true, s.with(func(n *state) {
		n.drafts[o.Draft] = draft{base: len(s.versions), revision: 1}
	})
}

// stepDraft tries a change of a draft. One whose outcome is open has an effect if
// it can; that it has none is the same as that it comes after everything else.
func stepDraft(s *state, o op, a answer) (bool, *state) {
	d, here := s.drafts[o.Draft]
	told := missing
	var next *state
	if here {
		switch o.Kind {
		case patchDraft:
			told, next = s.patched(d, o)
		case commitDraft:
			told, next = s.committed(d, o)
		case deleteDraft:
			told, next = done, s.with(func(n *state) { delete(n.drafts, o.Draft) })
		}
	}
	if told != done {
		return a.Told == told || a.Told == open, s
	}
	if a.Told == open {
		return true, next
	}
	ok := a.Told == done
	if o.Kind == commitDraft {
		ok = ok && a.Number == len(next.versions)
	}
	if a.Revision != 0 {
		ok = ok && a.Revision == next.drafts[o.Draft].revision
	}
	return ok, next
}

func (s *state) patched(d draft, o op) (told, *state) {
	if o.IfRevision != 0 && o.IfRevision != d.revision {
		return unmet, nil
	}
	return done, s.with(func(n *state) {
		overlay := content{}
		maps.Copy(overlay, d.overlay)
		maps.Copy(overlay, o.Edits)
		n.drafts[o.Draft] = draft{d.base, d.revision + 1, overlay}
	})
}

// committed merges the draft's changes into the newest version, path by path.
func (s *state) committed(d draft, o op) (told, *state) {
	if o.IfRevision != 0 && o.IfRevision != d.revision {
		return unmet, nil
	}
	was, is := s.version(d.base), s.version(len(s.versions))
	merged := content{}
	maps.Copy(merged, is)
	changed, collides := false, false
	for path, mine := range d.overlay {
		if mine == was[path] {
			continue
		}
		changed = true
		collides = collides || was[path] != is[path] && mine != is[path]
		if delete(merged, path); mine != "" {
			merged[path] = mine
		}
	}
	switch {
	case collides:
		return conflict, nil
	case !changed:
		return unchanged, nil
	}
	return done, s.with(func(n *state) {
		n.versions = append(slices.Clip(s.versions), merged)
		n.chain = digest(string(s.chain[:]), canonical(merged))
		n.drafts[o.Draft] = draft{len(n.versions), d.revision + 1, nil}
	})
}

// allows reports whether a reading may have been answered so.
func allows(s *state, o op, a answer) bool {
	switch o.Kind {
	case readDraft:
		d, here := s.drafts[o.Draft]
		if !here || a.Told == missing {
			return !here && a.Told == missing
		}
		return a.Revision == d.revision && maps.Equal(a.Shown, s.shown(d))
	case readBundle:
		if !s.exists || a.Told == missing {
			return !s.exists && a.Told == missing
		}
		return a.Told == done && a.Number == len(s.versions) && slices.Equal(a.Drafts, slices.Sorted(maps.Keys(s.drafts)))
	case listVersions:
		return a.Told == done && a.Number == len(s.versions)
	case readVersion:
		if o.Number > len(s.versions) || a.Told == missing {
			return o.Number > len(s.versions) && a.Told == missing
		}
		return maps.Equal(a.Shown, s.version(o.Number))
	}
	return false
}

// with returns a changed copy of the state.
func (s *state) with(change func(n *state)) *state {
	n := &state{exists: s.exists, versions: s.versions, drafts: maps.Clone(s.drafts), chain: s.chain}
	change(n)
	n.seal()
	return n
}

func (s *state) seal() {
	parts := []string{fmt.Sprint(s.exists), string(s.chain[:])}
	for _, name := range slices.Sorted(maps.Keys(s.drafts)) {
		d := s.drafts[name]
		parts = append(parts, fmt.Sprint(name, " ", d.base, " ", d.revision), canonical(d.overlay))
	}
	s.key = digest(parts...)
}

func newState() *state {
	s := &state{drafts: map[string]draft{}}
	s.seal()
	return s
}

// canonical writes a content in one way only.
func canonical(c content) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%q=%q,", path, c[path])
	}
	return b.String()
}

func digest(parts ...string) key {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes everything
	}
	return key(h.Sum(nil)[:len(key{})])
}

// model is the API of one bundle for the checker, which may take at most steps
// of its steps that succeed: each of them costs memory. exhausted says that it
// took them all, and that what it found then means nothing.
func model(steps int) (m porcupine.Model, exhausted func() bool) {
	var taken atomic.Int64 // a check that ran out of time may still be ending
	exhausted = func() bool { return taken.Load() >= int64(steps) }
	return porcupine.Model{
		Init: func() any { return newState() },
		Step: func(s, in, out any) (bool, any) {
			if exhausted() {
				return false, s
			}
			ok, next := step(s.(*state), in.(op), out.(answer))
			if ok {
				taken.Add(1)
			}
			return ok, next
		},
		Equal:             func(a, b any) bool { return a.(*state).key == b.(*state).key },
		Hash:              func(s any) uint64 { return binary.BigEndian.Uint64(s.(*state).key[:]) },
		DescribeOperation: func(in, out any) string { return fmt.Sprint(in.(op), " -> ", out.(answer)) },
		DescribeState:     func(s any) string { return s.(*state).String() },
	}, exhausted
}

// String describes the state for people.
func (s *state) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d versions", len(s.versions))
	if n := len(s.versions); n > 0 {
		fmt.Fprintf(&b, ", the newest %s", canonical(s.versions[n-1]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.drafts)) {
		d := s.drafts[name]
		fmt.Fprintf(&b, "; draft %s on %d, revision %d: %s", name, d.base, d.revision, canonical(d.overlay))
	}
	return b.String()
}
