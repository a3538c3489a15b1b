package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
)

// errSkipped answers an entry whose effect the catalog already has. Only a node
// that received a copy of the catalog sees it, and nobody waits for it there.
var errSkipped = errors.New("the entry was applied before")

// position is where the catalog stands in the log, and the members as of there.
type position struct {
	index, term uint64
	confIndex   uint64
	conf        []byte // raft.EncodeConfiguration; nil if there is none yet
}

type fault struct{ err error }

// fsm applies what raft commits to the catalog. Raft calls ApplyBatch, Snapshot
// and Restore from one goroutine, and stamp from another.
type fsm struct {
	catalog   StateMachine
	metrics   *metrics.Metrics
	logger    *slog.Logger
	now       clock
	trail     *trail
	inbox     *inbox                  // of copies to install
	forget    func(last uint64) error // drops the log up to there, all of which a copy has; set before raft runs
	onFailure func(error)             // called once, must not block

	// write is held while the catalog changes, so that a stamp cannot pass a
	// batch.
	write   sync.Mutex
	failure atomic.Pointer[fault]

	// mu guards pos, which mirrors what the catalog recorded so that readers
	// need no query; it is never ahead of the catalog.
	mu    sync.RWMutex
	pos   position
	moved chan struct{} // closed and replaced when pos changes
}

var _ raft.BatchingFSM = (*fsm)(nil)

// load reads the position from the catalog.
func (f *fsm) load() error {
	p, err := positionOf(f.catalog)
	if err != nil {
		return err
	}
	f.setPosition(p)
	return nil
}

func positionOf(catalog StateMachine) (p position, err error) {
	if p.index, p.term, err = catalog.Applied(); err != nil {
		return p, fmt.Errorf("read the applied position: %w", err)
	}
	if p.confIndex, p.conf, err = catalog.Configuration(); err != nil {
		return p, fmt.Errorf("read the members of the cluster: %w", err)
	}
	return p, nil
}

func (f *fsm) position() position {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.pos
}

// watch returns the position and a channel that is closed when it changes.
func (f *fsm) watch() (position, <-chan struct{}) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.pos, f.moved
}

func (f *fsm) setPosition(p position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pos = p
	close(f.moved)
	f.moved = make(chan struct{})
}

// failed returns the fault that stopped the node, if there was one.
func (f *fsm) failed() error {
	if fault := f.failure.Load(); fault != nil {
		return fault.err
	}
	return nil
}

// fail records the first fault and returns it.
func (f *fsm) fail(err error) error {
	if f.failure.CompareAndSwap(nil, &fault{err}) {
		f.onFailure(err)
	}
	return f.failed()
}

// ApplyBatch applies entries in as few transactions as their types allow:
// commands that follow each other share one. After a fault nothing is applied
// any more and every entry is answered with that fault.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	f.write.Lock()
	defer f.write.Unlock()
	out := make([]any, len(logs))
	for i := 0; i < len(logs); {
		n := 1
		failed := f.failed()
		switch {
		case failed != nil:
			out[i] = failed
		case logs[i].Index <= f.position().index:
			out[i] = errSkipped
		case logs[i].Type == raft.LogConfiguration:
			f.configure(logs[i].Index, logs[i].Term, logs[i].Data)
		default:
			for i+n < len(logs) && logs[i+n].Type == raft.LogCommand {
				n++
			}
			f.apply(logs[i:i+n], out[i:i+n])
		}
		i += n
	}
	return out
}

func (f *fsm) apply(logs []*raft.Log, out []any) {
	entries := make([]catalog.Entry, len(logs))
	for i, l := range logs {
		entries[i] = catalog.Entry{Index: l.Index, Term: l.Term, Data: l.Data}
	}
	start := f.now()
	results, err := f.catalog.Apply(entries)
	if err == nil && len(results) != len(entries) {
		err = fmt.Errorf("the catalog answered %d of %d entries", len(results), len(entries))
	}
	if err != nil {
		err = f.fail(fmt.Errorf("apply entries %d to %d: %w",
			entries[0].Index, entries[len(entries)-1].Index, err))
		for i := range out {
			out[i] = err
		}
		return
	}
	end := f.now()
	f.metrics.RaftApply(end.Sub(start))
	for i := range out {
		out[i] = results[i]
		f.trail.add(entries[i].Index, len(entries[i].Data), end)
	}
	p := f.position()
	p.index, p.term = entries[len(entries)-1].Index, entries[len(entries)-1].Term
	f.setPosition(p)
}

// configure records the members, and index and term as the applied position.
// The caller holds f.write.
func (f *fsm) configure(index, term uint64, conf []byte) {
	if err := f.catalog.SetConfiguration(index, term, conf); err != nil {
		_ = f.fail(fmt.Errorf("record the members of entry %d: %w", index, err))
		return
	}
	f.setPosition(position{index: index, term: term, confIndex: index, conf: conf})
}

// Apply is not used: raft prefers ApplyBatch.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot costs nothing: the catalog is the snapshot. The work is in stamp,
// off the goroutine that applies.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failed(); err != nil {
		return nil, err
	}
	return liveSnapshot{}, nil
}

// stamp makes the catalog stand for a snapshot at index: raft may drop the log
// up to there when it returns nil. Entries that never reach the state machine
// (a leader's first, barriers) can lie between the last applied one and index,
// so the position moves over them. Then everything is made durable.
func (f *fsm) stamp(index, term uint64, conf []byte) error {
	f.write.Lock()
	if f.failed() == nil && index > f.position().index {
		f.configure(index, term, conf)
	}
	f.write.Unlock()
	if err := f.failed(); err != nil {
		return err
	}
	if err := f.catalog.Sync(); err != nil {
		return f.fail(fmt.Errorf("make the catalog durable: %w", err))
	}
	return nil
}

// Restore replaces the catalog by the copy in the inbox that source is the header
// of. The copy was checked before; what is left takes no longer for a large one.
func (f *fsm) Restore(source io.ReadCloser) error {
	f.write.Lock()
	defer f.write.Unlock()
	if err := f.failed(); err != nil {
		return err
	}
	start := f.now()
	header, err := readCopyHeader(source)
	if err == nil {
		err = f.inbox.claim(header)
	}
	if err != nil {
		return err
	}
	// Raft gives no context and waits for this call when it shuts down.
	err = f.catalog.Install(context.Background())
	if loadErr := f.load(); loadErr != nil {
		return f.fail(fmt.Errorf("after installing a copy of the catalog: %w", errors.Join(err, loadErr)))
	}
	if err != nil {
		return fmt.Errorf("install a copy of the catalog: %w", err)
	}
	if at := f.position().index; at < header.index {
		return f.fail(bundle.Errorf(bundle.KindCorrupt,
			"the installed catalog stands at entry %d, before %d where its sender said", at, header.index))
	}
	// What is left of the log below the copy may never have been committed, and
	// this node would pass it on as a leader.
	if err := f.forget(header.index); err != nil {
		return f.fail(fmt.Errorf("drop the log that a copy of the catalog replaced: %w", err))
	}
	f.trail.reset()
	f.logger.Info("installed a copy of the catalog", "index", f.position().index, "took", f.now().Sub(start))
	return nil
}
