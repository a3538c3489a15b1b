package cluster

import (
	"context"
	"sync"
)

// questions asks the leader how far it is, once for many readers: while one
// question is under way, those that come share the next one. They cannot share
// the one under way, which may have been answered before they began.
type questions struct {
	mu      sync.Mutex
	asking  bool
	waiting *question // of those that came since the last was asked
}

type question struct {
	done  chan struct{} // closed when it is answered
	index uint64
	err   error
}

// ask returns the answer to a question that was asked after the call began.
// start runs the questions in the background, and refuses when the node closes.
func (q *questions) ask(ctx context.Context, start func(func()) error, put func() (uint64, error)) (uint64, error) {
	mine, err := q.join(start, put)
	if err != nil {
		return 0, err
	}
	select {
	case <-mine.done:
		return mine.index, mine.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (q *questions) join(start func(func()) error, put func() (uint64, error)) (*question, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = &question{done: make(chan struct{})}
	}
	mine := q.waiting
	if !q.asking {
		if err := start(func() { q.run(put) }); err != nil {
			q.waiting = nil
			return nil, err
		}
		q.asking = true
	}
	return mine, nil
}

// run puts questions until nobody waits for one.
func (q *questions) run(put func() (uint64, error)) {
	for {
		q.mu.Lock()
		next := q.waiting
		q.waiting, q.asking = nil, next != nil
		q.mu.Unlock()
		if next == nil {
			return
		}
		next.index, next.err = put()
		close(next.done)
	}
}
