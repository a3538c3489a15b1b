package catalog

import (
	"fmt"
	"maps"
	"slices"

	"github.com/blockstored/blockstored/bundle"
)

// shapeResult describes a stored result.
func shapeResult(c *codec, r *Result) {
	c.array(6)
	c.uint(&r.Index)
	optional(c, &r.Err, shapeError)
	c.uint(&r.Number)
	c.int(&r.Time)
	c.uint(&r.Revision)
	c.id(&r.ID)
}

func shapeError(c *codec, e *bundle.Error) {
	name := e.Kind.String()
	c.array(3)
	c.text(&name)
	c.text(&e.Message)
	e.Kind = bundle.ParseKind(name)
	type pair struct{ key, value string }
	var pairs []pair
	for _, key := range slices.Sorted(maps.Keys(e.Fields)) {
		pairs = append(pairs, pair{key, e.Fields[key]})
	}
	list(c, &pairs, func(c *codec, p *pair) {
		c.array(2)
		c.text(&p.key)
		c.text(&p.value)
	})
	if !c.writing && len(pairs) > 0 {
		e.Fields = make(map[string]string, len(pairs))
		for _, p := range pairs {
			e.Fields[p.key] = p.value
		}
	}
}

// resultOf returns the stored result of a request.
func resultOf(s *session, id RequestID) (r Result, ok bool, err error) {
	var b []byte
	ok, err = s.get(`SELECT result FROM requests WHERE request = ?`, []any{id[:]}, &b)
	if !ok || err != nil {
		return Result{}, false, err
	}
	err = unpack(b, &r, shapeResult)
	return r, err == nil, err
}

func storeResult(s *session, id RequestID, r *Result) error {
	b, err := pack(r, shapeResult)
	if err != nil {
		return err
	}
	return s.run(`INSERT INTO requests (time, request, result) VALUES (?, ?, ?)`, r.Time, id[:], b)
}

// pack encodes a value that is stored in a column.
func pack[T any](v *T, item func(*codec, *T)) ([]byte, error) {
	c := &codec{writing: true}
	item(c, v)
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("catalog: a %T that cannot be encoded: it %w", *v, err)
	}
	return c.buf, nil
}

// unpack reads a column that pack wrote.
func unpack[T any](b []byte, v *T, item func(*codec, *T)) error {
	c := &codec{buf: b}
	item(c, v)
	if err := c.finish(); err != nil {
		return fmt.Errorf("catalog: a stored %T is damaged: it %w", *v, err)
	}
	return nil
}

func shapeSelectors(c *codec, v *[]Selector) { list(c, v, shapeSelector) }
func shapeTexts(c *codec, v *[]string)       { list(c, v, (*codec).text) }
