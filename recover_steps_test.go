package blockstored

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// TestARecoveryThatIsCutShortAnywhereIsFinishedByTheNext ends a recovery after
// each of its steps, as a crash would.
func TestARecoveryThatIsCutShortAnywhereIsFinishedByTheNext(t *testing.T) {
	cfg := DefaultConfig(t.TempDir())
	cfg.Listen, cfg.Peer.Listen = "", ""
	inst, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	made, err := inst.CreateCollection(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	if err := inst.Close(); err != nil {
		t.Fatal(err)
	}
	steps := len((&Instance{}).recoverySteps(recovery{}))
	for done := range steps {
		cutShort(t, cfg, done)
		if done > 0 {
			inst, err := Open(t.Context(), cfg)
			if err == nil {
				_ = inst.Close() // to report what matters
			}
			if !bundle.IsKind(err, bundle.KindConflict) || !strings.Contains(err.Error(), "cluster recover") {
				t.Fatalf("after %d steps it is served: %v", done, err)
			}
		}
		var told Recovery
		r, err := Recover(t.Context(), cfg, RecoverOptions{Confirm: func(r Recovery) error { told = r; return nil }})
		if err != nil {
			t.Fatalf("after %d steps: %v", done, err)
		}
		if r.Generation != uint64(done)+2 || r.Resumed != (done > 0) || told.NewNode != r.NewNode || len(r.Lost) != 0 {
			t.Errorf("after %d steps: %+v", done, r)
		}
		inst, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := inst.Collection(t.Context(), made.ID); err != nil || got.Title != "kept" {
			t.Errorf("after %d steps: %+v, %v", done, got, err)
		}
		if c, err := inst.claimOf(t.Context()); err != nil || c.Generation != r.Generation {
			t.Errorf("after %d steps: generation %d, %v", done, c.Generation, err)
		}
		if id := inst.node.Stats().ID; id != r.NewNode {
			t.Errorf("after %d steps the node is %s, not %s", done, id, r.NewNode)
		}
		if err := inst.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatARecoveryKeepsHasItsShape(t *testing.T) {
	f := &folder{path: t.TempDir()}
	want := recovery{Format: recoveryFormat, Node: "n1-0badcafe", Generation: 2, Holder: bundle.ID{15: 1}}
	if err := f.keepRecovery(want); err != nil {
		t.Fatal(err)
	}
	if got, begun, err := f.recovery(); err != nil || !begun || got != want {
		t.Errorf("%+v, %v, %v", got, begun, err)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "recovery.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.join(recoveryFile)); err != nil || string(got) != string(golden) {
		t.Errorf("%s, %v; want %s", got, err, golden)
	}
	if err := os.WriteFile(f.join(recoveryFile), []byte(`{"format":2,"node":"n1-0badcafe","generation":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.recovery(); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Errorf("another format: %v", err)
	}
}

// cutShort makes the first steps of a recovery.
func cutShort(t *testing.T, cfg Config, steps int) {
	t.Helper()
	i := newInstance(cfg)
	defer func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}()
	do := func(step func(context.Context) error) {
		t.Helper()
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	do(i.openStopped)
	plan, _, err := i.planRecovery(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range i.recoverySteps(plan)[:steps] {
		do(step)
	}
}
