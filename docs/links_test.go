// Package docs_test holds the documents against the code and each other.
package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// link matches [text](target), images included.
var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

func TestRelativeLinksLeadSomewhere(t *testing.T) {
	documents := markdown(t, "..")
	if len(documents) < 10 {
		t.Fatalf("found only %d documents: the walk is wrong", len(documents))
	}
	checked := 0
	for _, doc := range documents {
		for _, target := range links(t, doc) {
			if strings.Contains(target, ":") { // another site
				continue
			}
			checked++
			if err := checkLink(doc, target); err != nil {
				t.Errorf("%s: %v", filepath.ToSlash(doc), err)
			}
		}
	}
	if checked < 30 {
		t.Errorf("found only %d links: the expression is wrong", checked)
	}
}

func TestCheckLinkRefusesWhatIsNotThere(t *testing.T) {
	for _, target := range []string{"nothing.md", "design.md#nothing", "#nothing", "../docs/decisions/nothing"} {
		if checkLink("README.md", target) == nil {
			t.Errorf("%s passes", target)
		}
	}
}

// Whoever opens docs/README.md must see every decision, under its number, which
// Markdown counts by itself.
func TestEveryDecisionIsListedUnderItsNumber(t *testing.T) {
	list, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("decisions/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		heading, _, _ := strings.Cut(string(text), "\n")
		number := fmt.Sprintf("%d. ", i+1)
		title, ok := strings.CutPrefix(heading, "# "+number)
		if !ok || !strings.HasPrefix(filepath.Base(file), fmt.Sprintf("%04d-", i+1)) {
			t.Errorf("%s begins with %q: the next number is %d", file, heading, i+1)
			continue
		}
		if line := fmt.Sprintf("\n%s[%s](%s)\n", number, title, filepath.ToSlash(file)); !strings.Contains(string(list), line) {
			t.Errorf("README.md lacks the line %q", strings.TrimSpace(line))
		}
	}
}

// checkLink checks the file and, of Markdown, the heading.
func checkLink(doc, target string) error {
	path, fragment, _ := strings.Cut(target, "#")
	file := doc
	if path != "" {
		file = filepath.Join(filepath.Dir(doc), filepath.FromSlash(path))
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("link to %s: %w", target, err)
	}
	if fragment == "" || filepath.Ext(file) != ".md" {
		return nil
	}
	text, err := prose(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' && anchor(heading) == fragment {
			return nil
		}
	}
	return fmt.Errorf("link to %s: no such heading", target)
}

// anchor returns the name that code forges give to a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}

// markdown returns the documents of the repository.
func markdown(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !d.IsDir() && filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func links(t *testing.T, doc string) (targets []string) {
	t.Helper()
	text, err := prose(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		targets = append(targets, m[1])
	}
	return targets
}

// prose returns a document without its fenced code.
func prose(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	fenced := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			text.WriteString(line)
		}
	}
	return text.String(), nil
}
