package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/hashicorp/raft"
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

// arrive puts a copy in n's inbox, as its leader's call does.
func arrive(t *testing.T, n *testNode, content []byte) error {
	t.Helper()
	in, err := n.inbox.begin(t.Context(), offered{size: int64(len(content))}, "n9-1")
	if err != nil {
		t.Fatal(err)
	}
	err = n.takeCopy(in, bytes.NewReader(content))
	n.inbox.end(in, err)
	return err
}

// restore runs what raft does when a leader sends the header of a copy.
func restore(t *testing.T, n *testNode, meta raft.SnapshotMeta, header []byte) error {
	t.Helper()
	store := &snapshotStore{fsm: n.fsm, outbox: n.outbox}
	k, err := store.Create(1, meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex, n.transport)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 9 { // in pieces, as from the network
		if _, err := k.Write(header[i:min(len(header), i+9)]); err != nil {
			return errors.Join(err, k.Cancel())
		}
	}
	if err := k.Close(); err != nil {
		return err
	}
	_, r, err := store.Open(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(n.fsm.Restore(r), r.Close())
}

// copied returns a copy of n, its header and stream.
func copied(t *testing.T, n *testNode) (meta raft.SnapshotMeta, header, content []byte) {
	t.Helper()
	store := &snapshotStore{fsm: n.fsm, outbox: n.outbox}
	m, r, err := store.Open(liveID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	use := r.(*ticket)
	if err := n.outbox.await(t.Context(), use.outgoing); err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(use.path)
	if err != nil {
		t.Fatal(err)
	}
	if header, err = io.ReadAll(r); err != nil || int64(len(header)) != m.Size {
		t.Fatalf("announced %d bytes, sends %d: %v", m.Size, len(header), err)
	}
	return *m, header, stream(t, use.copyHeader, database)
}

func TestCrashBetweenReceivingAndSwitchingKeepsTheOldState(t *testing.T) {
	source := startNode(t, t.TempDir())
	for i := range 30 {
		source.propose(t, fmt.Sprint("new ", i))
	}
	meta, header, content := copied(t, source)

	dir := t.TempDir()
	n := startNode(t, dir)
	n.propose(t, "old")
	if err := arrive(t, n, content); err != nil {
		t.Fatal(err)
	}
	received := copyDir(t, dir) // crash: the copy is here, nothing was installed

	crash := errors.New("power is out")
	var switching string
	n.book.set(func() {
		n.book.beforeSwitch = func() error { switching = copyDir(t, dir); return crash }
	})
	if err := restore(t, n, meta, header); !errors.Is(err, crash) {
		t.Errorf("restore: %v", err)
	}
	n.propose(t, "goes on")
	for what, crashed := range map[string]string{"received": received, "about to switch": switching} {
		again := startNode(t, crashed)
		if got := again.book.lines(t); got != "old\n" {
			t.Errorf("%s: %q", what, got)
		}
		again.propose(t, "works")
	}
}

func TestASwitchOfUnknownOutcomeIsFatal(t *testing.T) {
	source := startNode(t, t.TempDir())
	source.propose(t, "new")
	meta, header, content := copied(t, source)
	fatal := make(chan error, 1)
	n := startNode(t, t.TempDir(), func(c *Config) { c.OnFatal = func(err error) { fatal <- err } })
	n.propose(t, "old")
	if err := arrive(t, n, content); err != nil {
		t.Fatal(err)
	}
	unsure := errors.New("the disk does not answer")
	n.book.set(func() {
		n.book.beforeSwitch = func() error { return errors.Join(unsure, n.book.db.Close()) }
	})
	if err := restore(t, n, meta, header); !errors.Is(err, unsure) {
		t.Errorf("restore: %v", err)
	}
	if err := <-fatal; !errors.Is(err, unsure) {
		t.Errorf("the fault is %v", err)
	}
}

func TestOnlyTheCopyThatArrivedIsInstalled(t *testing.T) {
	source := startNode(t, t.TempDir())
	source.propose(t, "new")
	meta, header, content := copied(t, source)
	n := startNode(t, t.TempDir())
	n.propose(t, "old")
	refused := func(what string, header []byte) {
		t.Helper()
		if err := restore(t, n, meta, header); err == nil {
			t.Errorf("%s: installed", what)
		}
		if got := n.book.lines(t); got != "old\n" {
			t.Errorf("%s: the state became %q", what, got)
		}
	}
	refused("before it arrived", header)
	for what, bad := range map[string][]byte{
		"short": content[:len(content)-1], "without end": content[:streamHeader+8], "of nothing": {0},
		"of another version": append([]byte("bscatlg1"), content[8:]...),
	} {
		if err := arrive(t, n, bad); err == nil {
			t.Errorf("a copy %s arrived", what)
		}
		refused("after a copy "+what, header)
	}
	if err := arrive(t, n, content); err != nil {
		t.Fatal(err)
	}
	refused("a whole copy of another version", append([]byte("bscatlg1"), content...))
	refused("nothing", nil)
	refused("another copy's", newCopyHeader(meta.Index, meta.Term).append(nil))
	if err := restore(t, n, meta, header); err != nil {
		t.Fatal(err)
	}
	if got := n.book.lines(t); got != "new\n" {
		t.Errorf("the state is %q", got)
	}
	if err := restore(t, n, meta, header); err == nil {
		t.Error("installed twice")
	}
}

// TestACopyReplacesTheLogBelowIt also where a node is killed before that is done:
// entries that were never committed must not be there when it leads.
func TestACopyReplacesTheLogBelowIt(t *testing.T) {
	source := startNode(t, t.TempDir())
	for i := range 30 {
		source.propose(t, fmt.Sprint("new ", i))
	}
	meta, header, content := copied(t, source)
	stale := func(store raft.LogStore, from uint64) {
		t.Helper()
		for index := from; index < meta.Index; index++ {
			if err := store.StoreLog(&raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: []byte("never committed")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := func(what string, n *testNode) {
		t.Helper()
		for index := range meta.Index {
			var entry raft.Log
			if err := n.logs.GetLog(index, &entry); !errors.Is(err, raft.ErrLogNotFound) {
				t.Fatalf("%s: there is an entry %d, %q, %v", what, index, entry.Data, err)
			}
		}
	}

	dir := t.TempDir()
	n := startNode(t, dir)
	n.propose(t, "old")
	stale(n.logs, n.raft.LastIndex()+1)
	if err := errors.Join(arrive(t, n, content), restore(t, n, meta, header)); err != nil {
		t.Fatal(err)
	}
	gone("installed", n)
	n.stop(t)

	store, err := openStore(n.path)
	if err != nil {
		t.Fatal(err)
	}
	stale(store, 3)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	recovered := copyDir(t, dir)
	if err := recoverNode(t, recovered, "n1-2"); err != nil {
		t.Fatal(err)
	}
	for what, again := range map[string]*testNode{
		"started again": startNode(t, dir),
		"recovered":     startNode(t, recovered, func(c *Config) { c.ID, c.Bootstrap = "n1-2", false }),
	} {
		again.waitLeader(t)
		gone(what, again)
		if got, want := again.book.lines(t), source.book.lines(t); got != want {
			t.Errorf("%s, the state is %q", what, got)
		}
		again.propose(t, "works")
	}
}

func TestUnreadableMembersAreAnError(t *testing.T) {
	if _, err := decodeConfiguration([]byte("\xffgarbage")); err == nil {
		t.Error("no error")
	}
}
