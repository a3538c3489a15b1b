package syndication

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

const (
	scanPage  = 512  // records read at a time
	scanLimit = 4096 // records of others passed by in one look

	maxVersionBytes = 3 << 20 // of the records in one answer about versions
)

// poll answers with what is new, or waits for it.
func (s *Server) poll(x *exchange) error {
	req, err := decodePollRequest(x.body)
	if err != nil {
		return err
	}
	x.waits(req.Wait)
	answer, err := s.await(x.r.Context(), x.peer, req)
	if err != nil {
		return err
	}
	b, err := answer.encode()
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, mediaCBOR, b)
	return nil
}

// await looks again whenever the catalog changed, until there is news or the
// time is over.
func (s *Server) await(ctx context.Context, peer bundle.ID, req PollRequest) (*PollAnswer, error) {
	timer := time.NewTimer(req.Wait)
	defer timer.Stop()
	l := look{peer: peer, req: req, scanned: req.From}
	for waiting := req.Wait > 0; ; {
		changed := s.cfg.Catalog.Changed()
		if err := s.cfg.Catalog.View(ctx, l.at); err != nil {
			return nil, err
		}
		switch {
		case l.news, !waiting && !l.behind:
			return l.answer, nil
		case !waiting:
			return nil, bundle.Errorf(bundle.KindUnavailable,
				"this node knows %d records of its log and you know %d: it is catching up, try again or ask another node",
				l.size, req.Size).With("reason", ReasonBehind)
		case l.partial:
			changed = nil // others' records were passed by: look on at once
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.done:
			return nil, bundle.Errorf(bundle.KindUnavailable, "this node is shutting down; try again or ask another node")
		case <-timer.C:
			waiting = false
		case <-orNow(changed):
		}
	}
}

// orNow returns c, or a closed channel for nil.
func orNow(c <-chan struct{}) <-chan struct{} {
	if c != nil {
		return c
	}
	now := make(chan struct{})
	close(now)
	return now
}

// look is one peer's view of the log, again and again.
type look struct {
	peer bundle.ID
	req  PollRequest

	scanned int64 // records below it, from req.From, are none for this peer
	size    int64 // of the checkpoint seen
	answer  *PollAnswer
	news    bool // the answer should not wait
	behind  bool // the subscriber knows more than this node
	partial bool // the look ended before the log did
}

// at looks once.
func (l *look) at(v *catalog.View) error {
	checkpoint, err := v.Checkpoint()
	if bundle.IsKind(err, bundle.KindNotFound) {
		l.behind, l.size = true, 0 // the first one is on its way
		return nil
	}
	if err != nil {
		return err
	}
	l.size = checkpoint.Size
	more := l.req.Size > checkpoint.Size || l.req.From > checkpoint.Size
	recovered := l.req.Generation > 0 && l.req.Generation < checkpoint.Generation
	l.behind = more && !recovered || l.req.Generation > checkpoint.Generation
	if l.behind {
		return nil
	}
	instance, err := v.Instance()
	if err != nil {
		return err
	}
	peer, err := v.Peer(l.peer)
	if err != nil {
		return err
	}
	if more { // what a recovery lost is known to the peer: the checkpoint says so
		l.news = true
		l.answer = &PollAnswer{
			Note: checkpoint.Note, Next: l.req.From, GrantRevision: peer.GrantRevision, Descriptor: bundle.DigestOf(instance.Descriptor),
		}
		return nil
	}
	entries, err := l.scan(v, newFilter(v, peer, l.req.Selectors), checkpoint.Size)
	if err != nil {
		return err
	}
	l.news = len(entries) > 0 || peer.GrantRevision != l.req.GrantRevision || recovered
	l.answer = &PollAnswer{
		Note: checkpoint.Note, Entries: entries, Next: l.scanned,
		GrantRevision: peer.GrantRevision, Descriptor: bundle.DigestOf(instance.Descriptor),
	}
	reader := v.LogReader()
	if l.answer.Consistency, err = publog.ProveConsistency(l.req.Size, checkpoint.Size, reader); err != nil {
		return err
	}
	if l.answer.Proof, err = publog.ProveLeaves(checkpoint.Size, indexes(entries), reader); err != nil || !recovered {
		return err
	}
	return l.answer.addGeneration(v, checkpoint.Size)
}

// addGeneration adds the record that begins the generation.
func (a *PollAnswer) addGeneration(v *catalog.View, size int64) error {
	rec, err := v.GenerationRecord(size)
	if err != nil {
		return err
	}
	e := entryOf(rec)
	a.Generation = &e
	a.GenerationProof, err = publog.ProveLeaves(size, []int64{e.Index}, v.LogReader())
	return err
}

// scan reads on from where it stopped, as far as one answer may go.
func (l *look) scan(v *catalog.View, sight *filter, size int64) (entries []publog.Entry, err error) {
	budget := pageBudget{records: l.req.Limit, bytes: MaxPageBytes}
	l.partial = true
	for start := l.scanned; l.scanned < size; {
		if l.scanned-start >= scanLimit && len(entries) == 0 {
			return nil, nil
		}
		records, err := v.Records(l.scanned, int(min(scanPage, size-l.scanned)))
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			return nil, bundle.Errorf(bundle.KindCorrupt, "the log of %d records ends at %d", size, l.scanned)
		}
		for _, rec := range records {
			if budget.spent() {
				return entries, nil
			}
			shown, err := sight.record(rec)
			if err != nil {
				return nil, err
			}
			if shown {
				e := entryOf(rec)
				entries = append(entries, e)
				budget.take(e)
			}
			l.scanned = rec.Index + 1
		}
	}
	l.partial = false
	return entries, nil
}

// pageBudget bounds one answer.
type pageBudget struct{ records, bytes int }

func (b *pageBudget) take(e publog.Entry) { b.records, b.bytes = b.records-1, b.bytes-len(e.Body) }
func (b *pageBudget) spent() bool         { return b.records <= 0 || b.bytes <= 0 }

// filter is what a peer is granted and follows.
type filter struct {
	granted, followed *access.Sight // followed is nil for all that is granted
}

func newFilter(v *catalog.View, peer catalog.Peer, selectors []catalog.Selector) *filter {
	f := &filter{granted: access.Visible(v, peer)}
	if selectors != nil {
		f.followed = access.SightOf(v, selectors)
	}
	return f
}

func (f *filter) record(rec catalog.Record) (bool, error) {
	shown, err := f.granted.Record(rec)
	if err != nil || !shown || f.followed == nil {
		return shown, err
	}
	return f.followed.Record(rec)
}

func entryOf(rec catalog.Record) publog.Entry {
	if rec.Body == nil {
		return publog.Entry{Index: rec.Index, Redacted: tlog.Hash(rec.Leaf)}
	}
	return publog.Entry{Index: rec.Index, Salt: rec.Salt, Body: rec.Body}
}

func indexes(entries []publog.Entry) []int64 {
	var is []int64
	for _, e := range entries {
		is = append(is, e.Index)
	}
	return is
}

// records answers with single records.
func (s *Server) records(x *exchange) error {
	req, err := decodeRecordsRequest(x.body)
	if err != nil {
		return err
	}
	var answer *RecordsAnswer
	err = s.cfg.Catalog.View(x.r.Context(), func(v *catalog.View) (err error) {
		answer, err = findRecords(v, x.peer, req)
		return err
	})
	if err != nil {
		return err
	}
	b, err := answer.encode()
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, mediaCBOR, b)
	return nil
}

func findRecords(v *catalog.View, id bundle.ID, req RecordsRequest) (*RecordsAnswer, error) {
	checkpoint, err := v.Checkpoint()
	if err != nil && !bundle.IsKind(err, bundle.KindNotFound) {
		return nil, err
	}
	if req.Size > checkpoint.Size {
		return nil, bundle.Errorf(bundle.KindUnavailable,
			"this node's signed log has %d records and %d were asked for: it is catching up, try again or ask another node",
			checkpoint.Size, req.Size).With("reason", ReasonBehind)
	}
	peer, err := v.Peer(id)
	if err != nil {
		return nil, err
	}
	sight := access.Visible(v, peer)
	answer := &RecordsAnswer{Size: req.Size}
	if len(req.Versions) > 0 {
		err = answer.addVersions(v, sight, req)
	} else {
		err = answer.addSubject(v, sight, req)
	}
	if err != nil {
		return nil, err
	}
	answer.Proof, err = publog.ProveLeaves(req.Size, indexes(answer.Entries), v.LogReader())
	return answer, err
}

// addSubject adds a subject's records, up to a page.
func (a *RecordsAnswer) addSubject(v *catalog.View, sight *access.Sight, req RecordsRequest) error {
	budget := pageBudget{records: req.Limit, bytes: MaxPageBytes}
	for from := req.From; ; {
		records, err := v.RecordsOf(req.Subject, from, scanPage)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if rec.Index >= req.Size {
				return nil
			}
			shown, err := sight.Record(rec)
			if err != nil {
				return err
			}
			if shown && budget.spent() {
				a.More = true
				return nil
			}
			if shown {
				e := entryOf(rec)
				a.Entries = append(a.Entries, e)
				budget.take(e)
			}
			from = rec.Index + 1
		}
		if len(records) < scanPage {
			return nil
		}
	}
}

// addVersions adds the record of each version that is shown, and the newest
// metadata record of its bundle.
func (a *RecordsAnswer) addVersions(v *catalog.View, sight *access.Sight, req RecordsRequest) error {
	var wanted []int64
	bundles := make(map[bundle.ID]bool)
	for _, ref := range req.Versions {
		shown, err := sight.Version(ref)
		if err != nil {
			return err
		}
		if !shown {
			continue
		}
		version, err := v.Version(ref)
		if err != nil {
			return err
		}
		if version.Record >= req.Size {
			continue
		}
		wanted = append(wanted, version.Record)
		if bundles[ref.Bundle] {
			continue
		}
		bundles[ref.Bundle] = true
		metadata, ok, err := newestMetadata(v, ref.Bundle, req.Size)
		if err != nil {
			return err
		}
		if ok {
			wanted = append(wanted, metadata)
		}
	}
	slices.Sort(wanted)
	size := 0
	for _, index := range slices.Compact(wanted) {
		records, err := v.RecordsAt([]int64{index})
		if err != nil {
			return err
		}
		a.Entries = append(a.Entries, entryOf(records[0]))
		if size += len(records[0].Body); size > maxVersionBytes {
			return bundle.Errorf(bundle.KindTooLarge, "the records of these %d versions have more than %d bytes; ask for fewer at a time",
				len(req.Versions), maxVersionBytes)
		}
	}
	return nil
}

// newestMetadata returns the index of a bundle's newest metadata record below
// size.
func newestMetadata(v *catalog.View, id bundle.ID, size int64) (index int64, ok bool, err error) {
	for from := int64(0); ; {
		records, err := v.RecordsOf(id, from, scanPage)
		if err != nil {
			return 0, false, err
		}
		for _, rec := range records {
			if rec.Index >= size {
				return index, ok, nil
			}
			if publog.RecordKind(rec.Kind) == publog.RecordBundle {
				index, ok = rec.Index, true
			}
			from = rec.Index + 1
		}
		if len(records) < scanPage {
			return index, ok, nil
		}
	}
}
