package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestReadersShareTheNextQuestionAndNeverTheOneUnderWay(t *testing.T) {
	var q questions[uint64]
	var running sync.WaitGroup
	start := func(f func()) error { running.Go(f); return nil }
	asked, answer := make(chan struct{}), make(chan uint64)
	put := func() (uint64, error) { asked <- struct{}{}; return <-answer, nil }

	var readers sync.WaitGroup
	read := func(want uint64) {
		mine, err := q.join(start, put)
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			<-mine.done
			if mine.answer != want || mine.err != nil {
				t.Errorf("got %d, %v, want %d", mine.answer, mine.err, want)
			}
		})
	}
	read(1)
	<-asked
	for range 10 { // come while the first is under way
		read(2)
	}
	answer <- 1
	<-asked
	read(3)
	answer <- 2
	<-asked
	answer <- 3
	readers.Wait()
	running.Wait()
	if q.asking || q.waiting != nil {
		t.Error("a question is left over")
	}
}

func TestQuestionsEndWithTheReaderAndWithTheNode(t *testing.T) {
	var q questions[uint64]
	var running sync.WaitGroup
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() { <-asked; cancel() }()
	_, err := q.ask(ctx, func(f func()) error { running.Go(f); return nil }, func() (uint64, error) {
		close(asked)
		<-release
		return 1, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	running.Wait()
	if _, err := q.ask(t.Context(), func(func()) error { return errStopped }, nil); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}
