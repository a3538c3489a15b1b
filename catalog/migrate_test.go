package catalog

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// TestAnOlderCatalogOpens makes a catalog as each earlier schema had it, with
// what such a program would have put there.
func TestAnOlderCatalogOpens(t *testing.T) {
	for schema := 1; schema < SchemaVersion; schema++ {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			s := newSite(t)
			s.must(tokenOf("lms"))
			_, draft := s.bundleIn("one")
			s.must(PatchDraft{Draft: draft, Files: []FileOp{fileOp("a", "x")}, Blobs: []bundle.Located{blobOf("x")}})
			s.commit(draft)
			s.must(StagePatch{Draft: draft, Patch: idOf("p"), Files: []FileOp{fileOp("b", "y")}, Blobs: []bundle.Located{blobOf("y")}})
			before := s.digest()
			s.moveToSchema(schema)
			s.reopen()
			if got := s.token("lms"); got.Name != "lms" || got.Used != 0 {
				t.Errorf("the token is %+v", got)
			}
			if s.digest() != before {
				t.Error("the catalog differs from one that was never older")
			}
			s.must(UseTokens{[]TokenUse{{idOf("lms"), s.command(nil).Time}}})
			if s.token("lms").Used == 0 {
				t.Error("a use was not kept")
			}
			s.commit(draft)
		})
	}
}

// moveToSchema closes the catalog and puts in its place one of an older schema,
// made by that one's migrations, with all rows as far as it has columns for them.
// The text index, which no dump holds, stays empty.
func (s *site) moveToSchema(schema int) {
	s.Helper()
	dir := s.handle.dir
	ok := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	ok(s.Close())
	old, err := sql.Open("sqlite", filepath.Join(dir, "old.sqlite"))
	ok(err)
	old.SetMaxOpenConns(1)
	run := func(text string) {
		s.Helper()
		if _, err := old.Exec(text); err != nil {
			s.Fatalf("%s: %v", text, err)
		}
	}
	for n := 1; n <= schema; n++ {
		text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", n))
		ok(err)
		run(string(text))
	}
	run(fmt.Sprintf(`PRAGMA user_version = %d`, schema))
	run(`ATTACH '` + filepath.Join(dir, dbFile) + `' AS newer`)
	for _, d := range dumped {
		var columns sql.NullString // NULL: that schema has no such table
		ok(old.QueryRow(`SELECT group_concat(name) FROM pragma_table_info(?, 'main')`, d.table).Scan(&columns))
		if columns.Valid {
			run(`DELETE FROM main.` + d.table)
			run(`INSERT INTO main.` + d.table + ` (` + columns.String + `) SELECT ` + columns.String + ` FROM newer.` + d.table)
		}
	}
	ok(old.Close())
	ok(os.Rename(filepath.Join(dir, "old.sqlite"), filepath.Join(dir, dbFile)))
}
