package replica

import (
	"cmp"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// The scopes of a subscription, as in [catalog.Selector].
const (
	scopeAll        = "all"
	scopeCollection = "collection"
	scopeBundle     = "bundle"
)

// Why a bundle is set aside, besides what the catalog itself finds. The names
// are shown to operators.
const (
	reasonDependency = "missing_dependency"
	reasonUnknown    = "unknown_record"
	reasonManifest   = "bad_manifest"
	reasonFetch      = "fetch_failed"
	reasonIncomplete = "incomplete"
	reasonTooLarge   = "too_large"
	reasonOwner      = "duplicate_primary"
	reasonBrake      = "withdrawal_brake"
	reasonChain      = "chain_break"
)

// item is a record on its way to become visible.
type item struct {
	syndication.VerifiedRecord
	linked bool // wanted by a link alone

	// For a version: its content, and the one before it, which is here or in
	// the same batch.
	manifest *bundle.Manifest
	prev     *bundle.Manifest
	have     uint64          // the number of the version here that prev is, 0 for none
	needs    []bundle.Digest // files and pages that prev does not have
}

func (it *item) subject() bundle.ID { return it.Record.Subject }

func (it *item) version() bool { return it.Record.Kind == publog.RecordVersion }

func (it *item) ref() bundle.VersionRef {
	return bundle.VersionRef{Bundle: it.Record.Subject, Number: it.Record.Version.Number}
}

// snapshot is what apply must know of a version's content.
func (it *item) snapshot() *catalog.Snapshot {
	if !it.version() {
		return nil
	}
	return &catalog.Snapshot{
		Manifest: it.Record.Version.Manifest, Alias: it.Record.Version.Alias,
		Files: int64(it.manifest.NumFiles()), Bytes: it.manifest.Bytes(), Deps: catalog.DepsOf(it.manifest.Links()),
	}
}

// fault is why a bundle cannot go on.
type fault struct {
	reason, detail string
	held           bool // a question for the operator, not to be tried again by itself
	index          int64
	linked         bool // nobody follows it: only what links to it is set aside
}

// batch is a stretch of the log that becomes visible together.
type batch struct {
	at     proven  // the records were proven against it
	cursor int64   // the new one
	linked []*item // dependencies from elsewhere in the log: metadata, then versions
	items  []*item // in log order
	passed map[bundle.ID][]*item
	faults map[bundle.ID]fault
	first  map[bundle.ID]int64 // the first record in items of each subject
	stow   *stow
}

func newBatch(at proven, cursor int64) *batch {
	return &batch{
		at: at, cursor: cursor,
		passed: make(map[bundle.ID][]*item), faults: make(map[bundle.ID]fault), first: make(map[bundle.ID]int64),
	}
}

// add appends a record of a followed subject.
func (b *batch) add(it *item) {
	if _, ok := b.first[it.subject()]; !ok {
		b.first[it.subject()] = it.Index
	}
	b.items = append(b.items, it)
}

// fail sets the bundle of an item aside: nothing of it in this batch becomes
// visible, from its first record on, so that what is tried again later is whole.
func (b *batch) fail(it *item, f fault) {
	f.index = it.Index
	f.linked = it.linked
	b.failSubject(it.subject(), f)
}

// failSubject does so for a subject.
func (b *batch) failSubject(subject bundle.ID, f fault) {
	if b.failed(subject) {
		return
	}
	if first, ok := b.first[subject]; ok {
		f.index, f.linked = first, false
	}
	b.faults[subject] = f
	b.drop(subject)
}

// failed reports whether the subject was set aside.
func (b *batch) failed(subject bundle.ID) bool {
	_, ok := b.faults[subject]
	return ok
}

// drop takes the items of a subject out.
func (b *batch) drop(subject bundle.ID) {
	drop := func(it *item) bool { return it.subject() == subject }
	b.items = slices.DeleteFunc(b.items, drop)
	b.linked = slices.DeleteFunc(b.linked, drop)
	delete(b.first, subject)
}

// sort puts the items back into log order.
func (b *batch) sort() {
	slices.SortStableFunc(b.items, func(x, y *item) int { return cmp.Compare(x.Index, y.Index) })
}

// cut leaves the items from index on to a later batch.
func (b *batch) cut(index int64) {
	b.items = slices.DeleteFunc(b.items, func(it *item) bool { return it.Index >= index })
	b.cursor = index
	for subject, f := range b.faults {
		if f.index >= index {
			delete(b.faults, subject)
		}
	}
}

// versions returns the items that are versions, dependencies first.
func (b *batch) versions() []*item {
	var vs []*item
	for _, it := range b.all() {
		if it.version() {
			vs = append(vs, it)
		}
	}
	return vs
}

// all returns the items in the order in which they take effect.
func (b *batch) all() []*item { return append(slices.Clone(b.linked), b.items...) }
