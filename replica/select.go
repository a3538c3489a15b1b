package replica

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

const (
	brakeBundles = 20 // withdrawn in one step before it waits for the operator,
	brakePart    = 10 // if they are also more than this part of what is here

	// gapRecords is how many records of one bundle are read at once to fill a
	// gap. One with more is set aside for a moment: retries go page by page.
	gapRecords = 8 * syndication.MaxPageRecords
)

// selection picks the records of a page that are followed and not here yet.
// It lives for one view of the catalog.
type selection struct {
	view   *catalog.View
	peer   catalog.Peer
	batch  *batch
	aside  map[bundle.ID]bool // parked or held
	states map[bundle.ID]*subjectState
	// whole is a bundle whose records are read from an earlier one on: it is
	// followed, whatever it was when they were published. Zero for none.
	whole bundle.ID
}

// subjectState is what is known of a bundle while the page is read.
type subjectState struct {
	row        catalog.Bundle
	here       bool
	collection bundle.ID     // after the records read so far
	tail       bundle.Digest // leaf of its record read last, or here last
}

// selectRecords sorts the records of a poll.
func (f *follower) selectRecords(ctx context.Context, peer catalog.Peer, parked []catalog.ParkedBundle, v *syndication.Verified) (*batch, error) {
	b := newBatch(proven{v.Checkpoint, v.Note}, v.Next)
	gaps, err := f.pick(ctx, peer, parked, bundle.ID{}, b, v.Records, nil)
	if err != nil {
		return nil, err
	}
	for _, id := range gaps {
		if err := f.fillGap(ctx, peer, b, id); err != nil {
			return nil, err
		}
	}
	return b, f.brake(ctx, peer, b)
}

// fillGap reads a bundle's records from its first one: what came of it does not
// follow what is here.
func (f *follower) fillGap(ctx context.Context, peer catalog.Peer, b *batch, id bundle.ID) error {
	b.drop(id)
	index, read := b.cursor, 0
	states := make(map[bundle.ID]*subjectState) // goes on from page to page
	for from, more := int64(0), true; more; {
		var records []syndication.VerifiedRecord
		var err error
		if records, more, err = f.recordsOf(ctx, b.at, id, from); err != nil {
			return err
		}
		for _, r := range records {
			if r.Index < b.cursor {
				index = min(index, r.Index)
				from = r.Index + 1
			}
		}
		if read += len(records); read > gapRecords {
			b.failSubject(id, fault{reason: reasonIncomplete, index: index, detail: "it has more records than one step takes in; the next attempt takes them page by page"})
			return nil
		}
		gaps, err := f.pick(ctx, peer, nil, id, b, before(records, b.cursor), states)
		if err != nil {
			return err
		}
		if len(gaps) > 0 || len(records) == 0 && from == 0 {
			b.failSubject(id, fault{reason: reasonChain, index: index, detail: fmt.Sprintf(
				"the log of peer %s shows its records with a gap: one does not continue the one before it", peer.Name)})
			return nil
		}
		more = more && from > 0 && records[len(records)-1].Index < b.cursor
	}
	b.sort()
	return nil
}

// before returns the records with an index below end.
func before(records []syndication.VerifiedRecord, end int64) []syndication.VerifiedRecord {
	n := sort.Search(len(records), func(i int) bool { return records[i].Index >= end })
	return records[:n]
}

// recordsOf fetches a page of the records of a subject, and verifies it.
func (f *follower) recordsOf(ctx context.Context, at proven, subject bundle.ID, from int64) (records []syndication.VerifiedRecord, more bool, err error) {
	req := syndication.RecordsRequest{Subject: subject, From: from, Size: at.Size}
	answer, err := f.client.Records(ctx, req)
	if err != nil {
		return nil, false, err
	}
	records, err = at.check(req, answer)
	return records, answer.More && len(records) > 0, err
}

// pick adds records to the batch and returns the bundles whose earlier records
// are missing here. states is what was learned from the records before them, nil
// if that is in the catalog.
func (f *follower) pick(ctx context.Context, peer catalog.Peer, parked []catalog.ParkedBundle, whole bundle.ID, b *batch, records []syndication.VerifiedRecord, states map[bundle.ID]*subjectState) (gaps []bundle.ID, err error) {
	if states == nil {
		states = make(map[bundle.ID]*subjectState)
	}
	err = f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		s := &selection{
			view: v, peer: peer, batch: b, whole: whole,
			aside: make(map[bundle.ID]bool), states: states,
		}
		for _, p := range parked {
			s.aside[p.Bundle] = p.Bundle != whole
		}
		for _, rec := range records {
			gap, err := s.record(rec)
			if err != nil {
				return err
			}
			if gap {
				gaps = append(gaps, rec.Record.Subject)
				s.aside[rec.Record.Subject] = true
			}
		}
		return nil
	})
	return gaps, err
}

// record looks at one record, and reports whether something is missing before
// it.
func (s *selection) record(rec syndication.VerifiedRecord) (gap bool, err error) {
	if rec.Subject == (bundle.ID{}) || s.aside[rec.Subject] || s.batch.failed(rec.Subject) {
		return false, nil
	}
	if rec.Unreadable != nil {
		return false, s.unreadable(rec)
	}
	r := rec.Record
	it := &item{VerifiedRecord: rec}
	if collection, err := s.aboutCollection(r); err != nil || collection {
		if err == nil && s.followsCollection(r.Subject) {
			s.batch.drop(r.Subject) // each says all that is to be known
			s.batch.add(it)
		}
		return false, err
	}
	st, err := s.state(r.Subject)
	if err != nil {
		return false, err
	}
	before := s.follows(r.Subject, st)
	if r.Kind == publog.RecordBundle {
		st.collection = r.Bundle.Collection
	}
	switch now := s.follows(r.Subject, st); {
	case !now:
		s.passBy(it, st)
		return false, nil
	case st.here && !before:
		return true, nil // moved to where it is followed: all of it is wanted now
	}
	return s.next(it, st)
}

// unreadable holds the bundle of a record that this program cannot read. Of one
// that is not followed nothing is wanted, and one that does not tell its subject
// leaves a gap in its bundle's chain, which the next record shows.
func (s *selection) unreadable(rec syndication.VerifiedRecord) error {
	st, err := s.state(rec.Subject)
	if err != nil || !s.follows(rec.Subject, st) {
		return err
	}
	s.batch.failSubject(rec.Subject, fault{reason: reasonUnknown, held: true, index: rec.Index, detail: fmt.Sprintf(
		"record %d cannot be read: %v", rec.Index, rec.Unreadable)})
	return nil
}

// next adds a record of a followed bundle, if it is the next one.
func (s *selection) next(it *item, st *subjectState) (gap bool, err error) {
	r := it.Record
	fail := func(held bool, reason, format string, args ...any) {
		s.batch.fail(it, fault{reason: reason, held: held, detail: fmt.Sprintf(format, args...)})
	}
	if st.here && st.row.Owner.Instance != s.peer.ID && st.row.Owner.Epoch >= r.Owner.Epoch {
		fail(true, reasonOwner, "peer %s publishes it in epoch %d, and here it belongs to instance %s in epoch %d; only one of the two can be its primary",
			s.peer.Name, r.Owner.Epoch, st.row.Owner.Instance, st.row.Owner.Epoch)
		return false, nil
	}
	old, err := s.old(it, st)
	if err != nil || old {
		st.tail = it.Leaf
		return false, err
	}
	if bundle.Digest(r.Prev) != st.tail {
		return true, nil
	}
	st.tail = it.Leaf
	if r.Critical && !r.Kind.Known() {
		fail(true, reasonUnknown, "record %d is of a kind that this program doesn't know and must not skip; upgrade it", it.Index)
		return false, nil
	}
	s.batch.add(it)
	return false, nil
}

// old reports whether a record was taken in already.
func (s *selection) old(it *item, st *subjectState) (bool, error) {
	if !st.here {
		return false, nil
	}
	if !it.version() {
		return it.Leaf == st.row.LastLeaf || it.Index <= st.row.LastIndex, nil
	}
	v, err := s.view.Version(it.ref())
	if bundle.IsKind(err, bundle.KindNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if v.Manifest != it.Record.Version.Manifest {
		s.batch.fail(it, fault{reason: reasonChain, held: true, detail: fmt.Sprintf(
			"record %d publishes version %d anew with another content; the one here stays", it.Index, v.Number)})
	}
	return true, nil
}

func (s *selection) state(id bundle.ID) (*subjectState, error) {
	if st, ok := s.states[id]; ok {
		return st, nil
	}
	st := &subjectState{}
	row, err := s.view.Bundle(id)
	switch {
	case err == nil:
		*st = subjectState{row: row, here: true, collection: row.Collection, tail: row.LastLeaf}
	case !bundle.IsKind(err, bundle.KindNotFound):
		return nil, err
	}
	s.states[id] = st
	return st, nil
}

// follows reports whether a bundle is subscribed to.
func (s *selection) follows(id bundle.ID, st *subjectState) bool {
	if id == s.whole {
		return true
	}
	for _, sel := range s.peer.Subscriptions {
		switch {
		case sel.Scope == scopeAll, sel.Scope == scopeBundle && sel.Target == id,
			sel.Scope == scopeCollection && sel.Target == st.collection:
			return true
		}
	}
	return false
}

// aboutCollection reports whether a record's subject is a collection.
func (s *selection) aboutCollection(r *publog.Record) (bool, error) {
	switch r.Kind {
	case publog.RecordCollection:
		return true, nil
	case publog.RecordVersion, publog.RecordBundle:
		return false, nil
	}
	if slices.ContainsFunc(s.batch.items, func(it *item) bool {
		return it.subject() == r.Subject && it.Record.Kind == publog.RecordCollection
	}) {
		return true, nil
	}
	_, err := s.view.Collection(r.Subject)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *selection) followsCollection(id bundle.ID) bool {
	if id == s.whole {
		return true
	}
	for _, sel := range s.peer.Subscriptions {
		if sel.Scope == scopeAll || sel.Scope == scopeCollection && sel.Target == id {
			return true
		}
	}
	return false
}

// passBy keeps a record of a bundle that is not followed: a link may want it.
// What changed about a bundle that is here because of one is taken in.
func (s *selection) passBy(it *item, st *subjectState) {
	it.linked = true
	id := it.subject()
	if st.here && st.row.Owner.Instance == s.peer.ID && !it.version() && it.Record.Kind.Known() {
		if it.Index > st.row.LastIndex {
			s.batch.add(it)
		}
		return
	}
	s.batch.passed[id] = append(s.batch.passed[id], it)
}

// brake holds withdrawals back if there are too many of them together.
func (f *follower) brake(ctx context.Context, peer catalog.Peer, b *batch) error {
	var withdrawals []*item
	for _, it := range b.items {
		if it.Record.Kind == publog.RecordWithdrawal {
			withdrawals = append(withdrawals, it)
		}
	}
	if len(withdrawals) == 0 {
		return nil
	}
	var n int64
	var subjects []bundle.ID
	var hold bool
	err := f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		for _, it := range withdrawals {
			k, err := copiesOf(v, peer.ID, it.subject())
			if err != nil {
				return err
			}
			if k > 0 {
				n += k
				subjects = append(subjects, it.subject())
			}
		}
		if n == 0 {
			return nil
		}
		total, err := countCopies(v, catalog.BundleFilter{Owner: peer.ID}, brakePart*n+1)
		hold = n >= total || n > brakeBundles && n*brakePart > total
		return err
	})
	if err != nil || !hold {
		return err
	}
	for _, id := range subjects {
		b.failSubject(id, fault{reason: reasonBrake, held: true, detail: fmt.Sprintf(
			"peer %s withdraws %d of its bundles here in one step; release them if that is meant", peer.Name, n)})
	}
	return nil
}

// copiesOf returns how many copies a withdrawal of the subject would mark.
func copiesOf(v *catalog.View, peer, subject bundle.ID) (int64, error) {
	b, err := v.Bundle(subject)
	if err == nil && b.State != stateWithdrawn && b.Owner.Instance == peer {
		return 1, nil
	}
	if err != nil && !bundle.IsKind(err, bundle.KindNotFound) {
		return 0, err
	}
	return countCopies(v, catalog.BundleFilter{Collection: subject, Owner: peer}, maxCounted)
}

const (
	stateWithdrawn = "withdrawn"
	maxCounted     = 100_000
	countPage      = 10_000
)

// countCopies counts bundles that are not withdrawn, up to limit.
func countCopies(v *catalog.View, filter catalog.BundleFilter, limit int64) (n int64, err error) {
	for page := (catalog.Page{Limit: countPage}); n < limit; {
		rows, err := v.Bundles(filter, page)
		if err != nil {
			return 0, err
		}
		for _, row := range rows {
			if row.Row.State != stateWithdrawn {
				n++
			}
			page.After = row.Cursor
		}
		if len(rows) < countPage {
			break
		}
	}
	return n, nil
}
