package catalog

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
)

// in applies a command that was decided in one term and came into the log in
// another.
func (s *site) in(decided, term uint64, body Body) Result {
	s.Helper()
	c := s.command(body)
	c.Term = decided
	return s.appendIn(term, c)
}

func (s *site) appendIn(term uint64, c Command) Result {
	s.Helper()
	b, err := c.Encode()
	if err != nil {
		s.Fatal(err)
	}
	s.index++
	e := Entry{Index: s.index, Term: term, Data: b}
	s.log = append(s.log, e)
	rs, err := s.DB.Apply([]Entry{e})
	if err != nil {
		s.Fatal(err)
	}
	return rs[0]
}

func TestADeposedLeadersCommandChangesNothing(t *testing.T) {
	for _, tc := range []struct {
		decided, term uint64
		fenced        bool
	}{
		{0, 1, false}, {0, 7, false}, // decided by no leader
		{1, 1, false}, {7, 7, false},
		{6, 7, true}, {1, 7, true},
		{7, 6, true}, // cannot be, and changes nothing either
		{1 << 40, 1, true},
	} {
		t.Run(fmt.Sprint(tc.decided, " in ", tc.term), func(t *testing.T) {
			s := newSite(t)
			_, draft := s.bundleIn("one")
			before := s.digest()
			for _, body := range []Body{
				PutSecret{Name: "a", Sealed: []byte("new")}, UpdateInstance{Name: "elsewhere"}, s.commitOf(draft),
				Checkpoint{Note: []byte("n"), Generation: 2}, // refused in any term, for another reason
			} {
				r := s.in(tc.decided, tc.term, body)
				deposed := r.Err != nil && r.Err.Kind == bundle.KindConflict && r.Err.Fields["reason"] == "deposed"
				if deposed != tc.fenced {
					t.Errorf("%T: got %v", body, r.Err)
				}
			}
			if changed := s.digest() != before; changed == tc.fenced {
				t.Errorf("changed something: %t", changed)
			}
		})
	}
}

// TestADeposedCommandIsAnswered repeats a request in another term: what was
// applied in its term is answered with its first result, and what was refused
// stays refused, also in the term in which it would have been good.
func TestADeposedCommandIsAnswered(t *testing.T) {
	s := newSite(t)
	first := s.command(PutSecret{Name: "a", Sealed: []byte("new")})
	first.Term = 3
	want := s.appendIn(3, first)
	if got := s.appendIn(4, first); want.Err != nil || got != want {
		t.Errorf("got %+v, first %+v", got, want)
	}
	late := s.command(PutSecret{Name: "a", Sealed: []byte("late")})
	late.Term = 3
	if got := s.appendIn(4, late); got.Err == nil {
		t.Error("a deposed leader's command took effect")
	}
	if got := s.appendIn(3, late); got.Err == nil {
		t.Error("a request that was refused took effect when it came again")
	}
}

// TestFencingNeedsNoMoreThanTheLog applies random commands of leaders that come
// and go to a catalog, and to another what was not fenced of them: they differ
// in the answers that are kept and the clock at most. The whole log in one batch
// makes the first one again.
func TestFencingNeedsNoMoreThanTheLog(t *testing.T) {
	all, good, term := newSite(t), newSite(t), uint64(1)
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 12).Draw(rt, "commands") {
			term += rapid.Uint64Range(0, 1).Draw(rt, "elections")
			decided := rapid.SampledFrom([]uint64{0, term, term - 1, term + 1}).Draw(rt, "decided in")
			c := all.command(PutSecret{Name: rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name"), Sealed: []byte{byte(all.n)}})
			c.Term = decided
			r := all.appendIn(term, c)
			fenced := decided != 0 && decided != term
			if (r.Err != nil) != fenced {
				rt.Fatalf("decided in %d, appended in %d: %v", decided, term, r.Err)
			}
			if !fenced {
				good.appendIn(term, c)
			}
		}
		if all.digest() != good.digest() {
			rt.Fatal("a fenced command left something behind")
		}
	})
	again := open(t)
	if _, err := again.Apply(all.log); err != nil {
		t.Fatal(err)
	}
	if again.digest() != all.digest() {
		t.Error("the same log in one batch made another catalog")
	}
}

func TestTheLevelRisesAndNeverFalls(t *testing.T) {
	s := newSite(t)
	level := func() uint64 { inForce, _ := s.Levels(); return inForce }
	if level() != 1 {
		t.Fatalf("a catalog begins at level %d", level())
	}
	for _, tc := range []struct{ to, want uint64 }{{2, 2}, {2, 2}, {1, 2}} {
		if r := s.must(RaiseLevel{tc.to}); r.Number != tc.want || level() != tc.want {
			t.Errorf("raised to %d: answered %d, in force %d, want %d", tc.to, r.Number, level(), tc.want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if level() != 2 {
		t.Errorf("after a restart level %d is in force", level())
	}
	copied := open(t)
	if err := install(copied.DB, copyOf(t, s.DB)); err != nil {
		t.Fatal(err)
	}
	if inForce, _ := copied.Levels(); inForce != 2 {
		t.Errorf("a copy is at level %d", inForce)
	}
}

// TestALevelThatIsTooHighIsRefusedByName meets a level of a later program in the
// log, in a catalog that is opened and in a copy.
func TestALevelThatIsTooHighIsRefusedByName(t *testing.T) {
	want := fmt.Sprintf("this program understands level %d, the instance is at %d", HighestLevel, HighestLevel+1)
	named := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", what, err, want)
		}
	}
	s := newSite(t)
	data, err := s.command(RaiseLevel{HighestLevel + 1}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Apply([]Entry{{Index: s.index + 1, Term: 1, Data: data}})
	named("an entry", err)

	before := s.digest()
	named("a copy", install(s.DB, s.copyAt(HighestLevel+1)))
	if s.digest() != before {
		t.Error("the refused copy changed something")
	}
	if err := install(s.DB, s.copyAt(HighestLevel)); err != nil {
		t.Errorf("the same copy at the highest level: %v", err)
	}

	later := newSite(t)
	if err := later.handle.writer.run(fmt.Sprintf(`UPDATE state SET level = %d`, HighestLevel+1)); err != nil {
		t.Fatal(err)
	}
	if err := later.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), later.dir, Options{})
	named("a catalog", err)
}

// copyAt makes a copy of the catalog, at another level.
func (s *site) copyAt(level int) []byte {
	s.Helper()
	ok := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	dir := s.TempDir()
	ok(s.Copy(context.Background(), dbIn(dir), nil))
	h, err := openHandle(context.Background(), dir)
	ok(err)
	ok(h.writer.run(fmt.Sprintf(`UPDATE state SET level = %d`, level)))
	ok(h.close())
	file, err := os.ReadFile(dbIn(dir))
	ok(err)
	return file
}
