package blockstored_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/blockstored/blockstored"

// rooms is the table of docs/design.md: what each room may import of ours in
// code that is not a test. A room's subfolders follow its row, and may import
// their own room.
var rooms = map[string][]string{
	"bundle":      {},
	"api":         {"bundle"},
	"publog":      {"bundle"},
	"metrics":     {},
	"storage":     {"bundle", "metrics"},
	"catalog":     {"bundle", "publog"},
	"cluster":     {"catalog", "bundle", "metrics"},
	"access":      {"bundle", "catalog"},
	"primary":     {"catalog", "storage", "bundle", "publog", "metrics"},
	"syndication": {"publog", "catalog", "storage", "access", "bundle", "metrics"},
	"replica":     {"syndication", "publog", "catalog", "storage", "bundle", "metrics"},
	"events":      {"catalog", "bundle", "metrics"},
	"backup":      {"cluster", "catalog", "storage", "bundle"},
	"rest":        {"primary", "replica", "events", "backup", "access", "catalog", "storage", "bundle", "metrics"},
	"console":     {"primary", "replica", "events", "backup", "access", "catalog", "storage", "bundle", "metrics"},
	"client":      {"api", "bundle"},
	".": {"api", "bundle", "publog", "metrics", "storage", "catalog", "cluster", "access", "primary", "syndication",
		"replica", "events", "backup", "rest", "console"},
	"cmd":             {".", "client", "api", "bundle"},
	"bench":           {".", "client", "api", "bundle", "storage"},
	"examples":        {".", "client", "api", "bundle"},
	"blockstoredtest": {".", "client", "api", "bundle"},
}

// only names the single room that may import a library.
var only = map[string]string{
	"github.com/hashicorp/raft":       "cluster",
	"github.com/minio/minio-go":       "storage/s3",
	"modernc.org/sqlite":              "catalog",
	"github.com/spf13/cobra":          "cmd",
	"golang.org/x/mod/sumdb/note":     "publog",
	"github.com/remitly-oss/httpsig":  "syndication",
	"github.com/prometheus/client_go": "metrics",
}

// alsoAllowed lists the reasoned exceptions to only.
var alsoAllowed = map[string][]string{
	"github.com/prometheus/client_go": {".", "cmd"}, // the host passes its registry in, the daemon makes one
}

// banned are calls that only cmd may make in code that is not a test.
var banned = map[string]string{
	"os.Exit": "exits the process", "log.Fatal": "exits the process", "log.Fatalf": "exits the process",
	"os.Getenv": "reads the environment", "os.LookupEnv": "reads the environment", "flag.Parse": "reads flags",
	"slog.SetDefault": "sets a global logger", "slog.Default": "uses the global logger",
	"prometheus.MustRegister": "registers a global metric", "prometheus.Register": "registers a global metric",
}

func TestImportTable(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			checked++
			checkFile(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 20 {
		t.Fatalf("looked at only %d files: the walk is wrong", checked)
	}
	t.Logf("%d files of %d rooms follow the table", checked, len(rooms))
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.ToSlash(filepath.Dir(path))
	from := room(dir)
	allowed, known := rooms[from]
	if !known {
		t.Errorf("%s: %q is no room of the table", path, from)
		return
	}
	for _, spec := range file.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		checkLibrary(t, path, dir, imp)
		rest, ours := strings.CutPrefix(imp, module)
		if !ours {
			continue
		}
		to := room(strings.TrimPrefix(rest, "/"))
		if to != from && !slices.Contains(allowed, to) {
			t.Errorf("%s imports %s: the table does not let %s import %s", path, imp, from, to)
		}
	}
	if from == "cmd" || from == "bench" || from == "examples" || strings.HasSuffix(dir, "test") { // programs, and kits that only tests import
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok {
				if why, bad := banned[pkg.Name+"."+sel.Sel.Name]; bad {
					t.Errorf("%s: %s.%s %s, which only cmd may", path, pkg.Name, sel.Sel.Name, why)
				}
			}
		}
		return true
	})
}

func checkLibrary(t *testing.T, path, dir, imp string) {
	t.Helper()
	for lib, owner := range only {
		if !strings.HasPrefix(imp, lib) || dir == owner || strings.HasPrefix(dir, owner+"/") {
			continue
		}
		if !slices.Contains(alsoAllowed[lib], room(dir)) {
			t.Errorf("%s imports %s: only %s may", path, imp, owner)
		}
	}
}

// room returns the top folder of dir, "." for the root package.
func room(dir string) string {
	if dir == "" || dir == "." {
		return "."
	}
	top, _, _ := strings.Cut(dir, "/")
	return top
}
