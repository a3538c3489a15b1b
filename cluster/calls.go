package cluster

import (
	"context"
	"sync"

	"github.com/blockstored/blockstored/bundle"
)

var errStopped = bundle.Errorf(bundle.KindUnavailable, "this node is shutting down; ask another one, or retry when it is back")

// callGroup counts the goroutines that wait for raft, and the calls of other
// nodes that are being answered.
type callGroup struct {
	mu      sync.Mutex
	refused bool
	running sync.WaitGroup
}

func (g *callGroup) start(f func()) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused {
		return errStopped
	}
	g.running.Go(f)
	return nil
}

// enter counts the caller among the calls until it leaves.
func (g *callGroup) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused {
		return errStopped
	}
	g.running.Add(1)
	return nil
}

func (g *callGroup) leave() { g.running.Done() }

// refuse lets no more calls start.
func (g *callGroup) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = true
}

func (g *callGroup) wait() { g.running.Wait() }

// answer is what raft said, or that the caller did not wait for it.
type answer[T any] struct {
	value T
	err   error
}

// call runs f, which waits for raft without a context, and returns its answer,
// or ctx's error if that ends first; then f is waited for by stopRaft.
func call[T any](ctx context.Context, g *callGroup, f func() (T, error)) (value T, err error, ended bool) {
	done := make(chan answer[T], 1)
	err = g.start(func() {
		v, err := f()
		done <- answer[T]{v, err}
	})
	if err != nil {
		return value, err, false
	}
	select {
	case a := <-done:
		return a.value, a.err, false
	case <-ctx.Done():
		return value, context.Cause(ctx), true
	}
}

// waitCalls waits for all calls, or until nobody is left in raft to answer them:
// what still waits then is left behind, as the node was broken by its disk.
func (n *Node) waitCalls() {
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		n.calls.wait()
	}()
	select {
	case <-waited:
	case <-n.store.broken:
	}
}

// contextUntil returns a context that ends when done is closed.
func contextUntil(done <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		select {
		case <-done:
			cancel()
		case <-stopped:
		}
	}()
	return ctx, sync.OnceFunc(func() { close(stopped); cancel() })
}
