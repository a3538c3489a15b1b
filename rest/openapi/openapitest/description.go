package openapitest

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Description is a description in OpenAPI 3.1. It may be used by several
// goroutines.
type Description struct {
	root  map[string]any
	paths []pathItem

	mu       sync.Mutex // guards what follows
	compiler *jsonschema.Compiler
}

// pathItem is a path that is described.
type pathItem struct {
	template string
	matches  *regexp.Regexp
	literal  int // bytes of the template that are no parameters
}

// where is the URL of the description, for references inside it.
const where = "mem:///openapi.json"

// New reads a description from JSON.
func New(document []byte) (*Description, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the description is no object")
	}
	closeObjects(root)
	d := &Description{root: root, compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(where, root); err != nil {
		return nil, err
	}
	for template := range object(root["paths"]) {
		d.paths = append(d.paths, newPathItem(template))
	}
	slices.SortFunc(d.paths, func(a, b pathItem) int { // the most literal first
		return cmp.Or(cmp.Compare(b.literal, a.literal), cmp.Compare(a.template, b.template))
	})
	return d, nil
}

// closeObjects takes the permission for further keys from every object that does
// not say whether there may be some.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, properties := v["properties"].(map[string]any)
		if _, said := v["additionalProperties"]; properties && v["type"] == "object" && !said {
			v["additionalProperties"] = false
		}
		for _, item := range v {
			closeObjects(item)
		}
	case []any:
		for _, item := range v {
			closeObjects(item)
		}
	}
}

var parameter = regexp.MustCompile(`\\\{([a-z]+)\\\}`)

// newPathItem reads a path's template. The parameter path takes slashes.
func newPathItem(template string) pathItem {
	literal := len(template)
	pattern := parameter.ReplaceAllStringFunc(regexp.QuoteMeta(template), func(s string) string {
		name := parameter.FindStringSubmatch(s)[1]
		literal -= len("{" + name + "}")
		if name == "path" {
			return `(?s:.+)`
		}
		return `[^/,]+`
	})
	return pathItem{template, regexp.MustCompile(`\A` + pattern + `\z`), literal}
}

// Operation is a method of a path.
type Operation struct {
	Method, Path string // GET, and the path with its parameters in braces
	ID           string
	// Security is the name of the scheme and the role it needs, "Token reader",
	// the scheme alone, or "" if anyone may.
	Security string
}

var methods = []string{"get", "put", "post", "delete", "patch", "head", "options", "trace"}

// Operations returns all that are described, by path.
func (d *Description) Operations() (all []Operation) {
	for _, p := range d.paths {
		item := object(object(d.root["paths"])[p.template])
		for _, method := range methods {
			if op, ok := item[method].(map[string]any); ok {
				id, _ := op["operationId"].(string)
				all = append(all, Operation{strings.ToUpper(method), p.template, id, security(op)})
			}
		}
	}
	return all
}

func security(op map[string]any) string {
	list, ok := op["security"].([]any)
	if !ok {
		return "not said"
	}
	var words []string
	for _, one := range list {
		for scheme, roles := range object(one) {
			words = append(words, scheme)
			list, _ := roles.([]any)
			for _, role := range list {
				words = append(words, fmt.Sprint(role))
			}
		}
	}
	return strings.Join(words, " ")
}

// object returns v as an object, an empty one if it is none.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// at returns the value under the keys and its JSON pointer, with references
// followed. The value is nil if there is none.
func (d *Description) at(keys ...string) (v map[string]any, pointer string) {
	v = d.root
	for i, key := range keys {
		v, _ = v[key].(map[string]any)
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if ref, ok := v["$ref"].(string); ok {
			return d.at(slices.Concat(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), keys[i+1:])...)
		}
	}
	return v, pointer
}

// validate holds a value against the schema at the pointer.
func (d *Description) validate(pointer string, v any) error {
	d.mu.Lock()
	schema, err := d.compiler.Compile(where + "#" + pointer)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return schema.Validate(v)
}
