package docs_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const importsTest = "../imports_test.go" // where the tables are held against the code

func TestDesignPrintsTheRoomsThatAreEnforced(t *testing.T) {
	want := make(map[string][]string)
	literal(t, "rooms", func(room string, value ast.Expr) {
		want[room] = names(t, value)
	})
	got := make(map[string][]string)
	for _, row := range table(t, "rooms") {
		room := roomName(row[0])
		got[room] = nil
		for name := range strings.SplitSeq(row[2], ",") {
			if name = roomName(name); name != "–" {
				got[room] = append(got[room], name)
			}
		}
	}
	for _, room := range slices.Sorted(maps.Keys(want)) {
		slices.Sort(want[room])
		slices.Sort(got[room])
		if printed, ok := got[room]; !ok || !slices.Equal(printed, want[room]) {
			t.Errorf("design.md lets %q import %q, imports_test.go %q", room, printed, want[room])
		}
		delete(got, room)
	}
	for room := range got {
		t.Errorf("design.md has the room %q, imports_test.go does not", room)
	}
}

func TestDesignPrintsTheLibrariesThatAreEnforced(t *testing.T) {
	want := make(map[string]string)
	literal(t, "only", func(library string, value ast.Expr) {
		want[library] = unquote(t, value)
	})
	for _, row := range table(t, "libraries") {
		library, room := strings.Trim(row[0], "`"), strings.Trim(row[1], "`")
		enforced := slices.Collect(maps.Keys(want)) // a key stands for all paths that begin with it
		i := slices.IndexFunc(enforced, func(key string) bool { return strings.HasPrefix(library, key) })
		if i < 0 || want[enforced[i]] != room {
			t.Errorf("design.md gives %s to %s, imports_test.go does not", library, room)
			continue
		}
		delete(want, enforced[i])
	}
	for library, room := range want {
		t.Errorf("imports_test.go gives %s to %s, design.md does not", library, room)
	}
}

func TestOnlyRoomsThatAreNotThereArePlanned(t *testing.T) {
	for _, row := range table(t, "rooms") {
		room := roomName(row[0])
		if !strings.Contains(row[1], "*planned*") {
			continue
		}
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if filepath.Ext(path) == ".go" {
				t.Errorf("design.md calls %q planned, but there is %s", room, filepath.ToSlash(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// roomName returns a room as imports_test.go names it.
func roomName(cell string) string {
	name := strings.Trim(strings.TrimSpace(cell), "`")
	if name == "root" {
		return "."
	}
	return name
}

// table returns the cells of the table of design.md between the comments
// <!-- name --> and <!-- end of name -->.
func table(t *testing.T, name string) (rows [][]string) {
	t.Helper()
	b, err := os.ReadFile("design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "<!-- "+name+" -->\n")
	text, _, end := strings.Cut(text, "<!-- end of "+name+" -->")
	if !ok || !end {
		t.Fatalf("design.md has no table %q", name)
	}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if i < 2 { // its head
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for k := range cells {
			cells[k] = strings.TrimSpace(cells[k])
		}
		if len(cells) != 3 {
			t.Fatalf("design.md, table %q: %q has %d cells", name, line, len(cells))
		}
		rows = append(rows, cells)
	}
	return rows
}

// literal calls fn for each pair of the map that imports_test.go declares as
// name.
func literal(t *testing.T, name string, fn func(key string, value ast.Expr)) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), importsTest, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != name || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return true
		}
		found = true
		for _, e := range lit.Elts {
			pair := e.(*ast.KeyValueExpr)
			fn(unquote(t, pair.Key), pair.Value)
		}
		return false
	})
	if !found {
		t.Fatalf("%s declares no map %s", importsTest, name)
	}
}

func names(t *testing.T, list ast.Expr) (texts []string) {
	t.Helper()
	for _, e := range list.(*ast.CompositeLit).Elts {
		texts = append(texts, unquote(t, e))
	}
	return texts
}

func unquote(t *testing.T, e ast.Expr) string {
	t.Helper()
	s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
