package publog

import (
	"errors"
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
// A nil answer means that next extends old and is not older. The errors:
//
//   - [AlarmWrongOwner]: the checkpoints are of two instances
//   - [AlarmRollback]: next is smaller or of a lower generation, yet issued no
//     earlier than old
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
		return bundle.Errorf(bundle.KindUnavailable,
			"the peer answered with its checkpoint of %s, that of %s is known already; its node lags behind: %w",
			stamp(next), stamp(old), ErrStale)
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
