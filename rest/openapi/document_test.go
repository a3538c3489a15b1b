package openapi

import (
	"bytes"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// made is what the tests look at.
var made = sync.OnceValues(Render)

// document returns the description as it is served.
func document(t *testing.T) map[string]any {
	t.Helper()
	docs, err := made()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.JSON))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// walk calls fn for every value of a document, with its JSON pointer.
func walk(v any, pointer string, fn func(pointer string, v any)) {
	fn(pointer, v)
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			walk(item, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key), fn)
		}
	case []any:
		for _, item := range v {
			walk(item, pointer+"/-", fn)
		}
	}
}

func TestTheDescriptionIsOpenAPI31(t *testing.T) {
	raw, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	official, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///official.json", official); err != nil {
		t.Fatal(err)
	}
	schema := c.MustCompile("mem:///official.json")
	d := document(t)
	if err := schema.Validate(d); err != nil {
		t.Error(err)
	}
	delete(d, "info")
	if err := schema.Validate(d); err == nil {
		t.Error("a description without info is valid: the schema says nothing")
	}
}

var templated = regexp.MustCompile(`\{([a-z]+)\}`)

// TestSchemasAndExamplesAreValid compiles every schema, which holds it against the
// meta-schema, and holds the examples of bodies against theirs.
func TestSchemasAndExamplesAreValid(t *testing.T) {
	d := document(t)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("mem:///d.json", d); err != nil {
		t.Fatal(err)
	}
	schemas, examples := 0, 0
	hold := func(pointer string, values ...any) {
		schemas++
		schema, err := c.Compile("mem:///d.json#" + pointer)
		if err != nil {
			t.Errorf("%s: %v", pointer, err)
			return
		}
		for _, example := range values {
			examples++
			if err := schema.Validate(example); err != nil {
				t.Errorf("%s: the example: %v", pointer, err)
			}
		}
	}
	walk(d, "", func(pointer string, v any) {
		m, ok := v.(map[string]any)
		switch {
		case !ok || strings.Contains(pointer, "/-"):
		case path.Dir(pointer) == "/components/schemas":
			listed, _ := m["examples"].([]any)
			hold(pointer, listed...)
		case m["schema"] != nil && m["example"] != nil:
			hold(pointer+"/schema", m["example"])
		case m["schema"] != nil:
			hold(pointer + "/schema")
		}
	})
	if schemas < 100 || examples < 20 {
		t.Errorf("looked at only %d schemas and %d examples", schemas, examples)
	}
}

func TestReferencesHoldAndNothingIsLeftOver(t *testing.T) {
	d := document(t)
	places := map[string]bool{}
	refs := map[string]bool{}
	walk(d, "#", func(pointer string, v any) {
		places[pointer] = true
		if m, ok := v.(map[string]any); ok {
			if ref, ok := m["$ref"].(string); ok {
				refs[ref] = true
			}
		}
		if v == nil && !strings.Contains(pointer, "/example") {
			t.Errorf("%s is empty", pointer)
		}
	})
	for ref := range refs {
		if !places[ref] {
			t.Errorf("%s is not there", ref)
		}
	}
	general := []string{"Options", "MethodNotAllowed"} // of every path, as the text says
	for kind, components := range d["components"].(map[string]any) {
		for name := range components.(map[string]any) {
			if kind != "securitySchemes" && !refs["#/components/"+kind+"/"+name] && !slices.Contains(general, name) {
				t.Errorf("nothing refers to the component %s of %s", name, kind)
			}
		}
	}
}

func TestOperationsAreNamedAndTheirPathsExplained(t *testing.T) {
	docs, err := made()
	if err != nil {
		t.Fatal(err)
	}
	d, err := read(docs.JSON)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range d.view().Groups {
		for _, op := range g.Operations {
			if op.ID == "" || op.Summary == "" || seen[op.ID] {
				t.Errorf("%s %s: id %q, summary %q", op.Method, op.Path, op.ID, op.Summary)
			}
			seen[op.ID] = true
			var got, want []string
			for _, p := range op.Parameters {
				if p.In == "path" {
					got = append(got, p.Name)
				}
			}
			for _, m := range templated.FindAllStringSubmatch(op.Path, -1) {
				want = append(want, m[1])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s explains %v", op.Method, op.Path, got)
			}
			if len(op.Answers) == 0 {
				t.Errorf("%s has no answer that is none of an error", op.ID)
			}
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d operations", len(seen))
	}
}

func TestPartsAreJoined(t *testing.T) {
	part := func(text string) (m yaml.MapSlice) {
		if err := yaml.UnmarshalWithOptions([]byte(text), &m, yaml.UseOrderedMap()); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct{ a, b, want string }{
		{"a: {x: 1}", "a: {y: 2}\nb: 3", `{"a":{"x":1,"y":2},"b":3}`},
		{"b: 1", "x-shared: {k: &k [<>]}\na: *k", `{"b":1,"a":["<>"]}`},
		{"a: 1", "x-s: &s {k: 1, l: 2}\nc: {<<: *s, k: 3}", `{"a":1,"c":{"l":2,"k":3}}`},
		{"a: {x: 1}", "a: {x: 2}", ""},
		{"a: 1", "a: {x: 2}", ""},
		{"a: 1", "1: 2", ""},
	} {
		whole, err := join(part(c.a), part(c.b))
		var got []byte
		if err == nil {
			got, err = encode(nil, whole)
		}
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q and %q: %s, %v", c.a, c.b, got, err)
		}
	}
}
