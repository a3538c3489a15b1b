package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/blockstored/blockstored/bundle"
)

// spareSpace is what must be left on the disk beside a copy, in bytes: the node
// goes on writing.
const spareSpace = 64 << 20

// outbox holds the copy of the catalog that followers need which are too far
// behind for the log. All that need one at a time share it; it is made when the
// first comes and removed when nobody uses it any more.
type outbox struct {
	dir  string
	fsm  *fsm
	life context.Context // of the node

	making sync.WaitGroup

	mu      sync.Mutex
	current *outgoing // nil if nobody needs one
}

// outgoing is a copy that is made or sent.
type outgoing struct {
	copyHeader
	meta raft.SnapshotMeta
	path string
	life context.Context
	stop context.CancelFunc

	begin sync.Once

	made, total atomic.Int64 // bytes, while it is made

	ready chan struct{} // closed when it is made, or not
	size  int64         // bytes of the database; once ready
	err   error         // once ready

	users int // guarded by outbox.mu
}

// ticket is the use of a copy. It reads as the copy's header, which is all that
// raft sends.
type ticket struct {
	*bytes.Reader
	*outgoing
	leave func() error
}

// Close ends the use.
func (t *ticket) Close() error { return t.leave() }

// take returns a use of the copy there is, or of one that is made when the first
// waits for it: its position is read now, so that it has at least the entries
// that its header promises; a follower skips the others when they come.
func (o *outbox) take(live func() (*raft.SnapshotMeta, error)) (*ticket, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.current
	if out == nil {
		meta, err := live()
		if err != nil {
			return nil, err
		}
		if meta.Index == 0 {
			return nil, errors.New("the catalog is empty: there is nothing to copy")
		}
		ctx, cancel := context.WithCancel(o.life)
		out = &outgoing{copyHeader: newCopyHeader(meta.Index, meta.Term), meta: *meta, life: ctx, stop: cancel, ready: make(chan struct{})}
		out.path = filepath.Join(o.dir, fmt.Sprintf("send-%x", out.id))
		out.meta.Size = int64(streamHeader)
		o.current = out
	}
	out.users++
	return &ticket{Reader: bytes.NewReader(out.append(nil)), outgoing: out, leave: sync.OnceValue(func() error { return o.release(out) })}, nil
}

// release ends a use; the last one removes the copy.
func (o *outbox) release(out *outgoing) error {
	o.mu.Lock()
	out.users--
	unused := out.users == 0
	if unused && o.current == out {
		o.current = nil
	}
	o.mu.Unlock()
	if !unused {
		return nil
	}
	out.stop()
	out.begin.Do(func() { close(out.ready) }) // nobody waited for it
	<-out.ready
	if err := os.Remove(out.path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (o *outbox) make(out *outgoing) {
	defer close(out.ready)
	start := o.fsm.now()
	if out.err = o.room(); out.err == nil {
		out.err = o.fsm.catalog.Copy(out.life, out.path, func(done, total int64) {
			out.made.Store(done)
			out.total.Store(total)
		})
	}
	if out.err == nil {
		var info os.FileInfo
		if info, out.err = os.Stat(out.path); out.err == nil {
			out.size = info.Size()
			o.fsm.logger.Info("made a copy of the catalog for followers", "bytes", out.size, "index", out.index, "took", o.fsm.now().Sub(start))
		}
	}
	if out.err != nil {
		o.mu.Lock()
		if o.current == out {
			o.current = nil // whoever comes next tries again
		}
		o.mu.Unlock()
	}
}

// room refuses to make a copy that the disk has no room for.
func (o *outbox) room() error {
	if err := o.fsm.failed(); err != nil {
		return err
	}
	size, err := o.fsm.catalog.Size()
	if err != nil {
		return err
	}
	return roomFor(o.dir, size)
}

// roomFor refuses what does not fit on the disk of dir.
func roomFor(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("read the free space of %s: %w", dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // types differ between systems
	if free < size+spareSpace {
		return bundle.Errorf(bundle.KindUnavailable,
			"a copy of the catalog needs %d MiB in %s, and %d are free: make room there; it is tried again", (size+spareSpace)>>20, dir, free>>20)
	}
	return nil
}

// oldest returns the index up to which the log must be kept for the copy that is
// made or sent, 0 if there is none.
func (o *outbox) oldest() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current == nil {
		return 0
	}
	return o.current.index
}
