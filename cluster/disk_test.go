package cluster

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Wherever a write to raft.db fails first, the process lives on, the node says
// so once, nothing is acknowledged any more, and the next start goes on.
func TestEveryWriteOfTheLogMayFail(t *testing.T) {
	broken := errors.New("input/output error")
	for failing := int64(1); ; failing++ {
		dir := t.TempDir()
		b := openBook(t, filepath.Join(dir, "book"))
		var writes atomic.Int64
		fatal := make(chan error, 2)
		c := testConfig(t, dir)
		c.Catalog, c.OnFatal = b, func(err error) { fatal <- err }
		c.LogWrite = func(write func() error) error {
			if writes.Add(1) >= failing {
				return broken
			}
			return write()
		}
		n, err := Open(t.Context(), c)
		if err == nil {
			err = proposeUntilBroken(t, n)
			if writes.Load() < failing {
				if err != nil {
					t.Fatalf("no write failed: %v", err)
				}
				if err := n.Close(); err != nil {
					t.Error(err)
				}
				t.Logf("%d writes", failing-1)
				return
			}
			if got := <-fatal; !errors.Is(got, broken) {
				t.Errorf("write %d: OnFatal got %v", failing, got)
			}
			if closeErr := n.Close(); closeErr != nil {
				t.Errorf("write %d: close: %v", failing, closeErr)
			}
		}
		if !strings.Contains(err.Error(), broken.Error()) && !bundle.IsKind(err, bundle.KindUnavailable) { // raft drops what it wraps
			t.Errorf("write %d: %v", failing, err)
		}
		if len(fatal) != 0 {
			t.Errorf("write %d: OnFatal was called twice", failing)
		}
		acknowledged := b.lines(t)
		b.close(t)
		again := startNode(t, dir)
		again.propose(t, "after")
		if got := again.book.lines(t); got != acknowledged+"after\n" && got != acknowledged+"x\nafter\n" {
			t.Errorf("write %d: %q, acknowledged %q", failing, got, acknowledged)
		}
		again.stop(t)
	}
}

// proposeUntilBroken proposes twice and returns what went wrong.
func proposeUntilBroken(t *testing.T, n *Node) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.WaitLeader(ctx); err != nil {
		return err
	}
	for range 2 {
		if _, err := n.proposeData(ctx, []byte("x")); err != nil {
			return err
		}
	}
	return nil
}

func TestDiskStallsFromTheLimitUntilTheWriteEnds(t *testing.T) {
	d := newDisk(nil, 10*time.Millisecond, nil, nil)
	release, done := make(chan struct{}), make(chan error)
	go func() { done <- d.timed("x", func() error { <-release; return nil }) }()
	<-d.changed
	if !d.stalled() {
		t.Error("a write that hangs is no stall")
	}
	close(release)
	if err := <-done; err != nil || d.stalled() {
		t.Errorf("after the write: stalled %v, %v", d.stalled(), err)
	}
	<-d.changed
	if err := d.timed("x", func() error { return nil }); err != nil || d.stalled() || len(d.changed) != 0 {
		t.Errorf("a quick write: stalled %v, %v", d.stalled(), err)
	}
}
