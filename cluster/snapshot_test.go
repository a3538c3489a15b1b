package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

func TestShortenedLogRestartsWithoutLoss(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	for i := range 50 {
		n.propose(t, fmt.Sprint(i))
	}
	if err := n.dropLog(n.raft.LastIndex()); err != nil {
		t.Fatal(err)
	}
	if first, err := n.store.FirstIndex(); err != nil || first != 0 {
		t.Errorf("the log still begins at %d (%v)", first, err)
	}
	crashed := copyDir(t, dir)
	n.propose(t, "after")
	want := n.book.lines(t)
	n.stop(t)
	again := startNode(t, dir)
	if got := again.book.lines(t); got != want || again.book.applied != 0 {
		t.Errorf("after restart %q (%d applied again), before %q", got, again.book.applied, want)
	}
	again.propose(t, "on")
	if got := startNode(t, crashed).book.lines(t); got+"after\n" != want {
		t.Errorf("after a crash %q", got)
	}
}

func TestLogIsKeptUntilTheCatalogIsDurable(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.propose(t, "x")
	before, err := n.store.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last := n.raft.LastIndex()
	n.book.set(func() {
		n.book.beforeSync = func() error {
			if first, err := n.store.FirstIndex(); err != nil || first != before {
				t.Errorf("the log was cut to %d before the catalog was durable (%v)", first, err)
			}
			return nil
		}
	})
	if err := n.dropLog(last); err != nil {
		t.Fatal(err)
	}
	if n.book.synced < last {
		t.Errorf("durable to entry %d, cut to %d", n.book.synced, last)
	}
}

func TestLogIsKeptWhenTheCatalogCannotBeMadeDurable(t *testing.T) {
	fatal := make(chan error, 1)
	n := startNode(t, t.TempDir(), func(c *Config) { c.OnFatal = func(err error) { fatal <- err } })
	n.propose(t, "x")
	before, err := n.store.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("fsync failed")
	n.book.set(func() { n.book.beforeSync = func() error { return broken } })
	if err := n.dropLog(n.raft.LastIndex()); err == nil {
		t.Error("the snapshot succeeded")
	}
	if err := <-fatal; !errors.Is(err, broken) {
		t.Errorf("OnFatal got %v", err)
	}
	if first, err := n.store.FirstIndex(); err != nil || first != before {
		t.Errorf("the log was cut to %d (%v)", first, err)
	}
}

func TestStampNeverMovesBack(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.propose(t, "x")
	at := n.fsm.position()
	if err := n.fsm.stamp(at.index-1, at.term, []byte("older")); err != nil {
		t.Fatal(err)
	}
	if got := n.fsm.position(); got.index != at.index || string(got.conf) != string(at.conf) {
		t.Errorf("moved from %+v to %+v", at, got)
	}
}

// receive runs what raft does when a leader sends a copy, up to Close.
func receive(t *testing.T, n *testNode, index, term uint64, stream []byte) *sink {
	t.Helper()
	store := &snapshotStore{dir: transitDir(filepath.Join(n.dir, "raft")), fsm: n.fsm, closing: n.closing}
	conf, err := decodeConfiguration(n.fsm.position().conf)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(1, index, term, conf, 1, n.transport)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(stream); i += 1000 { // in pieces, as from the network
		if _, err := s.Write(stream[i:min(len(stream), i+1000)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.(*sink)
}

func liveStream(t *testing.T, n *testNode) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	store := &snapshotStore{dir: t.TempDir(), fsm: n.fsm, closing: n.closing}
	meta, r, err := store.Open(liveID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != meta.Size {
		t.Errorf("announced %d bytes, sent %d", meta.Size, len(b))
	}
	if left, _ := os.ReadDir(store.dir); len(left) != 0 {
		t.Errorf("left %v behind", left)
	}
	return meta, b
}

func TestCrashBetweenReceivingAndSwitchingKeepsTheOldState(t *testing.T) {
	source := startNode(t, t.TempDir())
	for i := range 30 {
		source.propose(t, fmt.Sprint("new ", i))
	}
	meta, stream := liveStream(t, source)

	dir := t.TempDir()
	n := startNode(t, dir)
	n.propose(t, "old")
	k := receive(t, n, meta.Index, meta.Term, stream)
	received := copyDir(t, dir) // crash: the copy is here, nothing was installed

	crash := errors.New("power is out")
	var switching string
	n.book.set(func() {
		n.book.beforeSwitch = func() error { switching = copyDir(t, dir); return crash }
	})
	_, r, err := k.store.Open(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.fsm.Restore(r); !errors.Is(err, crash) {
		t.Errorf("restore: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	n.propose(t, "goes on")
	for what, crashed := range map[string]string{"received": received, "about to switch": switching} {
		again := startNode(t, crashed)
		if got := again.book.lines(t); got != "old\n" {
			t.Errorf("%s: %q", what, got)
		}
		again.propose(t, "works")
		if left, _ := os.ReadDir(filepath.Join(crashed, "raft", "transit")); len(left) != 0 {
			t.Errorf("%s: %v was left in transit", what, left)
		}
	}
}

func TestASwitchOfUnknownOutcomeIsFatal(t *testing.T) {
	source := startNode(t, t.TempDir())
	source.propose(t, "new")
	meta, stream := liveStream(t, source)
	fatal := make(chan error, 1)
	n := startNode(t, t.TempDir(), func(c *Config) { c.OnFatal = func(err error) { fatal <- err } })
	n.propose(t, "old")
	k := receive(t, n, meta.Index, meta.Term, stream)
	unsure := errors.New("the disk does not answer")
	n.book.set(func() {
		n.book.beforeSwitch = func() error { return errors.Join(unsure, n.book.db.Close()) }
	})
	_, r, err := k.store.Open(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.fsm.Restore(r), r.Close()); !errors.Is(err, unsure) {
		t.Errorf("restore: %v", err)
	}
	if err := <-fatal; !errors.Is(err, unsure) {
		t.Errorf("the fault is %v", err)
	}
}

func TestAlteredCopyIsNotInstalled(t *testing.T) {
	source := startNode(t, t.TempDir())
	source.propose(t, "new")
	meta, stream := liveStream(t, source)
	n := startNode(t, t.TempDir())
	n.propose(t, "old")
	flipped := append([]byte(nil), stream...)
	flipped[len(flipped)/2] ^= 1
	for what, bad := range map[string][]byte{
		"flipped": flipped, "short": stream[:len(stream)-1], "without end": stream[:streamHeader],
		"other magic": append([]byte("bscatlg9"), stream[8:]...), "of nothing": {0},
	} {
		k := receive(t, n, meta.Index, meta.Term, bad)
		_, r, err := k.store.Open(k.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.fsm.Restore(r); !bundle.IsKind(err, bundle.KindCorrupt) {
			t.Errorf("a copy %s: %v", what, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := n.book.lines(t); got != "old\n" {
		t.Errorf("the state became %q", got)
	}
}

func TestCanceledCopyLeavesNothing(t *testing.T) {
	n := startNode(t, t.TempDir())
	dir := t.TempDir()
	store := &snapshotStore{dir: dir, fsm: n.fsm, closing: n.closing}
	k, err := store.Create(1, 9, 1, raft.Configuration{}, 1, n.transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(k, strings.NewReader("half of it")); err != nil {
		t.Fatal(err)
	}
	if err := k.Cancel(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v behind", left)
	}
	if _, _, err := store.Open(k.ID()); err == nil {
		t.Error("a canceled copy can be opened")
	}
}

func TestUnreadableMembersAreAnError(t *testing.T) {
	if _, err := decodeConfiguration([]byte("\xffgarbage")); err == nil {
		t.Error("no error")
	}
}
