package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
)

func TestOneNodeLeadsWithoutWaitingForTimeouts(t *testing.T) {
	start := time.Now()
	n := startNode(t, t.TempDir(), func(c *Config) {
		c.HeartbeatTimeout = time.Hour // were it waited for, the test would not end
	})
	t.Logf("first start to leader: %v", time.Since(start))
	n.propose(t, "a")
	s := n.Stats()
	if s.Role != "leader" || s.Leader != "n1-1" || len(s.Members) != 1 || !s.Members[0].Voter {
		t.Errorf("stats: %+v", s)
	}
	if s.Commit < s.Applied || s.Applied == 0 || s.LogBytes == 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestRestartReplaysNothing(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	for i := range 10 {
		n.propose(t, fmt.Sprint(i))
	}
	want := n.book.lines(t)
	n.stop(t)
	again := startNode(t, dir)
	if got := again.book.lines(t); got != want {
		t.Errorf("after restart %q, before %q", got, want)
	}
	if again.book.applied != 0 {
		t.Errorf("%d entries were applied again", again.book.applied)
	}
	again.propose(t, "after")
	if got := again.book.lines(t); got != want+"after\n" {
		t.Errorf("after restart and a proposal: %q", got)
	}
}

func TestCopyOfRunningNodeStartsWithEverythingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	for i := range 20 {
		n.propose(t, fmt.Sprint(i))
	}
	crashed := copyDir(t, dir)
	if got, want := startNode(t, crashed).book.lines(t), n.book.lines(t); got != want {
		t.Errorf("after the crash %q, acknowledged %q", got, want)
	}
}

// A catalog that lost its last transactions, as SQLite may with
// synchronous=NORMAL when power fails, gets them again from the log.
func TestLogRestoresWhatTheCatalogLost(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	n.propose(t, "kept")
	older := copyDir(t, filepath.Join(dir, "book"))
	n.propose(t, "lost")
	newer := copyDir(t, dir)
	if err := os.RemoveAll(filepath.Join(newer, "book")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(newer, "book"), os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	again := startNode(t, newer)
	if got := again.book.lines(t); got != "kept\nlost\n" {
		t.Errorf("got %q", got)
	}
	if again.book.applied != 1 {
		t.Errorf("%d entries were applied again, 1 was lost", again.book.applied)
	}
}

// runUntilKilled is the process of TestKillLosesNothingAcknowledged.
func runUntilKilled(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b := &book{dir: filepath.Join(dir, "book")}
	if err := b.open(); err != nil {
		fail(err)
	}
	ctx := context.Background()
	n, err := Open(ctx, Config{ID: "n1-1", Dir: filepath.Join(dir, "raft"), Catalog: b, Bootstrap: true})
	if err != nil {
		fail(err)
	}
	if err := n.WaitLeader(ctx); err != nil {
		fail(err)
	}
	for {
		r, err := n.proposeData(ctx, []byte("line"))
		if err != nil {
			fail(err)
		}
		fmt.Println(r.Index)
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []uint64
	for range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), killedEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			index, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = append(acknowledged, index)
			if i == 25 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
	}
	n := startNode(t, dir)
	for _, index := range acknowledged {
		var one int
		if err := n.book.db.QueryRow(`SELECT 1 FROM line WHERE idx = ?`, index).Scan(&one); err != nil {
			t.Errorf("entry %d was acknowledged: %v", index, err)
		}
	}
	if len(acknowledged) < 75 {
		t.Errorf("only %d entries were acknowledged", len(acknowledged))
	}
}

func TestFaultOfTheCatalogStopsTheNode(t *testing.T) {
	fatal := make(chan error, 2)
	n := startNode(t, t.TempDir(), func(c *Config) { c.OnFatal = func(err error) { fatal <- err } })
	n.propose(t, "before")
	broken := errors.New("input/output error")
	calls := 0
	n.book.set(func() { n.book.beforeApply = func() error { calls++; return broken } })
	ended := make(chan struct{})
	n.WhileLeader(func(ctx context.Context, _ Leader) { <-ctx.Done(); close(ended) })
	_, err := n.proposeData(t.Context(), []byte("broken"))
	if e, ok := errors.AsType[*bundle.Error](err); !ok || e.Kind != bundle.KindUnavailable || e.Fields["outcome"] != "unknown" {
		t.Errorf("the proposal that met the fault: %#v", err)
	}
	if err := <-fatal; !errors.Is(err, broken) {
		t.Errorf("OnFatal got %v", err)
	}
	<-ended
	_, err = n.proposeData(t.Context(), []byte("later"))
	if !bundle.IsKind(err, bundle.KindUnavailable) || !errors.Is(err, broken) {
		t.Errorf("a later proposal: %v", err)
	}
	if _, _, err := n.ReadBarrier(t.Context(), Consistent); !errors.Is(err, broken) {
		t.Errorf("a later read: %v", err)
	}
	if calls != 1 {
		t.Errorf("the catalog was used %d times after it failed", calls-1)
	}
	n.stop(t)
	if len(fatal) != 0 {
		t.Error("OnFatal was called twice")
	}
}

func TestFaultBeforeCommandIsAppliedIsMendedByRestart(t *testing.T) {
	dir := t.TempDir()
	fatal := make(chan error, 1)
	n := startNode(t, dir, func(c *Config) { c.OnFatal = func(err error) { fatal <- err } })
	n.book.set(func() { n.book.beforeApply = func() error { return errors.New("disk full") } })
	if _, err := n.proposeData(t.Context(), []byte("kept in the log")); err == nil {
		t.Fatal("acknowledged without being applied")
	}
	<-fatal
	n.stop(t)
	if got := startNode(t, dir).book.lines(t); got != "kept in the log\n" {
		t.Errorf("got %q", got)
	}
}

func TestProposeRefusesWhatIsNoCommand(t *testing.T) {
	n := startNode(t, t.TempDir())
	for _, c := range []struct {
		body catalog.Body
		kind bundle.Kind
	}{
		{nil, bundle.KindOther},
		{catalog.PutSecret{Name: "key", Sealed: make([]byte, catalog.MaxCommand)}, bundle.KindTooLarge},
	} {
		if _, err := n.Propose(t.Context(), catalog.Command{Body: c.body}); !bundle.IsKind(err, c.kind) {
			t.Errorf("%T: %v", c.body, err)
		}
	}
	if got := n.book.lines(t); got != "" {
		t.Errorf("in the log: %q", got)
	}
	n.propose(t, strings.Repeat("x", catalog.MaxCommand))
}

func TestEndedWaitLeavesTheOutcomeUnknown(t *testing.T) {
	n := startNode(t, t.TempDir())
	release := make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	n.book.set(func() {
		n.book.beforeApply = func() error { cancel(context.DeadlineExceeded); <-release; return nil }
	})
	_, err := n.proposeData(ctx, []byte("slow"))
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok || e.Kind != bundle.KindUnavailable || e.Fields["outcome"] != "unknown" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %#v", err)
	}
	close(release)
	eventually(t, "the command applies after all", func() bool { return n.book.lines(t) == "slow\n" })
}

func TestClosedNodeAnswersUnavailable(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.stop(t)
	if _, err := n.proposeData(t.Context(), []byte("x")); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("propose: %v", err)
	}
	if _, _, err := n.ReadBarrier(t.Context(), Strong); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("read: %v", err)
	}
	if got := n.Stats().Role; got != "shutdown" {
		t.Errorf("role %q", got)
	}
}

func TestReadLevelsOnOneNode(t *testing.T) {
	n := startNode(t, t.TempDir())
	want := n.propose(t, "x")
	for _, level := range []Level{Local, Consistent, Strong} {
		index, stale, err := n.ReadBarrier(t.Context(), level)
		if err != nil || stale || index < want {
			t.Errorf("%v: index %d, stale %v, %v", level, index, stale, err)
		}
	}
}

func TestMetricsFollowTheNode(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := metrics.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	n := startNode(t, t.TempDir(), func(c *Config) { c.Metrics = m })
	n.propose(t, "x")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, v := range f.Metric {
			got[f.GetName()] = v.GetGauge().GetValue() + float64(v.GetHistogram().GetSampleCount())
		}
	}
	s := n.Stats()
	for name, want := range map[string]float64{
		"blockstored_raft_leader": 1, "blockstored_raft_term": float64(s.Term), "blockstored_raft_applied_index": float64(s.Applied),
		"blockstored_raft_log_entries": float64(s.LogEntries), "blockstored_raft_apply_duration_seconds": 1,
	} {
		if got[name] != want || want == 0 {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	n.stop(t)
	if _, err := registry.Gather(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestNodeKilledWhileItBeganBeginsAgain(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "raft"), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := openStore(filepath.Join(dir, "raft", "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	// What raft.BootstrapCluster does first.
	if err := errors.Join(store.SetUint64([]byte(keyCurrentTerm), 1), store.Close()); err != nil {
		t.Fatal(err)
	}
	startNode(t, dir).propose(t, "x")
}

func TestParseLevel(t *testing.T) {
	for s, want := range map[string]Level{"": Consistent, "consistent": Consistent, "local": Local, "strong": Strong} {
		if got, err := ParseLevel(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	if _, err := ParseLevel("eventual"); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	n.propose(t, "x")
	open := func(dir string) error {
		b := openBook(t, filepath.Join(dir, "book"))
		c := testConfig(t, dir)
		c.Catalog = b
		second, err := Open(t.Context(), c)
		if err == nil {
			t.Cleanup(func() { second.Close() })
		}
		return err
	}
	if err := open(dir); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("a running node: %v", err)
	}
	noLog := copyDir(t, dir)
	if err := os.Remove(filepath.Join(noLog, "raft", "raft.db")); err != nil {
		t.Fatal(err)
	}
	if err := open(noLog); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Errorf("a deleted log: %v", err)
	}
	if err := n.dropLog(n.raft.LastIndex()); err != nil {
		t.Fatal(err)
	}
	n.propose(t, "y")
	noBook := copyDir(t, dir)
	if err := os.RemoveAll(filepath.Join(noBook, "book")); err != nil {
		t.Fatal(err)
	}
	if err := open(noBook); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Errorf("a catalog older than the log: %v", err)
	}
	if _, err := Open(t.Context(), Config{}); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("no config: %v", err)
	}
}
