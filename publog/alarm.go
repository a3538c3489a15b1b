package publog

import (
	"errors"
	"fmt"
)

// Alarm names a way in which a peer contradicted itself or claimed what it may
// not. On an alarm, intake from that peer stops, the evidence is kept, and what
// was verified before is served on.
type Alarm string

// The alarms. Their names are shown to operators and used in metrics.
const (
	AlarmRollback   Alarm = "ROLLBACK"    // its log got shorter, in a later checkpoint
	AlarmFork       Alarm = "FORK"        // two checkpoints that can't stand in one history
	AlarmFreeze     Alarm = "FREEZE"      // it answers, with a checkpoint that is too old
	AlarmChainBreak Alarm = "CHAIN_BREAK" // a record doesn't follow its subject's previous one
	AlarmWrongOwner Alarm = "WRONG_OWNER" // it publishes what belongs to someone else
	AlarmFenced     Alarm = "FENCED"      // it writes in an epoch that has passed to another
	AlarmAltered    Alarm = "ALTERED"     // bytes, records or signatures that don't verify
	AlarmEndless    Alarm = "ENDLESS"     // more bytes or records than it announced
	AlarmReplay     Alarm = "REPLAY"      // something old, presented as new
)

// AlarmError is the error of a check that found cause for an alarm.
type AlarmError struct {
	Alarm  Alarm
	Detail string // what was found, for the operator
}

// Error returns the alarm's name and the detail.
func (e *AlarmError) Error() string { return string(e.Alarm) + ": " + e.Detail }

// AlarmOf returns the alarm in err's chain, and whether there is one.
func AlarmOf(err error) (Alarm, bool) {
	if e, ok := errors.AsType[*AlarmError](err); ok {
		return e.Alarm, true
	}
	return "", false
}

func alarm(a Alarm, format string, args ...any) error {
	return &AlarmError{Alarm: a, Detail: fmt.Sprintf(format, args...)}
}
