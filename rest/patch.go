package rest

import (
	"encoding/json"
	"strconv"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/primary"
)

// maxPatchFiles bounds the files of one PATCH.
const maxPatchFiles = 100_000

// parseFiles reads {path: base64 | null | {"digest", "size"}}.
func parseFiles(raw json.RawMessage) (edits []primary.FileEdit, err error) {
	if err := wantObject("files", raw); err != nil || raw == nil {
		return nil, err
	}
	err = members(raw, func(path string, raw json.RawMessage) error {
		if len(edits) == maxPatchFiles {
			return bundle.Errorf(bundle.KindTooLarge, "One PATCH changes at most %d files: send several.", maxPatchFiles)
		}
		e, err := parseFile(path, raw)
		edits = append(edits, e)
		return err
	})
	return edits, err
}

func parseFile(path string, raw json.RawMessage) (primary.FileEdit, error) {
	e := primary.FileEdit{Path: path}
	v := valueOf(raw)
	if v.kind == isNull {
		e.Delete = true
		return e, nil
	}
	if err := bundle.CheckPath(path); err != nil {
		return e, asList(err)
	}
	switch {
	case v.kind == isString:
		content, problem := decodeBase64(v.text)
		if problem != "" {
			return e, refuseList("Error decoding file " + path + ": " + problem + " (check if it's base64 encoded?)")
		}
		e.Content = content
		return e, nil
	case raw[0] == '{':
		var stored struct {
			Digest bundle.Digest `json:"digest"`
			Size   *int64        `json:"size"`
		}
		if json.Unmarshal(raw, &stored) != nil || stored.Digest.IsZero() {
			return e, refuseList("File " + path + ": a file stored before is named by {\"digest\": SHA-256 in hexadecimal, \"size\": bytes}")
		}
		e.Stored = stored.Digest
		return e, nil
	}
	return e, refuseList("Error decoding file " + path + ": its content must be a string (check if it's base64 encoded?)")
}

// parseLinks reads {name: {"bundle_uuid", "version"} | null}.
func parseLinks(raw json.RawMessage) (edits []primary.LinkEdit, err error) {
	if err := wantObject("links", raw); err != nil || raw == nil {
		return nil, err
	}
	err = members(raw, func(name string, raw json.RawMessage) error {
		e, err := parseLink(name, raw)
		edits = append(edits, e)
		return err
	})
	return edits, err
}

func parseLink(name string, raw json.RawMessage) (primary.LinkEdit, error) {
	e := primary.LinkEdit{Name: name}
	if raw[0] == 'n' {
		e.Delete = true
		return e, nil
	}
	if raw[0] != '{' {
		return e, refuseList("Link " + name + " must be null or an object of 'bundle_uuid' and 'version'.")
	}
	in, err := body{json: raw}.object()
	if err != nil {
		return e, err
	}
	target, version := in["bundle_uuid"], in["version"]
	switch {
	case target.kind == isMissing:
		return e, refuseList("Link " + name + " has no 'bundle_uuid' specified.")
	case version.kind == isMissing:
		return e, refuseList("Link " + name + " has no 'version' specified.")
	}
	if e.Version, err = strconv.ParseInt(version.text, 10, 64); err != nil || version.kind != isNumber {
		return e, refuseList("Link " + name + ": " + version.python() + " must be an integer.")
	}
	id, ok := looseID(target.text)
	if !ok || target.kind != isString {
		return e, refuseList("Link " + name + ": " + target.python() + " is not a valid UUID.")
	}
	e.Bundle = id
	return e, nil
}

// python returns a value as the original's messages show it.
func (v value) python() string {
	switch {
	case v.kind == isNull:
		return "None"
	case v.kind == isOther && v.text == "true":
		return "True"
	case v.kind == isOther && v.text == "false":
		return "False"
	}
	return v.text
}

// wantObject refuses what is neither absent nor an object.
func wantObject(key string, raw json.RawMessage) error {
	if raw == nil || raw[0] == '{' {
		return nil
	}
	return refuseList("'" + key + "' must be an object.")
}
