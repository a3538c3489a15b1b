package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/storagetest"
)

func identity() storage.ClaimConfig {
	return storage.ClaimConfig{Instance: bundle.NewID(), Generation: 1, Name: "north"}
}

func claim(t *testing.T, s *storage.Store, cfg storage.ClaimConfig) {
	t.Helper()
	if err := s.Claim(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func wantShared(t *testing.T, what string, err error) {
	t.Helper()
	e, ok := errors.AsType[*bundle.Error](err)
	if !ok || e.Kind != bundle.KindConflict || e.Fields["reason"] != storage.ReasonStorageShared {
		t.Errorf("%s: %v, want a conflict with reason %s", what, err, storage.ReasonStorageShared)
	}
}

func TestAnUnclaimedStoreIsTakenAndKept(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	wantKind(t, "Renew before Claim", s.Renew(t.Context()), bundle.KindPrecondition)
	me := identity()
	claim(t, s, me)
	for range 3 {
		if err := s.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	body, _, err := d.ReadSmall(t.Context(), storage.ClaimKey)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil || doc["instance"] != me.Instance.String() || doc["pack_format"] != 1.0 {
		t.Errorf("claim: %s, %v", body, err)
	}
	restarted, _ := open(t, d)
	claim(t, restarted, me)
}

func TestAForeignClaimStopsWritesNotReads(t *testing.T) {
	d := openDir(t)
	first, _ := open(t, d)
	me := identity()
	claim(t, first, me)
	l := put(t, first, []byte("mine"))
	other := identity()
	s, _ := open(t, d)
	wantShared(t, "Claim", s.Claim(t.Context(), other))
	wantShared(t, "CheckClaim", s.CheckClaim(t.Context(), other))
	_, err := s.Put(t.Context(), []byte("not here"))
	wantShared(t, "Put", err)
	_, err = s.PutFrames(t.Context(), frames(sample(1)))
	wantShared(t, "PutFrames", err)
	_, err = s.PutStream(t.Context(), &zeros{n: 1 << 20}, nil, -1)
	wantShared(t, "PutStream", err)
	if got, err := s.Read(t.Context(), l); err != nil || string(got) != "mine" {
		t.Errorf("Read: %q, %v", got, err)
	}
	if err := first.Renew(t.Context()); err != nil {
		t.Errorf("the owner was disturbed: %v", err)
	}
}

func TestARenewalThatFindsAForeignClaimStopsWritesUntilItIsGone(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	claim(t, s, identity())
	if err := d.Delete(t.Context(), storage.ClaimKey); err != nil {
		t.Fatal(err)
	}
	thief, _ := open(t, d)
	claim(t, thief, identity())
	wantShared(t, "Renew", s.Renew(t.Context()))
	_, err := s.Put(t.Context(), []byte("x"))
	wantShared(t, "Put", err)
	if err := d.Delete(t.Context(), storage.ClaimKey); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, []byte("x"))
}

func TestANewLeaderOfTheSameInstanceTakesOver(t *testing.T) {
	d := openDir(t)
	me := identity()
	old, _ := open(t, d)
	claim(t, old, me)
	leader, _ := open(t, d)
	claim(t, leader, me)
	// The deposed leader's last renewal comes late.
	if err := old.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := leader.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.CheckClaim(t.Context(), me); err != nil {
		t.Errorf("a follower of the same instance: %v", err)
	}
}

func TestACloneIsNoticed(t *testing.T) {
	d := openDir(t)
	me := identity()
	one, _ := open(t, d)
	clone, _ := open(t, d)
	claim(t, one, me)
	claim(t, clone, me)
	var err error
	for range 4 {
		if err = one.Renew(t.Context()); err != nil {
			break
		}
		if err = clone.Renew(t.Context()); err != nil {
			break
		}
	}
	wantShared(t, "Renew", err)
	claim(t, clone, me) // once the other was stopped
	put(t, clone, []byte("x"))
}

func TestOfManyInstancesOneGetsTheStore(t *testing.T) {
	d := openDir(t)
	var wg sync.WaitGroup
	results := make([]error, 6)
	for i := range results {
		s, _ := open(t, d)
		wg.Go(func() { results[i] = s.Claim(t.Context(), identity()) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			wantShared(t, "loser", err)
		}
	}
	if won != 1 {
		t.Errorf("%d instances claimed one store", won)
	}
}

func TestClaimsThatCannotBeReadOrUnderstood(t *testing.T) {
	me := identity()
	for name, c := range map[string]struct {
		body string
		kind bundle.Kind
	}{
		"no JSON":                           {"x", bundle.KindCorrupt},
		"no instance":                       {`{"format":1}`, bundle.KindCorrupt},
		"an incarnation that tells nothing": {`{"format":1,"pack_format":1,"incarnation":"restored","instance":"` + me.Instance.String() + `"}`, bundle.KindConflict},
		"newer pack format":                 {`{"format":1,"pack_format":2,"incarnation":"generation 1","instance":"` + me.Instance.String() + `"}`, bundle.KindConflict},
	} {
		d := openDir(t)
		if _, err := d.WriteSmall(t.Context(), storage.ClaimKey, []byte(c.body), ""); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, d)
		wantKind(t, name, s.Claim(t.Context(), me), c.kind)
	}
	s, _ := open(t, openDir(t))
	for _, cfg := range []storage.ClaimConfig{{}, {Instance: me.Instance}, {Generation: 1}, {Instance: me.Instance, Generation: 1, Name: strings.Repeat("x", 1025)}} {
		wantKind(t, "incomplete claim", s.Claim(t.Context(), cfg), bundle.KindInvalid)
	}
}

func TestAFailureToRenewIsNotAForeignClaim(t *testing.T) {
	var down bool
	d := storagetest.Faulty(openDir(t), func(op storagetest.Op, _ string, _ int) storagetest.Fault {
		if down && (op == storagetest.OpReadSmall || op == storagetest.OpWriteSmall) {
			return storagetest.Fault{Err: bundle.Errorf(bundle.KindUnavailable, "no network")}
		}
		return storagetest.Fault{}
	})
	s, _ := open(t, d)
	claim(t, s, identity())
	down = true
	wantKind(t, "Renew", s.Renew(t.Context()), bundle.KindUnavailable)
	put(t, s, []byte("writes go on"))
}

func TestRunClaimEndsWithItsContext(t *testing.T) {
	renewed := make(chan struct{}, 100)
	d := storagetest.Faulty(openDir(t), func(op storagetest.Op, _ string, n int) storagetest.Fault {
		if op == storagetest.OpWriteSmall && n > 0 {
			select {
			case renewed <- struct{}{}:
			default:
			}
		}
		return storagetest.Fault{}
	})
	s, _ := open(t, d)
	claim(t, s, identity())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.RunClaim(ctx, time.Millisecond) }()
	<-renewed
	<-renewed
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// generation returns cfg at another generation.
func generation(cfg storage.ClaimConfig, n uint64) storage.ClaimConfig {
	cfg.Generation = n
	return cfg
}

func wantLost(t *testing.T, what string, err error) {
	t.Helper()
	if !bundle.IsKind(err, bundle.KindConflict) || !storage.GenerationLost(err) {
		t.Errorf("%s: %v, want a conflict with reason %s", what, err, storage.ReasonGenerationLost)
	}
}

func TestTheClaimPassesToALaterGenerationAndNeverBack(t *testing.T) {
	d := openDir(t)
	me := identity()
	old, _ := open(t, d)
	claim(t, old, me)
	l := put(t, old, []byte("before"))
	survivor, other := bundle.NewID(), bundle.NewID()
	s, _ := open(t, d)
	for range 2 { // what succeeded may be repeated
		if err := s.PassClaim(t.Context(), generation(me, 2), survivor); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := s.Claimed(t.Context()); err != nil || c.Generation != 2 || c.Instance != me.Instance || c.Name != "north" {
		t.Errorf("%+v, %v", c, err)
	}
	wantLost(t, "another survivor begins the same generation", s.PassClaim(t.Context(), generation(me, 2), other))
	wantLost(t, "an earlier one is begun", s.PassClaim(t.Context(), me, other))
	wantShared(t, "another instance", s.PassClaim(t.Context(), generation(identity(), 3), other))

	done := make(chan error, 1)
	go func() { done <- old.RunClaim(t.Context(), time.Millisecond) }()
	wantLost(t, "the leader that still runs", <-done)
	_, err := old.Put(t.Context(), []byte("x"))
	wantLost(t, "Put", err)
	if got, err := old.Read(t.Context(), l); err != nil || string(got) != "before" {
		t.Errorf("Read: %q, %v", got, err)
	}
	for what, claims := range map[string]func(context.Context, storage.ClaimConfig) error{"Claim": old.Claim, "CheckClaim": old.CheckClaim} {
		wantLost(t, what, claims(t.Context(), me))
	}
	claim(t, s, generation(me, 2))
	put(t, s, []byte("after"))
	claim(t, s, generation(me, 3)) // also by a leader that finds the claim of an earlier one
	put(t, s, []byte("after"))
	wantLost(t, "the one between", old.Claim(t.Context(), generation(me, 2)))
}

// A claim as programs wrote it that knew no generation.
func TestAClaimOfAnOlderProgramTellsItsGeneration(t *testing.T) {
	d := openDir(t)
	me := identity()
	old := `{"format":1,"pack_format":1,"incarnation":"generation 1","instance":"` + me.Instance.String() + `","holder":"` + bundle.NewID().String() + `"}`
	if _, err := d.WriteSmall(t.Context(), storage.ClaimKey, []byte(old), ""); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, d)
	claim(t, s, me)
	body, _, err := d.ReadSmall(t.Context(), storage.ClaimKey)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil || doc["incarnation"] != "generation 1" || doc["generation"] != 1.0 {
		t.Errorf("claim: %s, %v", body, err)
	}
}

func TestOfManySurvivorsOneBeginsTheGeneration(t *testing.T) {
	d := openDir(t)
	me := identity()
	s, _ := open(t, d)
	claim(t, s, me)
	var wg sync.WaitGroup
	results := make([]error, 6)
	for i := range results {
		s, _ := open(t, d)
		wg.Go(func() { results[i] = s.PassClaim(t.Context(), generation(me, 2), bundle.NewID()) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			wantLost(t, "loser", err)
		}
	}
	if won != 1 {
		t.Errorf("%d survivors began one generation", won)
	}
}
