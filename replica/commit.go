package replica

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

const (
	// intakeBlobs is how many locations go with the command that makes a batch
	// visible, some 120 KiB; more are committed before it.
	intakeBlobs = 1000
	// intakeBytes is how much of records one such command carries.
	intakeBytes = 320 << 10
	itemWeight  = 256 // of a record's snapshot and framing
	depWeight   = 48

	// retryTime bounds the attempts at bundles that were set aside between two
	// polls, so that they do not hold up the others for long. What came is kept.
	retryTime = 20 * time.Second
)

// commit sets the failed bundles aside, and then makes the rest visible and
// moves the cursor.
func (f *follower) commit(ctx context.Context, peer catalog.Peer, v *syndication.Verified, b *batch) error {
	if err := f.park(ctx, b, nil); err != nil {
		return err
	}
	return f.intake(ctx, peer, v, b.cursor, b.all(), b.stow.rest())
}

// park sets bundles aside. It comes before the cursor passes them.
func (f *follower) park(ctx context.Context, b *batch, before *catalog.ParkedBundle) error {
	for id, flt := range b.faults {
		if flt.linked {
			continue // who links to it is set aside
		}
		var attempts int64
		if before != nil {
			attempts = before.Attempts
		}
		p := catalog.Park{Peer: f.id, Bundle: id, Held: flt.held, Reason: flt.reason, Detail: flt.detail, Index: flt.index}
		if !flt.held || flt.reason == reasonDependency {
			p.RetryAt = f.cfg.Now().Add(f.cfg.retryIn(attempts)).UnixMicro()
		}
		if err := f.cfg.apply(ctx, p); err != nil {
			return err
		}
		f.log.Warn("peer: a bundle is set aside", "bundle", id, "reason", flt.reason, "detail", flt.detail, "held", flt.held)
	}
	return nil
}

// intake makes items visible, in as few commands as they fit, and moves the
// cursor along; the last one moves it to cursor.
func (f *follower) intake(ctx context.Context, peer catalog.Peer, v *syndication.Verified, cursor int64, items []*item, blobs []bundle.Located) error {
	if cursor == peer.Cursor && len(items) == 0 && string(v.Note) == string(peer.Note) && v.GrantRevision == peer.SeenGrantRevision {
		return nil
	}
	at := peer.Cursor
	for first := true; first || len(items) > 0; first = false {
		n := fitting(items)
		next := cursor
		if n < len(items) {
			next = min(cursor, max(at, nextIndex(items[n:], at)))
		}
		body := catalog.Intake{
			Peer: f.id, Note: v.Note, Generation: v.Checkpoint.Generation, Size: v.Checkpoint.Size,
			Root: bundle.Digest(v.Checkpoint.Root), Issued: v.Checkpoint.Issued,
			ExpectCursor: at, Cursor: next, GrantRevision: v.GrantRevision, Items: intakeItems(items[:n]),
		}
		if first {
			body.Blobs = blobs
		}
		if err := f.cfg.apply(ctx, body); err != nil {
			return err
		}
		f.visible(peer, items[:n])
		items, at = items[n:], next
	}
	return nil
}

// fitting returns how many of the items fit one command, at least one.
func fitting(items []*item) int {
	size := 0
	for i, it := range items {
		size += it.weight()
		if i > 0 && size > intakeBytes {
			return i
		}
	}
	return len(items)
}

// weight is about how many bytes the item takes in a command.
func (it *item) weight() int {
	w := itemWeight + len(it.Body)
	if it.manifest != nil {
		w += depWeight * len(catalog.DepsOf(it.manifest.Links()))
	}
	return w
}

// nextIndex is where the cursor stands before the items that are left: at the
// first that is not there for a link alone.
func nextIndex(items []*item, at int64) int64 {
	for _, it := range items {
		if !it.linked {
			return it.Index
		}
	}
	return at
}

func intakeItems(items []*item) []catalog.IntakeItem {
	out := make([]catalog.IntakeItem, len(items))
	for i, it := range items {
		out[i] = catalog.IntakeItem{Index: it.Index, Leaf: it.Leaf, Body: it.Body, Snapshot: it.snapshot(), Linked: it.linked}
	}
	return out
}

// visible measures how long it took, for what was published since the peer is
// followed: a first pull says nothing of that.
func (f *follower) visible(peer catalog.Peer, items []*item) {
	now := f.cfg.Now()
	for _, it := range items {
		if it.version() && it.Record.Time > peer.Added {
			f.cfg.Metrics.Visible(max(0, now.Sub(time.UnixMicro(it.Record.Time))))
		}
	}
}

// retryDue tries the bundles again whose time has come, one after the other, for
// as long as it may hold up the others; what is left is first next time.
func (f *follower) retryDue(ctx context.Context, peer catalog.Peer, parked []catalog.ParkedBundle) error {
	known, err := syndication.KnownOf(peer)
	if err != nil || known.Checkpoint.Size == 0 {
		return err
	}
	tctx, cancel := context.WithTimeout(ctx, retryTime)
	defer cancel()
	now := f.cfg.Now()
	for _, p := range parked {
		if at, ok := f.cfg.due(p); !ok || at.After(now) {
			continue
		}
		if tctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.retry(ctx, tctx, peer, known.Checkpoint, p); err != nil {
			return err
		}
	}
	return nil
}

// due returns when a bundle that was set aside is tried again, and whether it is
// without the operator's word. What the catalog itself parked has no time yet.
func (c *Config) due(p catalog.ParkedBundle) (time.Time, bool) {
	if p.RetryAt > 0 {
		return time.UnixMicro(p.RetryAt), true
	}
	return time.UnixMicro(p.Since).Add(c.retryIn(p.Attempts)), !p.Held
}

// retry makes one attempt, within tctx, which ends with ctx or sooner. The
// bundle's next one goes on from what came.
func (f *follower) retry(ctx, tctx context.Context, peer catalog.Peer, at publog.Checkpoint, p catalog.ParkedBundle) error {
	err := f.retryFrom(tctx, peer, at, p)
	outOfTime := tctx.Err() != nil
	if err == nil || ctx.Err() != nil || wholePeer(ctx, err) && !outOfTime {
		return err
	}
	detail := err.Error()
	if outOfTime {
		detail = "it takes longer than one attempt may; the next one goes on from what came"
	}
	return f.cfg.apply(ctx, catalog.Park{
		Peer: f.id, Bundle: p.Bundle, Held: p.Held, Reason: p.Reason, Detail: detail, Index: p.Index,
		RetryAt: f.cfg.Now().Add(f.cfg.retryIn(p.Attempts)).UnixMicro(),
	})
}

// retryFrom takes in what a bundle that was set aside has in the log, up to the
// last verified checkpoint, and forgets that it was set aside; or sets it aside
// again, from the first record that still fails. Records past the checkpoint
// come with the polls that follow.
func (f *follower) retryFrom(ctx context.Context, peer catalog.Peer, at publog.Checkpoint, p catalog.ParkedBundle) error {
	from := p.Index
	if p.Reason == reasonChain {
		from = 0
	}
	same := &syndication.Verified{
		Checkpoint: at, Note: peer.Note, Next: peer.Cursor, GrantRevision: peer.SeenGrantRevision,
	}
	for more, any := true, false; more; {
		var records []syndication.VerifiedRecord
		var err error
		if records, more, err = f.recordsOf(ctx, proven{at, peer.Note}, p.Bundle, from); err != nil {
			return err
		}
		if any = any || len(records) > 0; !any {
			return bundle.Errorf(bundle.KindNotFound, "the peer shows none of its records any more")
		}
		b := newBatch(proven{at, peer.Note}, at.Size)
		gaps, err := f.pick(ctx, peer, nil, p.Bundle, b, records, nil)
		if err != nil {
			return err
		}
		if len(gaps) > 0 {
			b.failSubject(p.Bundle, fault{reason: reasonChain, index: p.Index, detail: "its records in the log do not continue what is here"})
		}
		if err := f.complete(ctx, b); err != nil {
			return err
		}
		if len(b.faults) > 0 {
			return f.park(ctx, b, &p)
		}
		if err := f.intake(ctx, peer, same, peer.Cursor, b.all(), b.stow.rest()); err != nil {
			return err
		}
		if err := f.tookIn(ctx, b); err != nil {
			return err
		}
		if b.cursor < at.Size { // it was cut
			from, more = b.cursor, true
		} else if len(records) > 0 {
			from = records[len(records)-1].Index + 1
		}
	}
	f.log.Info("peer: a bundle that was set aside is here now", "bundle", p.Bundle)
	return f.cfg.apply(ctx, catalog.Unpark{Peer: f.id, Bundle: p.Bundle})
}

// tookIn checks that what was proposed for a bundle that is aside took effect:
// of such a bundle, apply leaves out in silence what it cannot follow.
func (f *follower) tookIn(ctx context.Context, b *batch) error {
	return f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		for _, it := range b.items {
			if !it.version() {
				continue
			}
			if _, err := v.Version(it.ref()); err != nil {
				return bundle.Errorf(bundle.KindConflict, "version %d could not be taken in, it does not continue what is here: %w", it.ref().Number, err)
			}
		}
		return nil
	})
}

// unparkAll forgets what was set aside, before the log is read from its start.
func (f *follower) unparkAll(ctx context.Context, parked []catalog.ParkedBundle) error {
	ids := make(map[bundle.ID]bool)
	for _, p := range parked {
		ids[p.Bundle] = true
	}
	for _, id := range slices.SortedFunc(maps.Keys(ids), func(a, b bundle.ID) int { return slices.Compare(a[:], b[:]) }) {
		if err := f.cfg.apply(ctx, catalog.Unpark{Peer: f.id, Bundle: id}); err != nil {
			return err
		}
	}
	return nil
}
