package syndication

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// Known is what a subscriber knows of a peer before it checks an answer.
type Known struct {
	Instance   bundle.ID
	Checkpoint publog.Checkpoint // the last one verified; zero before the first
	Keys       []string          // the log keys of its descriptor
}

// KnownOf reads what is known of a peer from its row in the catalog.
func KnownOf(p catalog.Peer) (Known, error) {
	d, err := publog.ParseDescriptor(p.Descriptor)
	if err != nil {
		return Known{}, bundle.Errorf(bundle.KindCorrupt, "the stored descriptor of peer %s: %w", p.Name, err)
	}
	k := Known{Instance: p.ID, Keys: d.LogKeys}
	if len(p.Note) > 0 {
		k.Checkpoint = publog.Checkpoint{
			Instance: p.ID, Generation: p.Generation, Size: p.Size, Root: tlog.Hash(p.Root), Issued: p.Issued,
		}
	}
	return k, nil
}

// Limits are a subscriber's tolerance towards time.
type Limits struct {
	FreezeAfter time.Duration // age of a reachable peer's checkpoint that is FREEZE; 0 for 15 minutes
	MaxSkew     time.Duration // how far its clock may be ahead of ours; 0 for 5 minutes
}

func (l Limits) withDefaults() Limits {
	if l.FreezeAfter == 0 {
		l.FreezeAfter = 15 * time.Minute
	}
	if l.MaxSkew == 0 {
		l.MaxSkew = 5 * time.Minute
	}
	return l
}

// Verified is a poll's answer, checked.
type Verified struct {
	Checkpoint    publog.Checkpoint
	Note          []byte
	Records       []VerifiedRecord // by index
	Next          int64            // the new cursor
	GrantRevision uint64
	Descriptor    bundle.Digest
}

// VerifiedRecord is a record that stands in its peer's log and was published by
// it. Whether it continues its subject's chain, and in which epoch, is for
// whoever knows the subject's state to judge.
type VerifiedRecord struct {
	Index  int64
	Leaf   bundle.Digest
	Body   []byte         // as it came; nil if it was redacted
	Record *publog.Record // nil if it was redacted or is Unreadable

	// Unreadable is why a record that stands in the log is none that this
	// program can read, for instance one of a later format. It concerns Subject,
	// which is zero if the record does not tell.
	Unreadable error
	Subject    bundle.ID
}

// Check verifies an answer against what was asked and what was known. It does
// no I/O, and uses no part of the answer before it is checked. The errors:
//
//   - [publog.AlarmError]: ROLLBACK and FORK for a log that does not extend the
//     known one (ROLLBACK also after a recovery that lost some of it), FREEZE for a checkpoint that is too old, ALTERED for what does
//     not verify, WRONG_OWNER for what is another instance's, ENDLESS for more
//     than was asked for
//   - [publog.ErrStale] and [publog.ErrClockSkew] in the chain: no alarms
//   - of [bundle.KindForbidden]: signed with no known log key; refresh the
//     descriptor and poll again
func Check(known Known, req PollRequest, ans *PollAnswer, now time.Time, limits Limits) (*Verified, error) {
	keys, err := publog.NewLogVerifiers(known.Instance, known.Keys...)
	if err != nil {
		return nil, err
	}
	checkpoint, err := publog.ParseCheckpoint(ans.Note, known.Instance, keys)
	if err != nil {
		return nil, alteredIfInvalid(err)
	}
	if known.Checkpoint.Size != req.Size {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"polled with a log of %d records, but %d are known; ask with the last verified checkpoint", req.Size, known.Checkpoint.Size)
	}
	if err := publog.CheckAdvance(known.Checkpoint, checkpoint, ans.Consistency); err != nil {
		return nil, err
	}
	if known.Checkpoint != (publog.Checkpoint{}) && checkpoint.Generation > known.Checkpoint.Generation {
		if err := publog.CheckGeneration(known.Checkpoint, checkpoint, ans.Generation, ans.GenerationProof); err != nil {
			return nil, err
		}
	}
	limits = limits.withDefaults()
	if err := publog.CheckFresh(checkpoint, now, limits.FreezeAfter, limits.MaxSkew); err != nil {
		return nil, err
	}
	if err := checkPage(req, ans, checkpoint.Size); err != nil {
		return nil, err
	}
	records, err := checkEntries(known.Instance, checkpoint, ans.Entries, ans.Proof)
	if err != nil {
		return nil, err
	}
	return &Verified{
		Checkpoint: checkpoint, Note: ans.Note, Records: records, Next: ans.Next,
		GrantRevision: ans.GrantRevision, Descriptor: ans.Descriptor,
	}, nil
}

// CheckLag judges a peer that answers, but shows nothing newer than what is
// known: FREEZE if that is too old by now, and nil else.
func CheckLag(known Known, now time.Time, limits Limits) error {
	if known.Checkpoint == (publog.Checkpoint{}) {
		return nil
	}
	limits = limits.withDefaults()
	err := publog.CheckFresh(known.Checkpoint, now, limits.FreezeAfter, limits.MaxSkew)
	if _, ok := publog.AlarmOf(err); !ok {
		return nil
	}
	return err
}

// checkPage holds a page against what was asked for.
func checkPage(req PollRequest, ans *PollAnswer, size int64) error {
	limit := req.Limit
	if limit <= 0 || limit > MaxPageRecords {
		limit = MaxPageRecords
	}
	if len(ans.Entries) > limit {
		return alarm(publog.AlarmEndless, "asked for %d records, the peer sent %d", limit, len(ans.Entries))
	}
	if ans.Next < req.From || ans.Next > max(size, req.From) {
		return alarm(publog.AlarmAltered, "after records from %d the peer's log of %d records goes on at %d", req.From, size, ans.Next)
	}
	for _, e := range ans.Entries {
		if e.Index < req.From || e.Index >= ans.Next {
			return alarm(publog.AlarmAltered, "asked for records from %d to %d, the peer sent record %d", req.From, ans.Next, e.Index)
		}
	}
	return nil
}

// CheckRecords verifies single records against a verified checkpoint, at whose
// size they were asked for. The errors are those of [Check].
func CheckRecords(at publog.Checkpoint, req RecordsRequest, ans *RecordsAnswer) ([]VerifiedRecord, error) {
	if req.Size != at.Size {
		return nil, bundle.Errorf(bundle.KindInvalid, "records were asked for at %d, the verified log has %d", req.Size, at.Size)
	}
	if ans.Size != at.Size {
		return nil, alarm(publog.AlarmAltered, "asked for a proof at %d records, got one at %d", at.Size, ans.Size)
	}
	limit := 2 * len(req.Versions)
	if limit == 0 {
		if limit = req.Limit; limit <= 0 || limit > MaxPageRecords {
			limit = MaxPageRecords
		}
	}
	if len(ans.Entries) > limit {
		return nil, alarm(publog.AlarmEndless, "asked for %d records, the peer sent %d", limit, len(ans.Entries))
	}
	records, err := checkEntries(at.Instance, at, ans.Entries, ans.Proof)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if !req.wants(r) {
			return nil, alarm(publog.AlarmAltered, "the peer sent record %d, which was not asked for", r.Index)
		}
	}
	return records, nil
}

// wants reports whether a record is one that was asked for.
func (r RecordsRequest) wants(rec VerifiedRecord) bool {
	if len(r.Versions) == 0 && rec.Index < r.From {
		return false
	}
	if rec.Record == nil {
		return true // nobody can tell
	}
	if len(r.Versions) == 0 {
		return rec.Record.Subject == r.Subject
	}
	for _, v := range r.Versions {
		if rec.Record.Subject == v.Bundle && (rec.Record.Version == nil || rec.Record.Version.Number == v.Number) {
			return true
		}
	}
	return false
}

// checkEntries verifies that entries stand in the checkpoint's log, decodes
// them, and refuses what the instance may not publish. A record that the log
// proves and this program cannot read is no lie.
func checkEntries(instance bundle.ID, at publog.Checkpoint, entries []publog.Entry, proof []tlog.Hash) ([]VerifiedRecord, error) {
	leaves := make([]publog.Leaf, len(entries))
	for i, e := range entries {
		leaves[i] = publog.Leaf{Index: e.Index, Hash: e.LeafHash()}
	}
	if err := publog.CheckLeaves(at.Size, at.Root, leaves, proof); err != nil {
		return nil, err
	}
	records := make([]VerifiedRecord, len(entries))
	for i, e := range entries {
		records[i] = VerifiedRecord{Index: e.Index, Leaf: bundle.Digest(leaves[i].Hash)}
		if e.Redacted != (tlog.Hash{}) {
			continue // no hash covers what else came with it
		}
		records[i].Body = e.Body
		rec, err := publog.DecodeRecord(e.Body)
		if err != nil {
			records[i].Unreadable = err
			records[i].Subject, _ = publog.SubjectOf(e.Body)
			continue
		}
		if rec.Owner.Instance != instance {
			return nil, alarm(publog.AlarmWrongOwner, "record %d of instance %s's log is one of instance %s", e.Index, instance, rec.Owner.Instance)
		}
		records[i].Record, records[i].Subject = rec, rec.Subject
	}
	return records, nil
}

func alarm(a publog.Alarm, format string, args ...any) error {
	return &publog.AlarmError{Alarm: a, Detail: fmt.Sprintf(format, args...)}
}

// alteredIfInvalid makes an alarm of what cannot be read at all.
func alteredIfInvalid(err error) error {
	if _, ok := publog.AlarmOf(err); !ok && bundle.IsKind(err, bundle.KindInvalid) {
		return alarm(publog.AlarmAltered, "%v", err)
	}
	return err
}
