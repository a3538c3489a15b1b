package cluster

import (
	"testing"
	"time"
)

func TestLagIsTheAgeOfTheOldestThatIsMissing(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var l lag
	l.note(10, at(1))
	l.note(20, at(2))
	l.note(20, at(3)) // known since 2
	l.note(30, at(4))
	for _, c := range []struct {
		reached, missing uint64
		behind           time.Duration
		arrived          bool
	}{
		{5, 25, 9 * time.Second, false},
		{10, 20, 8 * time.Second, false},
		{19, 11, 8 * time.Second, false},
		{20, 10, 6 * time.Second, false},
		{31, 0, 0, true},
	} {
		missing, behind := l.measure(c.reached, at(10))
		if missing != c.missing || behind != c.behind || l.hasArrived() != c.arrived {
			t.Errorf("at %d: lacks %d for %v, arrived: %v", c.reached, missing, behind, l.hasArrived())
		}
	}
	l.note(40, at(11))
	if missing, behind := l.measure(31, at(11)); missing != 9 || behind <= 0 || !l.hasArrived() {
		t.Errorf("later: lacks %d for %v", missing, behind)
	}
	l.lead()
	if missing, behind := l.measure(31, at(20)); missing != 0 || behind != 0 {
		t.Errorf("as the leader: lacks %d for %v", missing, behind)
	}
}

func TestLagOfALongAbsenceIsBounded(t *testing.T) {
	var l lag
	const last = 10_000
	for k := range last + 1 {
		l.note(uint64(k)+1, time.Unix(int64(k), 0))
	}
	if len(l.marks) > maxMarks {
		t.Errorf("%d marks", len(l.marks))
	}
	if missing, behind := l.measure(0, time.Unix(last, 0)); missing < last-maxMarks || behind != last*time.Second {
		t.Errorf("lacks %d for %v", missing, behind)
	}
}
