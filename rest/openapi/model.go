package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// description is what the page shows of the document. Keys that it does not have
// are an error, so that nothing that is written stays unseen.
type description struct {
	OpenAPI string `json:"openapi"`
	Info    struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Summary     string `json:"summary"`
		Description string `json:"description"`
	} `json:"info"`
	Servers []struct {
		URL         string `json:"url"`
		Description string `json:"description"`
	} `json:"servers"`
	Tags []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"tags"`
	Components components        `json:"components"`
	Paths      ordered[pathItem] `json:"paths"`
}

type components struct {
	SecuritySchemes map[string]struct {
		Type        string `json:"type"`
		In          string `json:"in"`
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"securitySchemes"`
	Parameters    map[string]parameter   `json:"parameters"`
	Headers       map[string]header      `json:"headers"`
	Responses     map[string]response    `json:"responses"`
	RequestBodies map[string]requestBody `json:"requestBodies"`
	Schemas       ordered[schema]        `json:"schemas"`
}

type pathItem struct {
	Parameters []parameter `json:"parameters"`
	Get        *operation  `json:"get"`
	Post       *operation  `json:"post"`
	Put        *operation  `json:"put"`
	Patch      *operation  `json:"patch"`
	Delete     *operation  `json:"delete"`
}

type operation struct {
	ID          string                `json:"operationId"`
	Tags        []string              `json:"tags"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Security    []map[string][]string `json:"security"`
	Parameters  []parameter           `json:"parameters"`
	RequestBody *requestBody          `json:"requestBody"`
	Responses   map[string]response   `json:"responses"`
}

type parameter struct {
	Ref         string          `json:"$ref"`
	Name        string          `json:"name"`
	In          string          `json:"in"`
	Required    bool            `json:"required"`
	Description string          `json:"description"`
	Schema      schema          `json:"schema"`
	Example     json.RawMessage `json:"example"`
}

type header struct {
	Ref         string `json:"$ref"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
	Schema      schema `json:"schema"`
}

type requestBody struct {
	Ref         string             `json:"$ref"`
	Required    bool               `json:"required"`
	Description string             `json:"description"`
	Content     ordered[mediaType] `json:"content"`
}

type response struct {
	Ref         string             `json:"$ref"`
	Description string             `json:"description"`
	Headers     ordered[header]    `json:"headers"`
	Content     ordered[mediaType] `json:"content"`
}

type mediaType struct {
	Schema  *schema         `json:"schema"`
	Example json.RawMessage `json:"example"`
}

// schema is what is used of JSON Schema.
type schema struct {
	Ref         string            `json:"$ref"`
	Type        oneOrMore         `json:"type"`
	Description string            `json:"description"`
	Required    []string          `json:"required"`
	Properties  ordered[schema]   `json:"properties"`
	Further     *schema           `json:"additionalProperties"`
	Items       *schema           `json:"items"`
	OneOf       []schema          `json:"oneOf"`
	Enum        []json.RawMessage `json:"enum"`
	Const       json.RawMessage   `json:"const"`
	Default     json.RawMessage   `json:"default"`
	Examples    []json.RawMessage `json:"examples"`
	Format      string            `json:"format"`
	Encoding    string            `json:"contentEncoding"`
	Pattern     string            `json:"pattern"`
	MinLength   *float64          `json:"minLength"`
	MaxLength   *float64          `json:"maxLength"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	MinItems    *float64          `json:"minItems"`
	MaxItems    *float64          `json:"maxItems"`
	Unique      bool              `json:"uniqueItems"`
	MinKeys     *float64          `json:"minProperties"`

	never bool // the schema false
}

// UnmarshalJSON reads an object, or true or false.
func (s *schema) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		return nil
	case "false":
		s.never = true
		return nil
	}
	type plain schema
	return strictly(b, (*plain)(s))
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

// UnmarshalJSON reads either.
func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*[]string)(o))
	}
	*o = make([]string, 1)
	return json.Unmarshal(b, &(*o)[0])
}

// ordered is an object whose keys keep their order.
type ordered[T any] []named[T]

type named[T any] struct {
	Name  string
	Value T
}

// UnmarshalJSON reads an object.
func (o *ordered[T]) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		item := named[T]{Name: fmt.Sprint(key)}
		if err := strictly(raw, &item.Value); err != nil {
			return fmt.Errorf("%s: %w", item.Name, err)
		}
		*o = append(*o, item)
	}
	return nil
}

func strictly(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// read reads the document and puts what references name in their place, but for
// schemas, which have names that people know.
func read(document []byte) (*description, error) {
	d := &description{}
	if err := strictly(document, d); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	for name, r := range d.Components.Responses {
		d.Components.Responses[name] = d.response(r)
	}
	for i := range d.Paths {
		item := &d.Paths[i].Value
		d.parameters(item.Parameters)
		for _, op := range []*operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			d.parameters(op.Parameters)
			if op.RequestBody != nil && op.RequestBody.Ref != "" {
				body := d.Components.RequestBodies[nameOf(op.RequestBody.Ref)]
				op.RequestBody = &body
			}
			for status, r := range op.Responses {
				op.Responses[status] = d.response(r)
			}
		}
	}
	return d, nil
}

func (d *description) parameters(list []parameter) {
	for i, p := range list {
		if p.Ref != "" {
			list[i] = d.Components.Parameters[nameOf(p.Ref)]
		}
	}
}

func (d *description) response(r response) response {
	if r.Ref != "" {
		r = d.Components.Responses[nameOf(r.Ref)]
	}
	for i, h := range r.Headers {
		if h.Value.Ref != "" {
			r.Headers[i].Value = d.Components.Headers[nameOf(h.Value.Ref)]
		}
	}
	return r
}

// nameOf returns the name of a component.
func nameOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
