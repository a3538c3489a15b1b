package resttest

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
)

//go:embed exchanges/*.txt
var files embed.FS

// Table is a series of exchanges, each of which may build on those before it. The
// first begins on an empty store.
type Table struct {
	Name  string // of its file, without folder and .txt
	cases []exchange
}

// exchange is a request and the answer that it must get, as text with
// placeholders.
type exchange struct {
	title, request, answer string
	line                   int // of its title in the file
}

// Tables returns the whole contract, in the order of the names.
func Tables(t testing.TB) []Table {
	t.Helper()
	names, err := fs.Glob(files, "exchanges/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var tables []Table
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		table := Table{Name: strings.TrimSuffix(path.Base(name), ".txt")}
		if table.cases, err = parse(string(b)); err != nil {
			t.Fatalf("%s:%v", name, err)
		}
		tables = append(tables, table)
	}
	if len(tables) == 0 {
		t.Fatal("the contract has no tables")
	}
	return tables
}

// Len returns the number of exchanges.
func (t Table) Len() int { return len(t.cases) }

// parse reads a table. An error begins with a line.
func parse(text string) (cases []exchange, err error) {
	line := 1
	for i, part := range strings.Split("\n"+text, "\n== ") {
		lines := strings.Count(part, "\n") + 1
		if i > 0 {
			title, rest, _ := strings.Cut(part, "\n")
			request, answer, found := strings.Cut(rest, "\n--\n")
			if !found {
				return nil, fmt.Errorf("%d: %s: no answer", line-1, title)
			}
			cases = append(cases, exchange{title, request, strings.TrimRight(answer, "\n"), line - 1})
		}
		line += lines
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("1: no exchange")
	}
	return cases, nil
}

// Play sends the table's requests to r in order and fails t for each answer that
// is not the one of the contract.
func (t Table) Play(tb testing.TB, r Remote) {
	tb.Helper()
	kept := map[string]string{"base": r.BaseURL, "token": r.Token}
	for _, c := range t.cases {
		if err := r.exchange(tb.Context(), c, kept); err != nil {
			tb.Errorf("%s.txt:%d: %s: %v", t.Name, c.line, c.title, err)
		}
	}
}
