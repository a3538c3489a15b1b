package catalog

import (
	"fmt"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// later applies a command as of hours after the last one.
func (s *site) later(hours int64, body Body) Result {
	s.Helper()
	c := s.command(body)
	c.Time = s.DB.state.lastTime + hours*hour
	return s.apply(c)[0]
}

// stage adds three operations to a patch.
func stage(draft bundle.ID, patch, prefix string) StagePatch {
	c := StagePatch{Draft: draft, Patch: idOf(patch), Blobs: []bundle.Located{blobOf("x")}}
	for i := range 3 {
		c.Files = append(c.Files, fileOp(fmt.Sprint(prefix, i), "x"))
	}
	return c
}

// rows counts the rows of a table.
func (s *site) rows(table string) int {
	s.Helper()
	return read(s, func(v *View) (n int, err error) {
		_, err = v.get(`SELECT count(*) FROM `+table, nil, &n)
		return n, err
	})
}

func (s *site) shown(draft bundle.ID) int {
	s.Helper()
	return len(read(s, func(v *View) ([]OverlayFile, error) {
		files, _, err := v.Overlay(draft)
		return files, err
	}))
}

func TestWhatIsStagedSlowlyIsKept(t *testing.T) {
	s := newSite(t)
	_, draft := s.bundleIn("one")
	s.must(stage(draft, "slow", "a"))
	for _, prefix := range []string{"b", "c"} {
		if r := s.later(23, stage(draft, "slow", prefix)); r.Err != nil {
			t.Fatal(r.Err)
		}
		s.must(Purge{Limit: 100})
	}
	if r := s.later(23, Purge{Limit: 100}); r.Err != nil {
		t.Fatal(r.Err)
	}
	s.must(PatchDraft{Draft: draft, Patch: idOf("slow")})
	if n := s.shown(draft); n != 9 {
		t.Errorf("%d files of a patch staged in three days, want 9", n)
	}
}

func TestWhatWasStagedAndLeftIsPurged(t *testing.T) {
	s := newSite(t)
	_, draft := s.bundleIn("one")
	s.must(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a1", "kept")}, Blobs: []bundle.Located{blobOf("kept")}})
	s.must(stage(draft, "left", "a"))
	s.must(stage(draft, "left too", "a"))
	s.later(23, stage(draft, "in progress", "b"))
	staged := read(s, (*View).Instance).Created
	due := func(hours int64) bool {
		return read(s, func(v *View) (bool, error) { return v.Purgeable(staged + hours*hour) })
	}
	s.later(0, Purge{Limit: 100})
	if due(23) || !due(25) {
		t.Error("what is staged is due after a day, not before")
	}
	for hours := int64(2); ; hours = 0 {
		r := s.later(hours, Purge{Limit: 2})
		if r.Err != nil || r.Number > 2 {
			t.Fatalf("%+v", r)
		}
		if r.Number == 0 {
			break
		}
	}
	if n := s.rows("draft_files"); n != 4 {
		t.Errorf("%d operations are left, want the visible one and three in progress", n)
	}
	// What is left of the patch must never pass for all of it.
	s.refused(stage(draft, "left", "c"), bundle.KindConflict, "")
	s.refused(PatchDraft{Draft: draft, Patch: idOf("left")}, bundle.KindConflict, "")
	s.must(PatchDraft{Draft: draft, Patch: idOf("in progress")})
	if n := s.shown(draft); n != 4 {
		t.Errorf("%d files are shown, want 4", n)
	}
	s.commit(draft)
	s.purged(0)
	if n := s.rows("patches") + s.rows("draft_files") + s.rows("trash"); n != 0 {
		t.Errorf("%d rows are left after the commit", n)
	}
}

func TestWhatAnOlderProgramStagedIsPurged(t *testing.T) {
	s := newSite(t)
	_, draft := s.bundleIn("one")
	s.must(stage(draft, "old", "a"))
	for _, text := range []string{`UPDATE patches SET modified = 0`, `DROP INDEX patches_staged`,
		`ALTER TABLE tokens DROP COLUMN used`, `ALTER TABLE state DROP COLUMN level`, `PRAGMA user_version = 1`} {
		if err := s.handle.writer.run(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	s.purged(0)
	if n := s.rows("draft_files") + s.rows("trash"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
