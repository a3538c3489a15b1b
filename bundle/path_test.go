package bundle

import (
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCheckPathFollowsTheRules(t *testing.T) {
	long := strings.Repeat("d/", 249) + "ab" // 500 code points
	for _, tt := range []struct {
		path string
		ok   bool
	}{
		{"a", true}, {"a/b", true}, {"..x", true}, {"x..", true}, {"...", true}, {".hidden", true},
		{"a:b", true}, {"~", true}, {" a", true}, {"a ", true}, {"a\nb", true}, {"ü/日本", true}, {"%2F", true}, {"?", true}, {"#", true}, {`"`, true},
		{strings.Repeat("s", 255), true}, {strings.Repeat("s", 256), false}, {"a/" + strings.Repeat("s", 256), false},
		{strings.Repeat("ü", 127), true}, {strings.Repeat("ü", 128), false},
		{long, true}, {long + "c", false}, {strings.Repeat("ü/", 249) + "üü", true},
		{"", false}, {"/", false}, {"/a", false}, {"a/", false}, {"a//b", false}, {".", false}, {"./", false}, {"./a", false}, {"a/.", false}, {"a/./b", false},
		{"..", false}, {"../x", false}, {"a/..", false}, {"a/../b", false}, {`..\x`, false}, {`a\b`, false}, {"a\x00b", false}, {"a\xffb", false},
	} {
		err := CheckPath(tt.path)
		if tt.ok {
			if err != nil {
				t.Errorf("%q: %v", tt.path, err)
			}
			continue
		}
		if want := `"` + tt.path + `" is not a valid file name`; !IsKind(err, KindInvalid) || err.Error() != want {
			t.Errorf("%q: got %v, want %s", tt.path, err, want)
		}
		if !(File{Path: tt.path}).Marked() {
			t.Errorf("%q is not marked", tt.path)
		}
	}
}

func TestCheckPathSetFindsAFileThatIsAlsoAFolder(t *testing.T) {
	for _, tt := range []struct {
		paths string
		bad   string
	}{
		{"", ""}, {"a", ""}, {"a a/b", "a/b"}, {"a a! a/b", "a/b"}, {"a a! a!/x", "a!/x"}, {"a a-b/c ab/c", ""},
		{"a a. a.b a.b/c/d", "a.b/c/d"}, {"a/b a/b/c", "a/b/c"}, {"a/b a/bc a/bc.d", ""},
	} {
		err := CheckPathSet(strings.Fields(tt.paths))
		if tt.bad == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.paths, err)
			}
		} else if err == nil || err.Error() != `"`+tt.bad+`" is not a valid file name` || !IsKind(err, KindInvalid) {
			t.Errorf("%s: got %v, want %s", tt.paths, err, tt.bad)
		}
	}
}

func TestCheckPathSetAgreesWithTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paths := rapid.SliceOfDistinct(rapid.StringMatching(`[ab!](/?[ab!]){0,4}`), rapid.ID[string]).Draw(t, "paths")
		slices.Sort(paths)
		clash := false
		for _, p := range paths {
			for q := path.Dir(p); q != "."; q = path.Dir(q) {
				clash = clash || slices.Contains(paths, q)
			}
		}
		if err := CheckPathSet(paths); (err != nil) != clash {
			t.Fatalf("got %v, want clash %v", err, clash)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"a/b", "../x", `a\b`, "a//b", "", "\xff", "..x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if CheckPath(p) != nil {
			return
		}
		if path.Clean(p) != p || path.IsAbs(p) || p == "." || p == ".." || strings.HasPrefix(p, "../") ||
			!utf8.ValidString(p) || strings.ContainsAny(p, "\\\x00") {
			t.Errorf("%q passed", p)
		}
	})
}
