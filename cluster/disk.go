package cluster

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// disk is raft.db with an eye on how long writes take. Raft's main goroutine
// does them, so while one hangs a leader can neither commit nor step down, and
// yet its heartbeats go on: only somebody else can see that and act.
type disk struct {
	*raftboltdb.BoltStore
	limit    time.Duration
	through  func(write func() error) error
	fail     func(error)         // tells the node of a write that failed
	voting   func()              // waits until the node may vote
	appended func(time.Duration) // is told how long appending entries took

	applied func() uint64 // up to where the log is applied; set before raft runs
	bound   atomic.Uint64 // up to where what is applied may be dropped; 0: anywhere

	hanging atomic.Int32              // writes that take longer than limit
	since   atomic.Pointer[time.Time] // the last of them began
	changed chan struct{}             // has an element after hanging changed
	served  atomic.Bool               // raft's goroutines write, and nobody else
	broken  chan struct{}             // closed when a goroutine of raft was ended
	breaks  sync.Once
}

var (
	_ raft.LogStore    = (*disk)(nil)
	_ raft.StableStore = (*disk)(nil)
)

// newDisk watches store. fail must not block.
func newDisk(store *raftboltdb.BoltStore, limit time.Duration, through func(func() error) error, fail func(error)) *disk {
	if through == nil {
		through = func(write func() error) error { return write() }
	}
	return &disk{
		BoltStore: store, limit: limit, through: through, fail: fail, voting: func() {}, appended: func(time.Duration) {},
		changed: make(chan struct{}, 1), broken: make(chan struct{}),
	}
}

// stalled reports whether a write takes longer than it may.
func (d *disk) stalled() bool { return d.hanging.Load() > 0 }

// timed carries out a write and minds how long it takes.
func (d *disk) timed(what string, write func() error) error {
	began := time.Now()
	timer := time.AfterFunc(d.limit, func() {
		d.since.Store(&began)
		d.count(1)
	})
	defer func() {
		if !timer.Stop() {
			d.count(-1)
		}
	}()
	if err := d.through(write); err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return nil
}

// faulty reports err, if there is one: raft goes on after some writes that fail
// as if nothing was, and the node must not.
func (d *disk) faulty(err error) error {
	if err != nil {
		d.fail(err)
	}
	return err
}

func (d *disk) count(by int32) {
	d.hanging.Add(by)
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// StoreLog is not used by raft.
func (d *disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries durably.
func (d *disk) StoreLogs(logs []*raft.Log) error {
	began := time.Now()
	defer func() { d.appended(time.Since(began)) }()
	return d.faulty(d.timed("to the log", func() error { return d.BoltStore.StoreLogs(logs) }))
}

// cutStep is how many entries are dropped at a time. They are at most 64 MiB of
// pages, mostly less than one, and entries are written in between.
const cutStep = 128

// DeleteRange drops entries, a few at a time: as one write a long log would take
// seconds, in which no entry could be written, and memory for all of it. It goes
// from the end that nothing follows, so that after a crash what is left is one
// piece. Of entries that are applied it drops none beyond bound.
func (d *disk) DeleteRange(first, last uint64) error {
	if bound := d.bound.Load(); bound > 0 && first <= d.applied() {
		last = min(last, bound)
	}
	oldest, err := d.FirstIndex()
	if err != nil || oldest == 0 {
		return err // nothing is there
	}
	newest, err := d.LastIndex()
	if err != nil {
		return err
	}
	backwards := last >= newest
	first, last = max(first, oldest), min(last, newest)
	for first <= last {
		n := min(last-first, cutStep-1)
		from, to := first, first+n
		if backwards {
			from, to = last-n, last
		}
		if err := d.through(func() error { return d.BoltStore.DeleteRange(from, to) }); err != nil {
			return err
		}
		if backwards {
			last = from - 1 // at least oldest-1, which is no less than 0
		} else {
			first = to + 1
		}
	}
	return nil
}

// Set writes whom this node voted for.
func (d *disk) Set(key, value []byte) error {
	return d.faulty(d.timed("a vote", func() error { return d.BoltStore.Set(key, value) }))
}

// SetUint64 writes a term, that of a vote once this node may vote. Raft panics when it cannot write its term, which
// would take the host's process with it. So the goroutine that wanted to ends
// here instead, with what it has deferred; it does nothing more, and the node
// stops.
func (d *disk) SetUint64(key []byte, value uint64) error {
	if string(key) == keyVoteTerm {
		d.voting()
	}
	err := d.timed("a term", func() error { return d.BoltStore.SetUint64(key, value) })
	if err != nil && d.served.Load() && string(key) == keyCurrentTerm {
		d.breaks.Do(func() { close(d.broken) }) // before anybody stops the node
		d.fail(err)
		runtime.Goexit()
	}
	return d.faulty(err)
}
