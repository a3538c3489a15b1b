package cluster

import (
	"sync"
	"time"
)

type clock func() time.Time

// entryOverhead is what an entry costs in the log beside its data, in bytes.
const entryOverhead = 128

// trail estimates how old and how large the log behind an index is, from marks
// about every second or MiB, to say what may be dropped from it.
type trail struct {
	retention Retention

	full chan struct{} // has an element when Hard was exceeded by an eighth

	mu    sync.Mutex
	marks []mark // ascending
}

type mark struct {
	index uint64
	total int64 // bytes of the log up to and with index, from some start
	at    time.Time
}

// seed accounts for a log found on disk that takes size bytes. Its entries
// count as old, and as equally large.
func (t *trail) seed(first, last uint64, size int64) {
	if last == 0 || first > last {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	const steps = 64
	n := last - first + 1
	for i := uint64(1); i <= steps; i++ {
		index := first + n*i/steps - 1
		if index < first || (len(t.marks) > 0 && t.marks[len(t.marks)-1].index >= index) {
			continue
		}
		t.marks = append(t.marks, mark{index: index, total: size / steps * int64(i)})
	}
}

// add accounts for an applied entry.
func (t *trail) add(index uint64, size int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last mark
	if n := len(t.marks); n > 0 {
		last = t.marks[n-1]
	}
	if index <= last.index {
		return // replayed: the log on disk was accounted for
	}
	next := mark{index: index, total: last.total + int64(size) + entryOverhead, at: at}
	if n := len(t.marks); n > 1 && at.Sub(t.marks[n-2].at) < time.Second && next.total-t.marks[n-2].total < 1<<20 {
		t.marks[n-1] = next
	} else {
		t.marks = append(t.marks, next)
	}
	if next.total-t.marks[0].total > t.retention.Hard+t.retention.Hard/8 {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

// reset forgets everything: the log no longer leads to the state.
func (t *trail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks = nil
}

// cut returns the newest index that may be dropped at the time now, 0 for none:
// what exceeds Hard, or what exceeds Soft and is older than Age.
func (t *trail) cut(now time.Time) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.marks) == 0 {
		return 0
	}
	var cut uint64
	newest := t.marks[len(t.marks)-1].total
	for _, m := range t.marks {
		behind := newest - m.total
		if behind < t.retention.Hard && (behind < t.retention.Soft || now.Sub(m.at) < t.retention.Age) {
			break
		}
		cut = m.index
	}
	return cut
}

// beyond returns the newest index behind which the log has at least size bytes, 0
// for none.
func (t *trail) beyond(size int64) (index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.marks {
		if t.marks[len(t.marks)-1].total-m.total < size {
			break
		}
		index = m.index
	}
	return index
}

// dropped forgets what lies at or before index, which the log no longer has.
func (t *trail) dropped(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.marks) && t.marks[n].index <= index {
		n++
	}
	t.marks = append([]mark(nil), t.marks[n:]...)
}
