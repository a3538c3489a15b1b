package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
	"github.com/blockstored/blockstored/catalog"
)

// olderProgram builds the program as one that understands level 1 at most.
func olderProgram(t *testing.T) site.Program {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(dir, "highest.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "catalog", "highest.go"): older}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		older: "package catalog\n\nconst HighestLevel = 1\n", filepath.Join(dir, "overlay.json"): string(overlay),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program, err := site.Build(t.Context(), dir, "-overlay", filepath.Join(dir, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// atLevel waits until all running nodes say that a level is in force.
func atLevel(t *testing.T, l *lab.Lab, level uint64) {
	t.Helper()
	err := lab.Until(t.Context(), func(ctx context.Context) error {
		for _, n := range l.Nodes() {
			if !n.Running() {
				continue
			}
			s, err := n.Status(ctx)
			if err != nil {
				return err
			}
			if s.Level != level {
				return fmt.Errorf("level %d is in force on %s, want %d: %+v", s.Level, n.Name(), level, s.Nodes)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// commitsUntil commits through one node after the other until ctx ends, whatever
// becomes of it; what was acknowledged is in h then.
func (h *host) commitsUntil(ctx context.Context, t *testing.T) {
	for k := 0; ctx.Err() == nil; k++ {
		_ = h.commit(ctx, t, h.l.Nodes()[k%3])
		site.Pause(ctx, 50*time.Millisecond) // each version is looked at on each node in the end
	}
}

// TestTheLevelRisesWithTheLastNodeUpgraded upgrades three nodes one by one while
// somebody writes, from a program that understands level 1 to this one. The level
// rises with the last, nothing is lost, all nodes hold the same; and the older
// program refuses from then on to open what it finds and to join, by name.
func TestTheLevelRisesWithTheLastNodeUpgraded(t *testing.T) {
	t.Parallel()
	sitetest.NeedGateway(t)
	older := olderProgram(t)
	l, err := lab.Open(t.Context(), lab.Options{Program: older, Dir: t.TempDir(), Nodes: 3, Settings: []string{"BLOCKSTORED_DRAIN=0s"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	h := newHost(t, l)
	ctx, end := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { h.commitsUntil(ctx, t) })
	defer writing.Wait()
	defer end()
	for _, n := range l.Nodes() {
		atLevel(t, l, 1) // as long as one does not understand more
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.Use(program)
		if err := n.Start(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if err := l.Await(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if n != l.Nodes()[2] {
			leadsAndWaits(t, l, n)
		}
	}
	atLevel(t, l, catalog.HighestLevel)
	end()
	writing.Wait()
	h.whole(t)
	if len(h.acked) == 0 {
		t.Error("nothing was written meanwhile")
	}
	refusesByName(t, l, older)
}

// leadsAndWaits makes an upgraded node lead, and returns when it has found that
// the others do not understand more.
func leadsAndWaits(t *testing.T, l *lab.Lab, n *lab.Node) {
	t.Helper()
	err := lab.Until(t.Context(), func(ctx context.Context) error {
		leader, err := l.Leader(ctx)
		if err == nil && leader != n {
			_, err = leader.Command(ctx, "cluster", "transfer-leader", n.Name())
		}
		if err == nil && !strings.Contains(n.Log(), "nodes keep it from coming into force") {
			err = fmt.Errorf("%s has not asked the others as the leader:\n%s", n.Name(), n.LogTail())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// refusesByName starts an older program on a node's folder, and as a new node.
func refusesByName(t *testing.T, l *lab.Lab, older site.Program) {
	t.Helper()
	last := l.Nodes()[2]
	if err := last.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, err := l.NewNode(t.Context(), "n4")
	if err != nil {
		t.Fatal(err)
	}
	token, err := l.Invite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n, token := range map[*lab.Node]string{last: "", fresh: token} {
		n.Use(older)
		if err := n.Launch(token); err != nil {
			t.Fatal(err)
		}
		select {
		case <-n.Exited():
		case <-time.After(time.Minute):
			t.Fatalf("%s goes on with an older program:\n%s", n.Name(), n.LogTail())
		}
		want := fmt.Sprintf("this program understands level 1, the instance is at %d", catalog.HighestLevel)
		if !strings.Contains(n.LogTail(), want) {
			t.Errorf("%s ended and does not say that %s:\n%s", n.Name(), want, n.LogTail())
		}
	}
}
