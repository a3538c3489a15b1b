package storage

import (
	"context"
	"sync"

	"github.com/blockstored/blockstored/bundle"
)

// maxPackWriters is how many packs may be written at once, each more only when
// a full pack's worth is waiting.
const maxPackWriters = 4

// packItem is one blob on its way into a pack: the frame, and what Open or the
// bytes themselves have proved it to hold.
type packItem struct {
	frame bundle.Frame
	blob  bundle.Blob
}

// packQueue is the natural batching: a blob that finds no pack being written
// starts one at once, and those that arrive meanwhile share the next. There is
// no timer and no goroutine while nothing is queued.
type packQueue struct {
	start  func() // starts one writer
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	writers int
	queue   []queued
	bytes   int64 // of the frames in queue
}

type queued struct {
	packItem
	call  *packCall
	index int // in call.located
}

// packCall is one caller's blobs. Its fields are guarded by the queue's mutex
// until done is closed.
type packCall struct {
	located []Located
	left    int
	over    bool // failed or given up: what is still queued is dropped
	err     error
	done    chan struct{}
}

// newPackQueue returns a queue whose packs are written by write, which returns
// the items' locations in their order.
func newPackQueue(write func(context.Context, []packItem) ([]Located, error)) *packQueue {
	ctx, cancel := context.WithCancel(context.Background())
	q := &packQueue{cancel: cancel}
	q.start = func() { q.wg.Go(func() { q.run(ctx, write) }) }
	return q
}

// put queues items and waits until all are durable. A caller that gives up
// does not disturb the others of its pack.
func (q *packQueue) put(ctx context.Context, items []packItem) ([]Located, error) {
	if len(items) == 0 {
		return nil, nil
	}
	call := &packCall{located: make([]Located, len(items)), left: len(items), done: make(chan struct{})}
	if err := q.enqueue(call, items); err != nil {
		return nil, err
	}
	select {
	case <-call.done:
		return call.located, call.err
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		call.over = true
		return nil, context.Cause(ctx)
	}
}

func (q *packQueue) enqueue(call *packCall, items []packItem) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed()
	}
	for i, item := range items {
		q.queue = append(q.queue, queued{packItem: item, call: call, index: i})
		q.bytes += int64(item.frame.EncodedLen())
		if q.writers == 0 || q.writers < maxPackWriters && q.bytes >= packTarget {
			q.writers++
			q.start()
		}
	}
	return nil
}

func (q *packQueue) refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed()
	}
	return nil
}

func errClosed() error {
	return bundle.Errorf(bundle.KindUnavailable, "storage is shutting down: try again in a moment")
}

// run writes packs until none is due.
func (q *packQueue) run(ctx context.Context, write func(context.Context, []packItem) ([]Located, error)) {
	for {
		batch := q.take()
		if batch == nil {
			return
		}
		// Two callers may bring the same blob: it is written once.
		items := make([]packItem, 0, len(batch))
		at := make([]int, len(batch))
		seen := make(map[bundle.Digest]int, len(batch))
		for i, e := range batch {
			n, ok := seen[e.blob.Digest]
			if !ok {
				n = len(items)
				seen[e.blob.Digest] = n
				items = append(items, e.packItem)
			}
			at[i] = n
		}
		located, err := write(ctx, items)
		q.finish(batch, at, located, err)
	}
}

// take removes the next pack's blobs from the queue. It returns nil, and the
// writer ends, when nothing is queued or less than a pack while another writer
// is there to take it.
func (q *packQueue) take() (batch []queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writers == 1 || q.bytes >= packTarget {
		var size int64
		n := 0
		for n < len(q.queue) && size < packTarget {
			e := q.queue[n]
			n++
			q.bytes -= int64(e.frame.EncodedLen())
			if e.call.over {
				continue
			}
			size += int64(e.frame.EncodedLen())
			batch = append(batch, e)
		}
		clear(q.queue[:n]) // lets go of the payloads
		if q.queue = q.queue[n:]; len(q.queue) == 0 {
			q.queue = nil
		}
	}
	if batch == nil {
		q.writers--
	}
	return batch
}

// finish tells the callers of a batch how its write ended.
func (q *packQueue) finish(batch []queued, at []int, located []Located, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, e := range batch {
		switch {
		case e.call.err != nil:
		case err != nil:
			e.call.fail(err)
		default:
			e.call.located[e.index] = located[at[i]]
			if e.call.left--; e.call.left == 0 {
				close(e.call.done)
			}
		}
	}
}

func (c *packCall) fail(err error) {
	c.err, c.over = err, true
	c.located = nil
	close(c.done)
}

// close fails what is queued, cancels what is being written and waits for the
// writers to end.
func (q *packQueue) close() {
	q.mu.Lock()
	q.closed = true
	for _, e := range q.queue {
		if e.call.err == nil {
			e.call.fail(errClosed())
		}
	}
	q.mu.Unlock()
	q.cancel()
	q.wg.Wait()
}
