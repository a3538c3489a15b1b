package cluster

import (
	"context"
	"sync/atomic"
	"testing"
)

func newLeadership() *leadership { return &leadership{changed: make(chan struct{})} }

func ready(context.Context) bool { return true }

func TestWorkRunsOncePerStretchAndNeverTwiceAtATime(t *testing.T) {
	l := newLeadership()
	var running atomic.Int32
	terms := make(chan uint64)
	l.register(func(ctx context.Context, leader Leader) {
		if running.Add(1) > 1 {
			t.Error("the work of two stretches overlaps")
		}
		terms <- leader.Term()
		<-ctx.Done()
		running.Add(-1)
	})
	for term := uint64(1); term <= 5; term++ {
		l.begin(Leader{term: term}, ready)
		if got := <-terms; got != term {
			t.Errorf("term %d, want %d", got, term)
		}
		if term%2 == 0 { // else the loss is not reported before the next gain
			l.lose()
		}
	}
	l.end()
	if running.Load() != 0 {
		t.Error("work runs after the end")
	}
	l.begin(Leader{term: 6}, ready)
	if term, _, _ := l.current(); term != 0 {
		t.Error("a stretch began after the end")
	}
}

func TestWorkRegisteredWhileLeadingStartsAtOnce(t *testing.T) {
	l := newLeadership()
	defer l.end()
	began := make(chan struct{})
	l.register(func(context.Context, Leader) { close(began) })
	l.begin(Leader{term: 1}, ready)
	<-began
	late := make(chan uint64, 1)
	l.register(func(_ context.Context, leader Leader) { late <- leader.Term() })
	if got := <-late; got != 1 {
		t.Errorf("term %d", got)
	}
}

func TestWorkDoesNotStartUntilTheStateIsCurrent(t *testing.T) {
	l := newLeadership()
	l.register(func(context.Context, Leader) { t.Error("the work started") })
	preparing := make(chan struct{})
	l.begin(Leader{term: 1}, func(ctx context.Context) bool {
		close(preparing)
		<-ctx.Done() // leadership is lost before the barrier passed
		return true
	})
	<-preparing
	if term, isReady, _ := l.current(); term != 1 || isReady {
		t.Errorf("term %d, ready %v", term, isReady)
	}
	l.lose()
	if term, isReady, _ := l.current(); term != 0 || isReady {
		t.Errorf("after the loss: term %d, ready %v", term, isReady)
	}
	l.begin(Leader{term: 2}, func(context.Context) bool { return false })
	l.end()
}
