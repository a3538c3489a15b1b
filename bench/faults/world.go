package main

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// world is what clients tell each other of what there is. It may be behind, and
// is of use as long as most of it is there.
type world struct {
	collection string
	target     string // a bundle with targetVersions versions, to link to

	mu      sync.Mutex
	bundles []*bundle
}

// targetVersions is how many versions the bundle has that others link to.
const targetVersions = 3

// bundle is one bundle of a world. Its methods may be called from any goroutine.
type bundle struct {
	id string

	mu     sync.Mutex
	drafts []draftRef
	gone   []draftRef // that were deleted, or may have been
	head   int
}

// draftRef is a draft that somebody made.
type draftRef struct {
	name, id string
	revision int // that was read last; 0: none
}

func (w *world) addBundle(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bundles = append(w.bundles, &bundle{id: id})
}

// everything returns every bundle.
func (w *world) everything() []*bundle {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.bundles)
}

// someBundle returns one of the newest, nil if there is none.
func (w *world) someBundle(rng *rand.Rand) *bundle {
	all := w.everything()
	if len(all) == 0 {
		return nil
	}
	all = all[max(0, len(all)-maxBundles):]
	return all[rng.IntN(len(all))]
}

func (b *bundle) someDraft(rng *rand.Rand) (d draftRef, some bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.drafts) == 0 {
		return d, false
	}
	return b.drafts[rng.IntN(len(b.drafts))], true
}

// known returns the drafts that are there, or were, as far as is known.
func (b *bundle) known() []draftRef {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Concat(b.drafts, b.gone)
}

func (b *bundle) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.drafts)
}

func (b *bundle) addDraft(name, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.ContainsFunc(b.drafts, func(d draftRef) bool { return d.name == name }) {
		b.drafts = append(b.drafts, draftRef{name: name, id: id})
	}
}

// mayAddDraft adds a draft that was read of, unless it is known to be gone since.
func (b *bundle) mayAddDraft(name, id string) {
	b.mu.Lock()
	gone := slices.ContainsFunc(b.gone, func(d draftRef) bool { return d.name == name })
	b.mu.Unlock()
	if !gone {
		b.addDraft(name, id)
	}
}

// dropDraft notes that a draft is gone.
func (b *bundle) dropDraft(d draftRef) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = append(b.gone, d)
	b.drafts = slices.DeleteFunc(b.drafts, func(one draftRef) bool { return one.name == d.name })
}

// someGone returns one of the drafts that went last: one that comes back must be
// noticed.
func (b *bundle) someGone(rng *rand.Rand) (d draftRef, some bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.gone) == 0 {
		return d, false
	}
	return b.gone[len(b.gone)-1-rng.IntN(min(3, len(b.gone)))], true
}

func (b *bundle) newest() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head
}

func (b *bundle) saw(number int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = max(b.head, number)
}

func (b *bundle) sawRevision(name string, revision int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.drafts {
		if b.drafts[i].name == name {
			b.drafts[i].revision = revision
		}
	}
}
