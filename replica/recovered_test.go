package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// recoverAt makes s what it was when copied was made, at another generation: what
// came later is lost.
func (s *site) recoverAt(copied []byte, generation uint64) {
	s.t.Helper()
	s.mu.Lock()
	_, _, err := s.db.Receive(s.t.(*testing.T).Context(), bytes.NewReader(copied))
	if err == nil {
		err = s.db.Install(s.t.(*testing.T).Context())
	}
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.propose(catalog.BeginGeneration{Number: generation, Reason: "recovered"})
}

func (s *site) copied() []byte {
	s.t.Helper()
	path := filepath.Join(s.t.(*testing.T).TempDir(), "copy")
	if err := s.db.Copy(s.t.(*testing.T).Context(), path, func(int64, int64) {}); err != nil {
		s.t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func TestAPeerThatWasRecoveredWithAllItHadIsFollowedOn(t *testing.T) {
	north, south := two(t)
	b := north.bundle(north.collection("c"), "b")
	south.follow(nil)
	south.awaitVersion(north.publish(b, map[string]string{"a": "one"}))
	north.recoverAt(north.copied(), 2)
	south.awaitVersion(north.publish(b, map[string]string{"a": "two"}))
	if p := south.peer(north.id()); p.Generation != 2 || len(p.Alarms) != 0 {
		t.Errorf("generation %d, alarms %+v", p.Generation, p.Alarms)
	}
	south.wantCopy(north)
}

func TestAPeerThatWasRecoveredAndLostHistoryWaitsForTheOperator(t *testing.T) {
	for name, grown := range map[string]bool{"a shorter log": false, "one that grew past what was verified": true} {
		t.Run(name, func(t *testing.T) {
			north, south := two(t)
			b := north.bundle(north.collection("c"), "b")
			r := south.follow(nil)
			first := north.publish(b, map[string]string{"a": "one"})
			south.awaitVersion(first)
			kept := north.copied()
			lost := north.publish(b, map[string]string{"a": "lost"})
			south.awaitVersion(lost)
			if grown {
				r.stop() // it looks away until north has published more than it lost
			}
			north.recoverAt(kept, 2)
			other := north.bundle(north.collection("d"), "other")
			if grown {
				north.publish(other, map[string]string{"x": "1"})
				north.publish(other, map[string]string{"x": "2"})
				r = south.follow(nil)
			}
			a := south.awaitAlarm(north.id(), string(publog.AlarmRollback))
			if !strings.Contains(a.Detail, "the peer was recovered at generation 2 and lost history") {
				t.Errorf("detail: %s", a.Detail)
			}
			if got := south.files(lost); got["a"] != "lost" {
				t.Errorf("what was verified is served as %v", got)
			}

			// Ending the alarm is not enough: the history is still another.
			end := catalog.ClearAlarms{Peer: north.id()}
			if err := r.cfg.apply(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			south.awaitAlarm(north.id(), string(publog.AlarmRollback))
			for range 2 { // of which the second changes nothing
				if err := r.AcceptRecovery(t.Context(), north.id()); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.cfg.apply(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			south.awaitVersion(north.publish(other, map[string]string{"x": "after"}))
			again := north.publish(b, map[string]string{"a": "published anew"})
			if again != lost {
				t.Fatalf("published %+v", again)
			}
			south.await("the bundle to be set aside", func(v *catalog.View) (bool, error) {
				aside, err := v.Parked(north.id())
				return len(aside) == 1 && aside[0].Bundle == b && aside[0].Reason == reasonChain, err
			})
			if got := south.files(lost); got["a"] != "lost" {
				t.Errorf("the copy went back to %v", got)
			}
			if p := south.peer(north.id()); p.Generation != 2 || len(p.Alarms) != 0 {
				t.Errorf("generation %d, alarms %+v", p.Generation, p.Alarms)
			}
			south.awaitVersion(north.publish(other, map[string]string{"x": "goes on"}))
		})
	}
}

func TestAPeerWithoutARecoveryHasNothingToAccept(t *testing.T) {
	l, south, served, r := lying(t)
	g := l.forge(2)
	l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
		return g.answer(req, l.north.clock.Now())
	})
	l.wantRefusal(south, publog.AlarmRollback, served)
	before := south.peer(l.north.id())
	if err := r.AcceptRecovery(t.Context(), l.north.id()); err != nil {
		t.Fatal(err)
	}
	if p := south.peer(l.north.id()); p.Size != before.Size || p.Cursor != before.Cursor {
		t.Errorf("a shortened log was accepted: %+v", p)
	}
	if err := r.AcceptRecovery(t.Context(), bundle.NewID()); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("a peer that is none: %v", err)
	}
}
