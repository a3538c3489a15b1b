package cluster

import (
	"context"
	"sync"
)

// questions asks another node something, such as the leader how far it is, once
// for many readers: while one question is under way, those that come share the
// next one. They cannot share the one under way, which may have been answered
// before they began.
type questions[T any] struct {
	mu      sync.Mutex
	asking  bool
	waiting *question[T] // of those that came since the last was asked
}

type question[T any] struct {
	done   chan struct{} // closed when it is answered
	answer T
	err    error
}

// ask returns the answer to a question that was asked after the call began.
// start runs the questions in the background, and refuses when the node closes.
func (q *questions[T]) ask(ctx context.Context, start func(func()) error, put func() (T, error)) (none T, err error) {
	mine, err := q.join(start, put)
	if err != nil {
		return none, err
	}
	select {
	case <-mine.done:
		return mine.answer, mine.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

func (q *questions[T]) join(start func(func()) error, put func() (T, error)) (*question[T], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = &question[T]{done: make(chan struct{})}
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
func (q *questions[T]) run(put func() (T, error)) {
	for {
		q.mu.Lock()
		next := q.waiting
		q.waiting, q.asking = nil, next != nil
		q.mu.Unlock()
		if next == nil {
			return
		}
		next.answer, next.err = put()
		close(next.done)
	}
}
