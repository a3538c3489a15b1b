package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// Docs is the description in both of the forms in which it is served.
type Docs struct {
	JSON []byte
	Page []byte // HTML
	// Policy is the page's Content-Security-Policy: it may use its own style, and
	// nothing else.
	Policy string
}

// Render reads the description and makes the page. It takes some milliseconds, so
// whoever serves it keeps it.
func Render() (*Docs, error) {
	document, err := JSON()
	if err != nil {
		return nil, err
	}
	d, err := read(document)
	if err != nil {
		return nil, err
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"prose": prose, "words": words,
		"phrase": func(s string) template.HTML { return template.HTML(phrase(s)) },
	}).Parse(pageText)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, d.view()); err != nil {
		return nil, err
	}
	_, style, _ := strings.Cut(page.String(), "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	hash := sha256.Sum256([]byte(style))
	return &Docs{JSON: document, Page: page.Bytes(), Policy: "default-src 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}, nil
}

// view is the description as the page shows it.
type view struct {
	*description
	Style   template.CSS
	Groups  []group
	Schemas []schemaView
}

// group is a tag with its operations.
type group struct {
	Name, Description string
	Operations        []operationView
}

type operationView struct {
	operation
	Method, Path string
	Who          string // who may do it
	Bodies       []bodyView
	Answers      []answerView // that it was done
	Errors       []answerView
	Curl         string
}

type bodyView struct {
	Type    string // the media type
	Schema  *schema
	Example string
}

type answerView struct {
	Status, Meaning string
	Description     string
	Headers         []string
	Bodies          []bodyView
}

type schemaView struct {
	Name     string
	Schema   schema
	Rows     []row
	Examples []string
}

// row is a key of an object; those of objects inside it have its name before
// theirs.
type row struct {
	Name     string
	Schema   schema
	Required bool
}

func (d *description) view() view {
	v := view{description: d, Style: template.CSS(pageStyle)}
	for _, tag := range d.Tags {
		g := group{Name: tag.Name, Description: tag.Description}
		for _, item := range d.Paths {
			for _, m := range []struct {
				method string
				op     *operation
			}{
				{"GET", item.Value.Get}, {"POST", item.Value.Post}, {"PUT", item.Value.Put},
				{"PATCH", item.Value.Patch}, {"DELETE", item.Value.Delete},
			} {
				if m.op != nil && slices.Contains(m.op.Tags, tag.Name) {
					g.Operations = append(g.Operations, viewOf(m.method, item.Name, *m.op, item.Value.Parameters))
				}
			}
		}
		v.Groups = append(v.Groups, g)
	}
	for _, s := range d.Components.Schemas {
		shown := schemaView{Name: s.Name, Schema: s.Value, Rows: rows("", s.Value)}
		for _, example := range s.Value.Examples {
			shown.Examples = append(shown.Examples, indented(example))
		}
		v.Schemas = append(v.Schemas, shown)
	}
	return v
}

// indented returns JSON for people, "" of none.
func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return ""
	}
	return b.String()
}

func viewOf(method, path string, op operation, shared []parameter) operationView {
	o := operationView{operation: op, Method: method, Path: path, Who: "anyone"}
	o.Parameters = nil
	for _, inPath := range []bool{true, false} {
		for _, p := range slices.Concat(op.Parameters, shared) {
			if (p.In == "path") == inPath {
				o.Parameters = append(o.Parameters, p)
			}
		}
	}
	for _, one := range op.Security {
		for scheme, roles := range one {
			o.Who = "whoever has the signed URL"
			if scheme == "Token" {
				o.Who = "tokens of role " + strings.Join(roles, ", ")
			}
		}
	}
	if op.RequestBody != nil {
		o.Bodies = bodies(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		var number int
		_, _ = fmt.Sscan(status, &number)
		a := answerView{Status: status, Meaning: http.StatusText(number), Description: r.Description, Bodies: bodies(r.Content)}
		for _, h := range r.Headers {
			a.Headers = append(a.Headers, h.Name)
		}
		if status < "400" {
			o.Answers = append(o.Answers, a)
		} else {
			o.Errors = append(o.Errors, a)
		}
	}
	o.Curl = o.curl()
	return o
}

func bodies(content ordered[mediaType]) (all []bodyView) {
	for _, c := range content {
		all = append(all, bodyView{Type: c.Name, Schema: c.Value.Schema, Example: indented(c.Value.Example)})
	}
	return all
}

// rows lists the keys of an object, and of the objects in it that have no name.
func rows(prefix string, s schema) (all []row) {
	for _, p := range s.Properties {
		if p.Value.never {
			continue
		}
		name := prefix + p.Name
		all = append(all, row{name, p.Value, slices.Contains(s.Required, p.Name)})
		all = append(all, rows(name+".", p.Value)...)
		if p.Value.Items != nil {
			all = append(all, rows(name+"[].", *p.Value.Items)...)
		}
	}
	return all
}

// curl returns the operation as a command, with variables for what differs.
func (o *operationView) curl() string {
	var b strings.Builder
	b.WriteString("curl")
	if o.Method != http.MethodGet {
		b.WriteString(" -X " + o.Method)
	}
	for _, one := range o.Security {
		if _, signed := one["Signature"]; signed {
			return `curl "$SIGNED_URL"`
		}
		b.WriteString(` -H "Authorization: Token $TOKEN"`)
	}
	if len(o.Bodies) > 0 && o.Method != http.MethodGet {
		switch body := o.Bodies[0]; {
		case body.Type == "application/json":
			example := body.Example
			if example == "" {
				example = "{}"
			}
			b.WriteString(" \\\n  -H \"Content-Type: application/json\" -d '" + strings.ReplaceAll(example, "'", `'\''`) + "'")
		case body.Type == "*/*":
			b.WriteString(" \\\n  -T FILE")
		default:
			b.WriteString(" \\\n  -H \"Content-Type: " + body.Type + "\" --data-binary @FILE")
		}
	}
	path := o.Path
	for _, p := range o.Parameters {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", "$"+strings.ToUpper(p.Name))
		}
	}
	b.WriteString(" \\\n  \"$URL" + path + `"`)
	return b.String()
}
