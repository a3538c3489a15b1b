package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// inbox is the copy of the catalog that arrives at a node, one at a time, and the
// one that has arrived and waits for raft's word.
type inbox struct {
	dir    string // on the disk that copies go to
	life   context.Context
	copies *copies
	logger *slog.Logger
	now    clock

	mu      sync.Mutex
	running *incoming
	have    *copyHeader // of the copy that waits; nil if there is none
	since   time.Time   // it waits
}

// incoming is a copy that arrives.
type incoming struct {
	*transfer
	offered
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool
	done   chan struct{}
	header copyHeader // once it is whole
}

// begin makes room for a copy. One of an earlier attempt, or of a leader of an
// earlier term, that is still arriving ends first.
func (b *inbox) begin(ctx context.Context, o offered, from string) (*incoming, error) {
	b.mu.Lock()
	for b.running != nil {
		old := b.running
		b.mu.Unlock()
		if old.term > o.term {
			return nil, bundle.Errorf(bundle.KindConflict, "this node is receiving a copy from the leader of a later term")
		}
		old.cancel(errors.New("the leader began again, or another one leads"))
		select {
		case <-old.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	t := &transfer{node: from, inbound: true, since: b.now()}
	t.total.Store(o.size)
	in := &incoming{transfer: b.copies.begin(t), offered: o, done: make(chan struct{})}
	in.ctx, in.cancel = context.WithCancelCause(b.life)
	in.unhook = context.AfterFunc(ctx, func() { in.cancel(context.Cause(ctx)) })
	b.running, b.have = in, nil
	b.logger.Info("receiving a copy of the catalog", "from", from, "bytes", o.size)
	return in, nil
}

// end says how it went.
func (b *inbox) end(in *incoming, err error) {
	in.unhook()
	in.cancel(nil)
	b.copies.end(in.transfer, b.now().Sub(in.since), err)
	b.mu.Lock()
	b.running = nil
	if err == nil {
		b.have, b.since = &in.header, b.now()
	}
	b.mu.Unlock()
	close(in.done)
	if err != nil {
		b.logger.Warn("a copy of the catalog did not arrive; the leader tries again", "from", in.node,
			"bytes", in.bytes.Load(), "of", in.size, "error", err)
		return
	}
	b.logger.Info("received a copy of the catalog", "from", in.node, "bytes", in.size, "index", in.header.index, "took", b.now().Sub(in.since))
}

// claim takes the copy that raft speaks of, if it is here.
func (b *inbox) claim(h copyHeader) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.have == nil || *b.have != h {
		return bundle.Errorf(bundle.KindUnavailable, "the copy of the catalog that is to be installed has not arrived; it must be sent again")
	}
	b.have = nil
	return nil
}

// copyWaits is how long a copy that has arrived waits for raft's word, which
// comes at once if it comes.
const copyWaits = time.Minute

// expired forgets a copy that was never installed. It reports whether there was
// one, which the caller discards.
func (b *inbox) expired() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.have == nil || b.now().Sub(b.since) < copyWaits {
		return false
	}
	b.have = nil
	return true
}

// arriving is the body of a copy. It fails when nothing comes for limit.
type arriving struct {
	rc      *http.ResponseController
	src     io.Reader
	in      *incoming
	limit   time.Duration
	carried func(bytes int)
	ended   atomic.Bool
}

// Read implements [io.Reader].
func (a *arriving) Read(p []byte) (int, error) {
	if err := a.rc.SetReadDeadline(time.Now().Add(a.limit)); err != nil {
		return 0, err
	}
	if err := context.Cause(a.in.ctx); err != nil {
		return 0, err // interrupt may have come before the deadline was set
	}
	n, err := a.src.Read(p)
	a.carried(n)
	if err == io.EOF {
		a.ended.Store(true)
	}
	return n, err
}

// interrupt ends a Read that waits.
func (a *arriving) interrupt() { _ = a.rc.SetReadDeadline(time.Unix(1, 0)) }
