package publog

import (
	"errors"
	"fmt"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"golang.org/x/mod/sumdb/tlog"
)

var (
	// ErrStale is in the chain of the error for something genuine that is older
	// than what is known already: the node that answered lags behind its
	// cluster. It is no alarm; try again later or at another node.
	ErrStale = errors.New("older than what is known")

	// ErrClockSkew is in the chain of the error for a checkpoint from the
	// future: one of the two clocks is wrong. It is no alarm, but a condition
	// the operator should see, under the name CLOCK_SKEW.
	ErrClockSkew = errors.New("CLOCK_SKEW")
)

// CheckAdvance decides whether a subscriber that verified old may go on to
// next. Both must come from [ParseCheckpoint]; the zero Checkpoint as old stands
// for "nothing yet". proof is the peer's proof that the larger of the two trees
// begins with the smaller one, empty if the sizes are equal or one is 0.
//
// A nil answer means that next extends old and is not older. If it is also of a
// later generation, the log must say so: see [CheckGeneration]. The errors:
//
//   - [AlarmWrongOwner]: the checkpoints are of two instances
//   - [AlarmRollback]: next is smaller or of a lower generation, yet issued no
//     earlier than old; or it is of a later generation and does not extend old:
//     the instance was recovered, and what old covered is not all there
//   - [AlarmFork]: equal in size but not in root, or the proof does not verify
//   - [ErrStale], of [bundle.KindUnavailable]: next was issued before old and
//     does not contradict it. It must not replace old. A smaller tree without
//     a proof is taken as stale too: nothing of it is used.
func CheckAdvance(old, next Checkpoint, proof []tlog.Hash) error {
	if old == (Checkpoint{}) {
		return nil
	}
	if old.Instance != next.Instance {
		return alarm(AlarmWrongOwner, "after checkpoints of %s came one of %s", old.Origin(), next.Origin())
	}
	older := next.Issued < old.Issued
	if next.Generation > old.Generation {
		return checkRecovered(old, next, proof)
	}
	if !older && (next.Size < old.Size || next.Generation < old.Generation) {
		return alarm(AlarmRollback, "the log went back from %d records in generation %d, issued %s, to %d in generation %d, issued %s",
			old.Size, old.Generation, stamp(old), next.Size, next.Generation, stamp(next))
	}
	if next.Size == old.Size && next.Root != old.Root {
		return alarm(AlarmFork, "two logs of %d records, with the roots %s and %s", old.Size, old.Root, next.Root)
	}
	from, to := old, next
	if to.Size < from.Size {
		from, to = to, from
	}
	unproven := older && next.Size < old.Size && len(proof) == 0
	if !unproven && !consistent(from.Size, from.Root, to.Size, to.Root, proof) {
		return alarm(AlarmFork, "nothing proves that the log of %d records, root %s, begins with the log of %d records, root %s",
			to.Size, to.Root, from.Size, from.Root)
	}
	if older {
		return stale(old, next)
	}
	return nil
}

func stale(old, next Checkpoint) error {
	return bundle.Errorf(bundle.KindUnavailable,
		"the peer answered with its checkpoint of %s, that of %s is known already; its node lags behind: %w",
		stamp(next), stamp(old), ErrStale)
}

// checkRecovered is CheckAdvance for a next of a later generation. One that was
// issued before old comes from a clock that is behind: it catches up.
func checkRecovered(old, next Checkpoint, proof []tlog.Hash) error {
	switch {
	case next.Issued < old.Issued:
		return stale(old, next)
	case next.Size < old.Size || !consistent(old.Size, old.Root, next.Size, next.Root, proof):
		return alarm(AlarmRollback, "the peer was recovered at generation %d and lost history: its log of %d records does not begin with the %d "+
			"of generation %d that were verified here", next.Generation, next.Size, old.Size, old.Generation)
	}
	return nil
}

// CheckGeneration holds the record that begins a generation against the
// checkpoints before and after: next, which extends old, is of a later one, and
// entry stands in its log after all that old covers. The answer is nil or
// [AlarmAltered]: a generation that nothing in the log begins.
func CheckGeneration(old, next Checkpoint, entry *Entry, proof []tlog.Hash) error {
	fail := func(what string) error {
		return alarm(AlarmAltered, "the checkpoint is of generation %d, and %s", next.Generation, what)
	}
	if entry == nil || entry.Body == nil {
		return fail("no record comes with it that begins that generation")
	}
	if err := CheckLeaves(next.Size, next.Root, []Leaf{{Index: entry.Index, Hash: entry.LeafHash()}}, proof); err != nil {
		return err
	}
	r, err := DecodeRecord(entry.Body)
	switch {
	case err != nil:
		return fail(fmt.Sprintf("record %d, which should begin it, cannot be read: %v", entry.Index, err))
	case r.Generation == nil || r.Owner.Instance != next.Instance || r.Generation.Number != next.Generation:
		return fail(fmt.Sprintf("record %d does not begin it", entry.Index))
	case entry.Index < old.Size:
		return fail(fmt.Sprintf("record %d, which begins it, stood in the log of generation %d already", entry.Index, old.Generation))
	}
	return nil
}

// CheckFresh judges the age of the newest verified checkpoint of a peer that
// can be reached. It answers [AlarmFreeze] if c was issued more than
// freezeAfter before now, [ErrClockSkew] (of [bundle.KindUnavailable]) if more
// than maxSkew after it.
func CheckFresh(c Checkpoint, now time.Time, freezeAfter, maxSkew time.Duration) error {
	issued := c.IssuedAt() // compared as times: a Duration cannot hold all differences
	switch {
	case issued.Before(now.Add(-freezeAfter)):
		return alarm(AlarmFreeze, "the peer answers, but its newest checkpoint was issued %s, %s ago; %s are allowed",
			stamp(c), now.Sub(issued).Round(time.Second), freezeAfter)
	case issued.After(now.Add(maxSkew)):
		return bundle.Errorf(bundle.KindUnavailable,
			"%w: the peer's checkpoint was issued %s, %s from now by this machine's clock; check both clocks",
			ErrClockSkew, stamp(c), issued.Sub(now).Round(time.Second))
	}
	return nil
}

func stamp(c Checkpoint) string { return c.IssuedAt().Format(time.RFC3339) }
