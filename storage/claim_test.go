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

func identity(incarnation string) storage.ClaimConfig {
	return storage.ClaimConfig{Instance: bundle.NewID(), Incarnation: incarnation, Name: "north"}
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
	me := identity("1")
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
	me := identity("1")
	claim(t, first, me)
	l := put(t, first, []byte("mine"))
	restored := me
	restored.Incarnation = "2"
	for name, other := range map[string]storage.ClaimConfig{"another instance": identity("1"), "another incarnation": restored} {
		s, _ := open(t, d)
		wantShared(t, name+": Claim", s.Claim(t.Context(), other))
		wantShared(t, name+": CheckClaim", s.CheckClaim(t.Context(), other))
		_, err := s.Put(t.Context(), []byte("not here"))
		wantShared(t, name+": Put", err)
		_, err = s.PutFrames(t.Context(), frames(sample(1)))
		wantShared(t, name+": PutFrames", err)
		_, err = s.PutStream(t.Context(), &zeros{n: 1 << 20}, nil, -1)
		wantShared(t, name+": PutStream", err)
		if got, err := s.Read(t.Context(), l); err != nil || string(got) != "mine" {
			t.Errorf("%s: Read: %q, %v", name, got, err)
		}
	}
	if err := first.Renew(t.Context()); err != nil {
		t.Errorf("the owner was disturbed: %v", err)
	}
}

func TestARenewalThatFindsAForeignClaimStopsWritesUntilItIsGone(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	claim(t, s, identity("1"))
	if err := d.Delete(t.Context(), storage.ClaimKey); err != nil {
		t.Fatal(err)
	}
	thief, _ := open(t, d)
	claim(t, thief, identity("1"))
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
	me := identity("1")
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
	me := identity("1")
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
		wg.Go(func() { results[i] = s.Claim(t.Context(), identity("1")) })
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
	me := identity("1")
	for name, c := range map[string]struct {
		body string
		kind bundle.Kind
	}{
		"no JSON":           {"x", bundle.KindCorrupt},
		"no instance":       {`{"format":1}`, bundle.KindCorrupt},
		"newer pack format": {`{"format":1,"pack_format":2,"incarnation":"1","instance":"` + me.Instance.String() + `"}`, bundle.KindConflict},
	} {
		d := openDir(t)
		if _, err := d.WriteSmall(t.Context(), storage.ClaimKey, []byte(c.body), ""); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, d)
		wantKind(t, name, s.Claim(t.Context(), me), c.kind)
	}
	s, _ := open(t, openDir(t))
	for _, cfg := range []storage.ClaimConfig{{}, {Instance: me.Instance}, {Incarnation: "1"}, {Instance: me.Instance, Incarnation: strings.Repeat("x", 129)}} {
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
	claim(t, s, identity("1"))
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
	claim(t, s, identity("1"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.RunClaim(ctx, time.Millisecond)
	}()
	<-renewed
	<-renewed
	cancel()
	<-done
}
