package cluster

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// survivorDir is the folder of n1, the leader of three, as its machine was cut off
// and then stopped: its log has entries that it never applied, one of them a
// change of members, and some that nobody else has.
func survivorDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	n := startNode(t, dir)
	n.propose(t, "committed")
	n.stop(t)

	store, err := openStore(filepath.Join(dir, "raft", "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	term, err := store.GetUint64([]byte(keyCurrentTerm))
	if err != nil {
		t.Fatal(err)
	}
	members := raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: "n1-1", Address: portless},
		{Suffrage: raft.Voter, ID: "n2-1", Address: "127.0.0.1:1"},
		{Suffrage: raft.Voter, ID: "n3-1", Address: "127.0.0.1:2"},
	}}
	if err := store.StoreLogs([]*raft.Log{
		{Index: last + 1, Term: term, Type: raft.LogCommand, Data: []byte("acknowledged")},
		{Index: last + 2, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members)},
		{Index: last + 3, Term: term, Type: raft.LogNoop},
		{Index: last + 4, Term: term, Type: raft.LogCommand, Data: []byte("on its way")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func inspect(t *testing.T, dir string) Survivor {
	t.Helper()
	s, err := Inspect(filepath.Join(dir, "raft"), openBook(t, filepath.Join(dir, "book")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func recoverNode(t *testing.T, dir, id string) error {
	t.Helper()
	return Recover(filepath.Join(dir, "raft"), openBook(t, filepath.Join(dir, "book")), id)
}

func memberIDs(ms []Member) (ids []string) {
	for _, m := range ms {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestASurvivorThatIsRecoveredAppliesAllThatItHasAndLeadsAlone(t *testing.T) {
	dir := survivorDir(t)
	before := inspect(t, dir)
	if before.Last != before.Applied+4 || !slices.Equal(memberIDs(before.Members), []string{"n1-1", "n2-1", "n3-1"}) {
		t.Fatalf("%+v", before)
	}
	for _, id := range []string{"n1-1", "n2-1"} {
		if err := recoverNode(t, dir, id); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("as %s: %v", id, err)
		}
	}
	for range 2 { // the second time nothing is left to do
		if err := recoverNode(t, dir, "n1-2"); err != nil {
			t.Fatal(err)
		}
		if s := inspect(t, dir); s.Last != before.Last+1 || s.Applied != before.Applied || !slices.Equal(memberIDs(s.Members), []string{"n1-2"}) {
			t.Fatalf("%+v", s)
		}
	}

	n := startNode(t, dir, func(c *Config) { c.ID = "n1-2" })
	n.propose(t, "after")
	if got := n.book.lines(t); got != "committed\nacknowledged\non its way\nafter\n" {
		t.Errorf("lines %q", got)
	}
	if s := n.Stats(); !slices.Equal(memberIDs(s.Members), []string{"n1-2"}) || s.Role != "leader" {
		t.Errorf("%+v", s)
	}
	if _, err := Inspect(filepath.Join(dir, "raft"), n.book); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("a node that runs was looked at: %v", err)
	}
	if err := Recover(filepath.Join(dir, "raft"), n.book, "n1-3"); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("a node that runs was recovered: %v", err)
	}
}

// The old id has no part in the cluster any more: it neither leads nor joins.
func TestANodeUnderItsOldIdDoesNotLeadWhatWasRecovered(t *testing.T) {
	dir := survivorDir(t)
	if err := recoverNode(t, dir, "n1-2"); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, dir, func(c *Config) { c.Bootstrap = false })
	if n.soleVoter() || n.Leads() {
		t.Error("it leads")
	}
	if s := n.Stats(); !slices.Equal(memberIDs(s.Members), []string{"n1-2"}) {
		t.Errorf("%+v", s)
	}
}

func TestNewNodesJoinWhatWasRecovered(t *testing.T) {
	dir := survivorDir(t)
	if err := recoverNode(t, dir, "n1-2"); err != nil {
		t.Fatal(err)
	}
	one := startNode(t, dir, func(c *Config) { c.ID, c.Listener = "n1-2", listen(t) })
	two := startNode(t, t.TempDir(), func(c *Config) { c.ID, c.Listener, c.Bootstrap = "n2-2", listen(t), false })
	if err := one.Join(t.Context(), "n2-2", string(two.self)); err != nil {
		t.Fatal(err)
	}
	one.propose(t, "after")
	const want = "committed\nacknowledged\non its way\nafter\n"
	eventually(t, "the new node has all", func() bool { return two.book.lines(t) == want })
	eventually(t, "it votes, and the first says where it listens", func() bool {
		s := two.Stats().Members
		return len(s) == 2 && s[1].Voter && s[0].Address == string(one.self)
	})
}

func TestWhatIsNoNodeIsNotRecovered(t *testing.T) {
	dir := t.TempDir()
	if err := recoverNode(t, dir, "n1-2"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("an empty folder: %v", err)
	}
	if err := recoverNode(t, dir, "n1"); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("a bad id: %v", err)
	}
	n := startNode(t, dir, func(c *Config) { c.Bootstrap = false })
	n.stop(t)
	if err := recoverNode(t, dir, "n1-2"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("a node that waits to be added: %v", err)
	}
}

func TestANodeThatQuitsLeadsNothing(t *testing.T) {
	reason := bundle.Errorf(bundle.KindConflict, "another generation began: %w", &fs.PathError{Op: "read", Path: "/var/lib/node", Err: errors.New("gone")})
	told := make(chan error, 1)
	n := startNode(t, t.TempDir(), func(c *Config) { c.OnFatal = func(err error) { told <- err } })
	n.Quit(reason)
	if err := <-told; !errors.Is(err, reason) {
		t.Errorf("the host was told %v", err)
	}
	if _, err := n.proposeData(t.Context(), []byte("late")); !errors.Is(err, reason) {
		t.Errorf("a proposal: %v", err)
	}
	if n.Leads() {
		t.Error("it leads")
	}
	// Who asks whether it is ready hears why it is not, and no paths.
	if got := n.Unready(); len(got) != 1 || !strings.HasSuffix(got[0].Detail, ": another generation began") {
		t.Errorf("%+v", got)
	}
}

func TestHoldsFindsWhatIsNotApplied(t *testing.T) {
	n := startNode(t, survivorDir(t), func(c *Config) { c.Bootstrap = false }) // one of three: nothing is committed
	for text, want := range map[string]bool{"acknowledged": true, "on its way": true, "committed": false, "never": false} {
		got, err := n.Holds(func(command []byte) bool { return string(command) == text })
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
