package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

// short is a run of some seconds.
func short() options {
	return options{
		writers: 4, victim: "leader", how: "kill", rounds: 1,
		before: 300 * time.Millisecond, after: 300 * time.Millisecond, slice: 300 * time.Millisecond, frozen: time.Minute,
	}
}

func TestNothingAcknowledgedIsLostWithANode(t *testing.T) {
	for _, c := range []struct{ victim, how string }{{"leader", "kill"}, {"follower", "kill"}, {"leader", "pause"}, {"leader", "isolate"}, {"leader", "freeze"}} {
		t.Run(c.how+" the "+c.victim, func(t *testing.T) {
			t.Parallel()
			sitetest.NeedGateway(t)
			o := short()
			o.victim, o.how = c.victim, c.how
			if (o.how == "isolate" || o.how == "freeze") && os.Getuid() != 0 && os.Getenv("BLOCKSTORED_TEST_NOSKIP") != "1" {
				t.Skip("namespaces and disks need root")
			}
			r, err := lose(t.Context(), o, program, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if shown(t, r); len(r.Again) != 1 || r.Again[0] <= 0 || (o.how == "isolate") != (len(r.Apart) == 1) {
				t.Errorf("again %v, cut off %+v", r.Again, r.Apart)
			}
		})
	}
}

// shown fails the test if the run found something, or did nothing.
func shown(t *testing.T, r *result) {
	t.Helper()
	var text strings.Builder
	if err := r.report(&text, true); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if err := r.verdict(); err != nil || r.Acknowledged == 0 || r.Commits < r.Acknowledged {
		t.Errorf("%d commits, %d acknowledged: %v", r.Commits, r.Acknowledged, err)
	}
}

func TestNothingAcknowledgedIsLostWhileNodesAreReplaced(t *testing.T) {
	t.Parallel()
	sitetest.NeedGateway(t)
	o := short()
	o.roll, o.old = "upgrade", string(program)
	r, err := roll(t.Context(), o, program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if shown(t, r); r.Requests < 3*r.Commits || r.LongestGap == 0 {
		t.Errorf("%d requests for %d commits, longest gap %v", r.Requests, r.Commits, r.LongestGap)
	}
}

func TestRatesOfOneAndThreeNodesAreCompared(t *testing.T) {
	t.Parallel()
	sitetest.NeedGateway(t)
	r, err := rate(t.Context(), short(), program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if shown(t, r); r.Rates.ratio() <= 0 {
		t.Errorf("%+v", r.Rates)
	}
}

// What an operator types, and what is refused.
func TestOperatorGovernsNodes(t *testing.T) {
	t.Parallel()
	sitetest.NeedGateway(t)
	ctx := t.Context()
	i, err := lab.Open(ctx, lab.Options{Program: program, Dir: t.TempDir(), Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}()
	one, three := i.Node("n1"), i.Node("n3")
	err = lab.Until(ctx, func(ctx context.Context) error { // others may be elected on a busy machine
		if _, err := three.Command(ctx, "cluster", "transfer-leader", "n2"); err != nil {
			return err
		}
		if err := i.Await(ctx, 3); err != nil {
			return err
		}
		leader, err := i.Leader(ctx)
		if err == nil && leader.Name() != "n2" {
			err = fmt.Errorf("%s leads", leader.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Command(ctx, "cluster", "remove", "n3"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"cluster", "remove", "n3"}, {"cluster", "add-voter", "n9"}, {"cluster", "transfer-leader", "n3"}} {
		if _, err := one.Command(ctx, args...); err == nil || !strings.Contains(err.Error(), "cluster status") {
			t.Errorf("%v: %v", args, err)
		}
	}
	three.Kill()
	if err := i.Await(ctx, 2); err != nil {
		t.Fatal(err)
	}

	// Who lost its disk comes back by a new token, under its name.
	out, err := i.Node("n2").Command(ctx, "cluster", "invite", "--expires-in", "1m")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(out))
	late, err := i.NewNode(ctx, "n3")
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Start(ctx, token[:len(token)-4]); err == nil || !strings.Contains(err.Error(), "join token") {
		t.Fatalf("with half a token: %v", err)
	}
	if err := late.Start(ctx, token); err != nil {
		t.Fatal(err)
	}
	if err := i.Await(ctx, 3); err != nil {
		t.Fatal(err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{
		"--kill nobody", "--how gently", "--writers 0", "--rounds 0", "--nothing", "surplus", "--set LOG=debug",
		"--roll over", "--roll upgrade", "--old p", "--rate --roll restart", "--stay",
	} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}

func TestWhatIsMissingFailsTheRun(t *testing.T) {
	r := &result{Acknowledged: 2, Found: 1, Again: []time.Duration{3 * time.Second, time.Second, 2 * time.Second}}
	if r.verdict() == nil {
		t.Error("a lost version passes")
	}
	r.Found = 2
	if r.verdict() != nil {
		t.Error("a run without findings fails")
	}
	r.violation("bundle %d", 5)
	var text strings.Builder
	if err := r.report(&text, true); err != nil || r.verdict() == nil || !strings.Contains(text.String(), "VIOLATION: bundle 5") ||
		!strings.Contains(text.String(), "2s, 2.0 election timeouts (1.0 to 3.0)") {
		t.Error(text.String(), err)
	}
}

// An acknowledgement of a node that is alone, and what it showed, are counted from
// when it was away.
func TestWhatALostNodeAnswersIsTold(t *testing.T) {
	now := time.Now()
	s := &loss{node: 1, from: now, resumed: make(chan struct{})}
	s.tried(1, now.Add(time.Second), nil) // on its way out
	s.read(1, now.Add(time.Second), false)
	s.gone = now.Add(2 * time.Second)
	s.tried(0, now.Add(time.Second), nil) // began before
	later := now.Add(3 * time.Second)
	s.tried(0, later, os.ErrDeadlineExceeded)
	if !s.again.IsZero() {
		t.Error("writes succeed again before one did")
	}
	s.tried(1, later, os.ErrDeadlineExceeded)
	s.tried(1, later, context.Canceled)
	s.tried(1, later, &site.StatusError{Code: 503})
	s.tried(1, later, nil)
	s.read(1, later, true)
	s.read(1, later, false)
	s.read(0, later, true)
	if want := (apart{Reads: 2, Stale: 1, Acknowledged: 1, Refused: 1, Unanswered: 1}); s.apart != want {
		t.Errorf("%+v, want %+v", s.apart, want)
	}
	if err := s.await(t.Context()); err != nil || s.again.IsZero() {
		t.Error(err)
	}
}
