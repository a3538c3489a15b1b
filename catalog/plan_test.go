package catalog

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var placeholder = regexp.MustCompile(`\?\d*`)

// TestQueriesUseIndexes asks SQLite how it runs the queries whose cost must not
// grow with the catalog, and refuses plans that read a whole table.
func TestQueriesUseIndexes(t *testing.T) {
	allowed := regexp.MustCompile(`^(SCAN instance|SCAN t VIRTUAL TABLE)`) // one row; a search of the index
	s := newSite(t)
	for name, text := range map[string]string{
		"collection":   collectionColumns + ` WHERE c.uuid = ? AND c.state <> 1`,
		"collections":  collectionColumns + ` WHERE c.id > ? AND c.state <> 1 ORDER BY c.id LIMIT +?`,
		"bundle":       bundleColumns + ` WHERE b.uuid = ? AND b.state <> 1 AND c.state <> 1`,
		"bundles":      bundleColumns + queryAll,
		"in one":       bundleColumns + queryCollection,
		"of one":       bundleColumns + queryOwner,
		"search":       bundleColumns + queryText,
		"versions":     versionColumns + ` WHERE v.bundle = ? AND v.num > ? ORDER BY v.num LIMIT +?`,
		"drafts":       draftColumns + ` WHERE d.id > ? AND` + draftLive + ` ORDER BY d.id LIMIT +?`,
		"drafts of":    draftColumns + ` WHERE b.uuid = ? AND d.id > ? AND` + draftLive + ` ORDER BY d.id LIMIT +?`,
		"draft":        draftColumns + ` WHERE d.uuid = ? AND` + draftLive,
		"draft state":  draftStateQuery,
		"records":      recordColumns + ` WHERE r.id >= ? ORDER BY r.id LIMIT +?`,
		"records of":   recordsOfQuery,
		"generation":   generationQuery,
		"overlay":      overlayQuery,
		"dependents":   dependentsQuery,
		"borrowers":    borrowersQuery,
		"blobs":        blobQuery,
		"abandoned":    abandonedQuery,
		"write bundle": bundleRowColumns + ` WHERE b.uuid = ?`,
	} {
		rows, err := collect(s.handle.writer, `EXPLAIN QUERY PLAN `+text, make([]any, parameters(text)), func(row scanner) (string, error) {
			var detail string
			err := row.Scan(new(int), new(int), new(int), &detail)
			return detail, err
		})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, row := range rows {
			scan := strings.HasPrefix(row, "SCAN") && !allowed.MatchString(row)
			sort := strings.Contains(row, "TEMP B-TREE") && name != "drafts of" && name != "dependents"
			if scan || sort {
				t.Errorf("%s: %s\n  of %s", name, row, strings.Join(rows, "\n     "))
			}
		}
	}
}

// A bare parameter after LIMIT is something SQLite plans for: each new value has
// it compile the statement again. "+?" is only a number to it.
func TestNoStatementIsCompiledAnewForItsLimit(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) < 10 {
		t.Fatal(len(sources), err)
	}
	bare := regexp.MustCompile(`LIMIT \?`)
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bare.Match(source) {
			t.Errorf("%s has a statement with a bare parameter as its limit: write LIMIT +?", name)
		}
	}
}

// parameters counts the parameters of a statement.
func parameters(text string) int {
	seen := make(map[string]bool)
	n := 0
	for _, p := range placeholder.FindAllString(text, -1) {
		if p == "?" || !seen[p] {
			n++
		}
		seen[p] = true
	}
	return n
}
