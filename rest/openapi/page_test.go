package openapi

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

func rendered(t *testing.T) (*Docs, string) {
	t.Helper()
	docs, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return docs, string(docs.Page)
}

func TestThePageShowsEveryOperationAndSchema(t *testing.T) {
	docs, page := rendered(t)
	d, err := read(docs.JSON)
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	for _, g := range d.view().Groups {
		if len(g.Operations) == 0 {
			t.Errorf("%s has no operations", g.Name)
		}
		for _, op := range g.Operations {
			if strings.Count(page, ` id="`+op.ID+`"`) != 1 || !strings.Contains(page, `href="#`+op.ID+`"`) {
				t.Errorf("%s is not on the page, or no link leads to it", op.ID)
			}
		}
	}
	for _, s := range d.Components.Schemas {
		if !strings.Contains(page, ` id="schema-`+s.Name+`"`) {
			t.Errorf("%s is not on the page", s.Name)
		}
	}
	for _, l := range links {
		if !strings.Contains(page, ` id="`+l[1]+`"`) {
			t.Errorf("a link to #%s, which is not there", l[1])
		}
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("something was taken for unsafe")
	}
}

func TestThePageLoadsAndRunsNothing(t *testing.T) {
	docs, page := rendered(t)
	for _, bad := range []string{"<script", "<link", "<img", "<iframe", "src=", "url(", "@import", "javascript:", `href="http`, " style=", " on"} {
		for _, tag := range regexp.MustCompile(`(?s)<[a-z][^>]*>|<style>.*?</style>`).FindAllString(page, -1) {
			if strings.Contains(tag, bad) {
				t.Errorf("%q in %.80s", bad, tag)
			}
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(page)[1]
	hash := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "';"
	if !strings.HasPrefix(docs.Policy, want) || strings.Contains(docs.Policy, "unsafe") {
		t.Errorf("the policy is %s", docs.Policy)
	}
	if !strings.Contains(style, "prefers-color-scheme: dark") || !strings.Contains(style, "max-width") {
		t.Error("the style has nothing for the dark, or for narrow screens")
	}
}

func TestProseIsEscaped(t *testing.T) {
	got := string(prose("A *b* and **c** in `*d* <e>`.\n\n<script>"))
	want := "<p>A <em>b</em> and <strong>c</strong> in <code>*d* &lt;e&gt;</code>.</p><p>&lt;script&gt;</p>"
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestSchemasAreSaidInWords(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"string","format":"uuid"}`:                                        "UUID",
		`{"type":["string","null"],"format":"date-time"}`:                          "time or null",
		`{"type":"array","items":{"$ref":"#/components/schemas/A"}}`:               `list of <a href="#schema-A">A</a>`,
		`{"type":"object","additionalProperties":{"type":"integer"}}`:              "object of integer",
		`{"enum":["a","<b>"]}`:                                                     `<code>&#34;a&#34;</code>, <code>&#34;&lt;b&gt;&#34;</code>`,
		`{"type":"integer","minimum":1,"maximum":1000}`:                            "integer, 1 to 1000",
		`{"oneOf":[{"type":"null"},{"type":"string","contentEncoding":"base64"}]}`: "null or text in base64",
		`{"type":"string","minLength":2,"maxLength":2}`:                            "text, exactly 2 characters",
		`{"type":"number","minimum":0}`:                                            "number, at least 0",
		`true`:                                                                     "anything",
	} {
		var s schema
		if err := strictly([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if got := string(words(&s)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if err := strictly([]byte(`{"typ":"string"}`), new(schema)); err == nil {
		t.Error("a key that the page would not show passed")
	}
}
