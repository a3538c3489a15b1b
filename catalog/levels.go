package catalog

import (
	"fmt"

	"github.com/blockstored/blockstored/bundle"
)

// baseLevel is the level of everything that was there before there were levels.
const baseLevel = 1

// TermLevel is the level of [Command.Term].
const TermLevel = 2

// Level returns the level that the command belongs to: it may be proposed only
// while that level, or a higher one, is in force. See [DB.Levels].
func (c Command) Level() uint64 {
	level := uint64(baseLevel)
	if c.Term != 0 {
		level = TermLevel
	}
	if c.Body == nil {
		return level
	}
	info, ok := kindOf(c.Body.CommandKind())
	if !ok {
		return level
	}
	version, ok := info.version(c.Body)
	if !ok {
		return level
	}
	return max(level, info.levels[version-1])
}

// Levels returns the level in force, below or at which commands may be proposed,
// and the highest that this program understands. Neither ever gets lower. It
// may be called at any time and costs nothing.
func (db *DB) Levels() (inForce, highest uint64) { return db.level.Load(), HighestLevel }

// raiseLevel puts a level in force. The proposer saw to it that every node
// understands it; one that does not stops here and says so.
func (a *applier) raiseLevel(b RaiseLevel) error {
	if err := understood(b.Level); err != nil {
		return err
	}
	a.state.level = max(a.state.level, int64(b.Level))
	a.result.Number = uint64(a.state.level)
	return nil
}

// understood refuses what belongs to a level that is too high for this program.
// It is a fault, never a refusal: the same entry is good on a newer node.
func understood(level uint64) error {
	if level > HighestLevel {
		return fmt.Errorf("catalog: this program understands level %d, the instance is at %d: upgrade blockstored on this node",
			HighestLevel, level)
	}
	return nil
}

// fenced refuses a command that a leader decided in another term than the one
// in which it came into the log.
func (a *applier) fenced(term uint64) error {
	if a.cmd.Term == 0 || a.cmd.Term == term {
		return nil
	}
	return bundle.Errorf(bundle.KindConflict,
		"the node that decided this led in term %d, and the log is in term %d: the leader of now decides", a.cmd.Term, term).
		With("reason", "deposed")
}
