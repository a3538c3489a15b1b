package main

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/blockstored/blockstored/bundle"
)

// decodeYAML sets the keys that a configuration file gives. It is strict: an
// unknown key, a key given twice, a key without a value and a value of another
// shape are errors that name the line.
func (k *keySet) decodeYAML(raw []byte) error {
	d := yamlDecoder{keys: k, seen: map[string]bool{}}
	return d.decode(raw)
}

// yamlDecoder walks the nodes of one file.
type yamlDecoder struct {
	keys *keySet
	seen map[string]bool // paths that came already
}

func (d *yamlDecoder) decode(raw []byte) error {
	file, err := parser.ParseBytes(raw, 0)
	if err != nil {
		return bundle.Errorf(bundle.KindInvalid, "not YAML: %w", err)
	}
	if len(file.Docs) > 1 {
		return bundle.Errorf(bundle.KindInvalid, "holds several documents; give one")
	}
	for _, doc := range file.Docs {
		if isEmpty(doc.Body) {
			continue
		}
		if err := d.group("", doc.Body); err != nil {
			return err
		}
	}
	return nil
}

func isEmpty(n ast.Node) bool {
	if n == nil {
		return true
	}
	switch n.Type() {
	case ast.NullType, ast.CommentType:
		return true
	}
	return false
}

// line prefixes an error with where it is.
func line(n ast.Node, format string, args ...any) error {
	at := 0
	if t := n.GetToken(); t != nil && t.Position != nil {
		at = t.Position.Line
	}
	return bundle.Errorf(bundle.KindInvalid, "line %d: "+format, append([]any{at}, args...)...)
}

// group decodes the keys below prefix, which is empty or ends in a dot.
func (d *yamlDecoder) group(prefix string, n ast.Node) error {
	var entries []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		return line(n, "keys are expected here, one a line, like listen: 127.0.0.1:18250")
	}
	for _, e := range entries {
		key, ok := e.Key.(*ast.StringNode)
		if !ok {
			return line(e.Key, "%s is not the name of a key", e.Key.String())
		}
		if err := d.entry(prefix+key.Value, e); err != nil {
			return err
		}
	}
	return nil
}

func (d *yamlDecoder) entry(path string, e *ast.MappingValueNode) error {
	if d.seen[path] {
		return line(e.Key, "%s is given twice", path)
	}
	d.seen[path] = true
	if d.keys.groups[path] {
		if isEmpty(e.Value) {
			return nil
		}
		return d.group(path+".", e.Value)
	}
	if err := d.checkSecret(path); err != nil {
		return line(e.Key, "%w", err)
	}
	if _, known := d.keys.values[path]; !known && secretOf(path) == "" {
		return line(e.Key, "%w", d.keys.unknown(path))
	}
	var err error
	if list, ok := e.Value.(*ast.SequenceNode); ok {
		err = d.list(path, list)
	} else if text, ok := scalar(e.Value); ok {
		err = d.keys.set(path, text)
	} else {
		err = bundle.Errorf(bundle.KindInvalid, `%s has no plain value; for the empty one write ""`, path)
	}
	if err != nil {
		return line(e.Key, "%w", err)
	}
	return nil
}

// checkSecret refuses a secret that is given itself and as a file.
func (d *yamlDecoder) checkSecret(path string) error {
	other := secretOf(path)
	if other == "" && slices.Contains(secretKeys, path) {
		other = path + fileSuffix
	}
	if other != "" && d.seen[other] {
		return bundle.Errorf(bundle.KindInvalid, "give %s or %s, not both", path, other)
	}
	return nil
}

func (d *yamlDecoder) list(path string, n *ast.SequenceNode) error {
	items := make([]string, 0, len(n.Values))
	for _, v := range n.Values {
		text, ok := scalar(v)
		if !ok {
			return bundle.Errorf(bundle.KindInvalid, "%s: each item is one plain value", path)
		}
		items = append(items, text)
	}
	if len(items) == 0 {
		items = nil
	}
	return d.keys.setList(path, items)
}

// scalar returns the text of a plain value as it stands in the file.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}
