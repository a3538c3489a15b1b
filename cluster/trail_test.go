package cluster

import (
	"testing"
	"time"
)

func TestTrailKeepsYoungAndSmall(t *testing.T) {
	const kib = 1 << 10
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	retention := Retention{Soft: 100 * kib, Hard: 400 * kib, Age: 10 * time.Minute}
	fill := func(n int, every time.Duration) (*trail, time.Time) {
		tr, now := &trail{retention: retention}, at
		for i := 1; i <= n; i++ {
			now = now.Add(every)
			tr.add(uint64(i), kib-entryOverhead, now)
		}
		return tr, now
	}
	for _, c := range []struct {
		name  string
		n     int
		every time.Duration
		want  uint64
	}{
		{"small and old stays", 90, time.Hour, 0},
		{"old goes beyond the soft limit", 200, time.Hour, 100},
		{"young stays beyond the soft limit", 200, time.Second, 0},
		{"young goes beyond the hard limit", 500, time.Second, 100},
		{"age decides between the limits", 300, 4 * time.Second, 150},
	} {
		tr, now := fill(c.n, c.every)
		if got := tr.cut(now); got != c.want {
			t.Errorf("%s: cut at %d, want %d", c.name, got, c.want)
		}
		tr.dropped(c.want)
		if got := tr.cut(now); got != 0 {
			t.Errorf("%s: cut again at %d", c.name, got)
		}
	}
}

func TestTrailCountsTheLogFoundOnDisk(t *testing.T) {
	tr := &trail{retention: Retention{Soft: 1 << 20, Hard: 8 << 20, Age: time.Minute}}
	tr.seed(101, 1100, 2<<20)
	now := time.Now()
	if cut := tr.cut(now); cut < 590 || cut > 610 {
		t.Errorf("cut at %d, want about 600: half of the log is over the limit", cut)
	}
	tr.add(1100, 1<<20, now) // replayed
	tr.add(1101, 1<<20, now)
	if cut := tr.cut(now); cut < 1090 || cut > 1100 {
		t.Errorf("cut at %d, want about 1100", cut)
	}
	for _, empty := range [][2]uint64{{0, 0}, {5, 3}} {
		tr := &trail{}
		tr.seed(empty[0], empty[1], 1<<20)
		if len(tr.marks) != 0 {
			t.Errorf("marks for an empty log: %v", tr.marks)
		}
	}
}

func TestTrailMergesMarks(t *testing.T) {
	tr, at := &trail{}, time.Now()
	for i := range 10000 {
		tr.add(uint64(i+1), 10, at.Add(time.Duration(i)*time.Millisecond))
	}
	if len(tr.marks) > 30 {
		t.Errorf("%d marks for 10 s", len(tr.marks))
	}
}
