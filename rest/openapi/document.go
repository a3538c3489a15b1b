package openapi

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed document/*.yaml
var parts embed.FS

// JSON returns the description as JSON, with its keys in the order in which they
// are written. It reads all of the parts, so whoever serves it keeps it.
func JSON() ([]byte, error) {
	names, err := fs.Glob(parts, "document/*.yaml")
	if err != nil {
		return nil, err
	}
	var whole yaml.MapSlice
	for _, name := range names {
		b, err := parts.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var part yaml.MapSlice
		if err := yaml.UnmarshalWithOptions(b, &part, yaml.UseOrderedMap()); err != nil {
			return nil, fmt.Errorf("openapi: %s: %w", name, err)
		}
		if whole, err = join(whole, part); err != nil {
			return nil, fmt.Errorf("openapi: %s: %w", name, err)
		}
	}
	return encode(nil, whole)
}

// forParts begins keys at the top of a part that hold what the part repeats by
// YAML's aliases. They are no keys of the document.
const forParts = "x-"

// join adds the keys of a part to the whole. Objects that both have are joined; a
// value may come from one part only.
func join(whole, part yaml.MapSlice) (yaml.MapSlice, error) {
	for _, item := range part {
		key, _ := item.Key.(string)
		if strings.HasPrefix(key, forParts) {
			continue
		}
		at := index(whole, key)
		if at < 0 {
			whole = append(whole, item)
			continue
		}
		old, isObject := whole[at].Value.(yaml.MapSlice)
		more, both := item.Value.(yaml.MapSlice)
		if !isObject || !both {
			return nil, fmt.Errorf("%s is there already", key)
		}
		joined, err := join(old, more)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		whole[at].Value = joined
	}
	return whole, nil
}

func index(object yaml.MapSlice, key string) int {
	for i, item := range object {
		if item.Key == key {
			return i
		}
	}
	return -1
}

// encode appends a value as JSON.
func encode(b []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case yaml.MapSlice:
		b = append(b, '{')
		for i, item := range v {
			key, ok := item.Key.(string)
			if !ok {
				return nil, fmt.Errorf("openapi: the key %v is no text: quote it", item.Key)
			}
			if index(v[i+1:], key) >= 0 { // it came by << and is given again
				continue
			}
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			if b, err = encode(b, key); err != nil {
				return nil, err
			}
			if b, err = encode(append(b, ':'), item.Value); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = encode(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...), nil
}
