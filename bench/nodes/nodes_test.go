package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

func TestNothingAcknowledgedIsLostWithTheLeader(t *testing.T)     { loseOne(t, "leader", "kill") }
func TestNothingAcknowledgedIsLostWithAFollower(t *testing.T)     { loseOne(t, "follower", "kill") }
func TestNothingAcknowledgedIsLostWhenALeaderPauses(t *testing.T) { loseOne(t, "leader", "pause") }

func loseOne(t *testing.T, victim, how string) {
	sitetest.NeedGateway(t)
	o := options{writers: 4, victim: victim, how: how, before: 300 * time.Millisecond, after: 300 * time.Millisecond}
	r, err := lose(t.Context(), o, program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.report(&text, false); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if r.verdict() != nil || r.Acknowledged == 0 || r.Reads == 0 {
		t.Errorf("%d acknowledged, %d found, %d reads elsewhere", r.Acknowledged, r.Found, r.Reads)
	}
}

// What an operator types, and what is refused.
func TestOperatorGovernsNodes(t *testing.T) {
	sitetest.NeedGateway(t)
	ctx, dir := t.Context(), t.TempDir()
	gateway, store, err := startBucket(ctx, filepath.Join(dir, "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	i := &instance{program: program, dir: dir, store: store}
	defer i.close()
	if err := i.build(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := i.nodes[2].command(ctx, "cluster", "transfer-leader", "n2"); err != nil {
		t.Fatal(err)
	}
	if err := i.await(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if leader, err := i.pick(ctx, true); err != nil || leader.name != "n2" {
		t.Errorf("%v leads: %v", leader, err)
	}
	if _, err := i.nodes[0].command(ctx, "cluster", "remove", "n3"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"cluster", "remove", "n3"}, {"cluster", "add-voter", "n9"}, {"cluster", "transfer-leader", "n3"}} {
		if _, err := i.nodes[0].command(ctx, args...); err == nil || !strings.Contains(err.Error(), "cluster status") {
			t.Errorf("%v: %v", args, err)
		}
	}
	i.nodes[2].kill()
	i.nodes = i.nodes[:2]
	if err := i.await(ctx, 2); err != nil {
		t.Fatal(err)
	}

	// Who lost its disk comes back by a new token, under its name.
	out, err := i.nodes[1].command(ctx, "cluster", "invite", "--expires-in", "1m")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(out))
	late, err := i.newNode(ctx, "n3-again")
	if err != nil {
		t.Fatal(err)
	}
	i.nodes = append(i.nodes, late)
	late.name = "n3"
	if err := late.start(ctx, token[:len(token)-4]); err == nil || !strings.Contains(err.Error(), "join token") {
		t.Fatalf("with half a token: %v", err)
	}
	if err := late.start(ctx, token); err != nil {
		t.Fatal(err)
	}
	if err := i.await(ctx, 3); err != nil {
		t.Fatal(err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{"--kill nobody", "--how gently", "--writers 0", "--nothing", "surplus"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}

func TestWhatIsMissingFailsTheRun(t *testing.T) {
	r := &result{Acknowledged: 2, Found: 1}
	if r.verdict() == nil {
		t.Error("a lost version passes")
	}
	r.Found = 2
	if r.verdict() != nil {
		t.Error("a run without findings fails")
	}
	r.violation("bundle %d", 5)
	var text strings.Builder
	if err := r.report(&text, true); err != nil || r.verdict() == nil || !strings.Contains(text.String(), "VIOLATION: bundle 5") {
		t.Error(text.String(), err)
	}
}
