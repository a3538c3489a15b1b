package cluster

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

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

// fillLog writes entries first to last.
func fillLog(t *testing.T, d *disk, first, last uint64) {
	t.Helper()
	logs := []*raft.Log{}
	for i := first; i <= last; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: 1, Data: []byte("x")})
	}
	if err := d.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func TestTheLogIsCutInStepsAndStaysOnePiece(t *testing.T) {
	store, err := openStore(filepath.Join(t.TempDir(), "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	applied, steps := uint64(0), 0
	var d *disk
	d = newDisk(store, time.Hour, func(write func() error) error {
		err := write()
		if first, last := ends(t, d); first > 0 {
			for i := first; i <= last; i++ { // a crash here leaves this
				if err := d.GetLog(i, new(raft.Log)); err != nil {
					t.Errorf("entry %d of %d to %d: %v", i, first, last, err)
				}
			}
		}
		steps++
		return err
	}, func(err error) { t.Error(err) })
	d.applied = func() uint64 { return applied }
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	const n = 5 * cutStep
	cut := func(what string, first, last, wantFirst, wantLast uint64) {
		t.Helper()
		steps = 0
		if err := d.DeleteRange(first, last); err != nil {
			t.Fatal(err)
		}
		if gotFirst, gotLast := ends(t, d); gotFirst != wantFirst || gotLast != wantLast {
			t.Errorf("%s: the log goes from %d to %d, want %d to %d", what, gotFirst, gotLast, wantFirst, wantLast)
		}
	}
	cut("nothing there", 0, 10, 0, 0)
	fillLog(t, d, 1, n)
	if cut("the beginning", 1, 2*cutStep+1, 2*cutStep+2, n); steps != 3 {
		t.Errorf("%d steps", steps)
	}
	cut("the beginning again", 1, 10, 2*cutStep+2, n)
	cut("the end, in conflict with a leader", 3*cutStep, n, 2*cutStep+2, 3*cutStep-1)
	applied = 3*cutStep - 1
	d.bound.Store(2*cutStep + 5)
	cut("not beyond the bound", 2*cutStep+2, 3*cutStep-1, 2*cutStep+6, 3*cutStep-1)
	fillLog(t, d, 3*cutStep, n)
	cut("but what is not applied", 3*cutStep, n, 2*cutStep+6, 3*cutStep-1)
	d.bound.Store(0)
	cut("all", 0, n, 0, 0)
}

func ends(t *testing.T, d *disk) (first, last uint64) {
	t.Helper()
	first, err := d.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err = d.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return first, last
}
