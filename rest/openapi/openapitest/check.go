package openapitest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is a request and its answer.
type Exchange struct {
	Method, Path string // the path without its escapes
	RequestType  string // the Content-Type
	Sent         []byte
	Status       int
	Header       http.Header // of the answer
	Received     []byte
}

// general are the statuses that any path may answer, also to a method that it does
// not have, and where components describe them.
var general = map[int]string{
	http.StatusBadRequest:       "BadRequest",
	http.StatusUnauthorized:     "Unauthorized",
	http.StatusNotFound:         "NotFound",
	http.StatusMethodNotAllowed: "MethodNotAllowed",
	http.StatusNotAcceptable:    "NotAcceptable",
}

// everywhere are the headers that any answer may have.
var everywhere = []string{
	"Date", "Content-Type", "Content-Length", "Connection", "Vary", "Allow", "X-Frame-Options", "Content-Language",
	"X-Request-Id", "Blockstored-Index", "Blockstored-Stale", "Cache-Control", "X-Content-Type-Options",
	"Content-Security-Policy", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
}

// Answer returns an error unless the description has the answer: its status, each
// of its headers, its media type and, of JSON, the body.
func (d *Description) Answer(e Exchange) error {
	path, found := d.find(e.Path)
	if !found && e.Status != http.StatusNotFound {
		return fmt.Errorf("%s %s: the path is not described", e.Method, e.Path)
	}
	response := d.response(e.Method, path, e.Status)
	if response == nil {
		return fmt.Errorf("%s %s: status %d is not described", e.Method, path, e.Status)
	}
	if err := d.headers(response, e.Header); err != nil {
		return fmt.Errorf("%s %s: %d: %w", e.Method, path, e.Status, err)
	}
	if e.Method == http.MethodHead {
		return nil
	}
	if err := d.body(append(response, "content"), e.Header.Get("Content-Type"), e.Received); err != nil {
		return fmt.Errorf("%s %s: %d: %w", e.Method, path, e.Status, err)
	}
	return nil
}

// find returns the described path that a request's is one of.
func (d *Description) find(path string) (template string, found bool) {
	for _, p := range d.paths {
		if p.matches.MatchString(path) {
			return p.template, true
		}
	}
	return path, false
}

// operation returns where a method is described; HEAD is as GET.
func (d *Description) operation(method, path string) []string {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	keys := []string{"paths", path, strings.ToLower(method)}
	if op, _ := d.at(keys...); op == nil {
		return nil
	}
	return keys
}

// response returns where a status is described, nil for nowhere.
func (d *Description) response(method, path string, status int) []string {
	keys := d.operation(method, path)
	switch {
	case keys != nil:
		keys = append(keys, "responses", strconv.Itoa(status))
	case method == http.MethodOptions && status == http.StatusOK:
		keys = []string{"components", "responses", "Options"}
	case general[status] != "":
		keys = []string{"components", "responses", general[status]}
	}
	if found, _ := d.at(keys...); keys == nil || found == nil {
		return nil
	}
	return keys
}

// headers holds an answer's headers against those of a response.
func (d *Description) headers(response []string, got http.Header) error {
	described, _ := d.at(append(response, "headers")...)
	for name := range got {
		known := func(one string) bool { return strings.EqualFold(one, name) }
		if slices.ContainsFunc(everywhere, known) {
			continue
		}
		named := false
		for one := range described {
			named = named || known(one)
		}
		if !named {
			return fmt.Errorf("the header %s is not described", name)
		}
	}
	for name := range described {
		header, pointer := d.at(append(response, "headers", name)...)
		values := got.Values(name)
		if len(values) == 0 {
			if header["required"] == true {
				return fmt.Errorf("the header %s is missing", name)
			}
			continue
		}
		if err := d.validate(pointer+"/schema", strings.Join(values, ", ")); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	return nil
}

// body holds a body against the described media types under keys.
func (d *Description) body(keys []string, contentType string, body []byte) error {
	content, _ := d.at(keys...)
	if content == nil {
		if len(body) > 0 {
			return fmt.Errorf("a body is not described: %s", body)
		}
		return nil
	}
	media, params, _ := mime.ParseMediaType(contentType)
	if _, ok := content[media]; !ok {
		if _, ok := content["*/*"]; !ok {
			return fmt.Errorf("a body of type %q is not described", contentType)
		}
		return nil
	}
	described, pointer := d.at(append(keys, media)...)
	if described["schema"] == nil {
		return nil
	}
	var v any
	var err error
	switch media {
	case "application/json":
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(body))
	case "application/x-www-form-urlencoded":
		v, err = urlencoded(body)
	case "multipart/form-data":
		v, err = multiparted(body, params["boundary"])
	default:
		v = string(body)
	}
	if err != nil {
		return err
	}
	if err := d.validate(pointer+"/schema", v); err != nil {
		return fmt.Errorf("%w\n%s", err, body)
	}
	return nil
}

// Request returns an error unless the description has the body of a request that
// was accepted. It says nothing of those that were not, or to which a body means
// nothing.
func (d *Description) Request(e Exchange) error {
	path, _ := d.find(e.Path)
	op := d.operation(e.Method, path)
	if op == nil || e.Status >= 300 || len(e.Sent) == 0 || e.Method == http.MethodHead {
		return nil
	}
	keys := append(op, "requestBody")
	if described, _ := d.at(keys...); described == nil {
		return nil
	}
	if err := d.body(append(keys, "content"), e.RequestType, e.Sent); err != nil {
		return fmt.Errorf("%s %s: the request: %w", e.Method, path, err)
	}
	return nil
}

func urlencoded(body []byte) (any, error) {
	values, err := url.ParseQuery(string(body))
	object := make(map[string]any)
	for key := range values {
		object[key] = formValue(values[key][len(values[key])-1])
	}
	return object, err
}

func multiparted(body []byte, boundary string) (any, error) {
	object := make(map[string]any)
	for parts := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			return object, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		object[part.FormName()] = formValue(string(text))
	}
}

// formValue returns a form's text as what JSON would have: a number where it is
// one.
func formValue(text string) any {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return text
}
