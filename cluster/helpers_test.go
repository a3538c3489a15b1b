package cluster

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const killedEnv = "CLUSTER_TEST_KILLED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedEnv); dir != "" {
		runUntilKilled(dir)
		return
	}
	// Tests of several nodes mostly wait, so more of them run at a time than
	// there are cores, unless somebody said how many.
	flag.Parse()
	if p := flag.Lookup("test.parallel").Value; p.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := p.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// testNode is a node with its book, both under one folder.
type testNode struct {
	*Node
	book *book
	dir  string
}

func testConfig(t testing.TB, dir string) Config {
	level := slog.LevelError + 1
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return Config{
		ID: "n1-1", Dir: filepath.Join(dir, "raft"), Bootstrap: true,
		Logger:  slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: level})),
		OnFatal: func(err error) { t.Errorf("unexpected fault: %v", err) },
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		fmt.Fprintf(os.Stderr, "%s: %s", w.t.Name(), p)
	}
	return len(p), nil
}

// startNode opens a node, changed by the given functions, and waits for a leader.
func startNode(t testing.TB, dir string, change ...func(*Config)) *testNode {
	t.Helper()
	n := &testNode{dir: dir, book: openBook(t, filepath.Join(dir, "book"))}
	c := testConfig(t, dir)
	c.Catalog = n.book
	for _, f := range change {
		f(&c)
	}
	var err error
	if n.Node, err = Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.stop(t) })
	if c.Bootstrap {
		n.waitLeader(t)
	}
	return n
}

func (n *testNode) stop(t testing.TB) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func (n *testNode) waitLeader(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := n.WaitLeader(ctx); err != nil {
		t.Fatal(err)
	}
}

func (n *testNode) propose(t testing.TB, text string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := n.proposeData(ctx, []byte(text))
	if err != nil {
		t.Fatalf("propose %q: %v", text, err)
	}
	return r.Index
}

// eventually polls until ok, which has no channel to wait on.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// copyDir copies a folder as a crash would leave it.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
