package rest

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// patch is what a body does to a draft.
type patch struct {
	primary.Patch
	sizes []int64 // claimed of each of Files that was stored before, -1 if not
}

// parsePatch reads a PATCH. Problems come one at a time, the first that stands
// in the body.
func parsePatch(b body) (p patch, err error) {
	if b.json == nil { // a form cannot say it
		for _, key := range []string{"files", "links"} {
			if v := b.form[key]; v.kind != isMissing {
				return p, refuseList("'" + key + "' must be an object; send the patch as application/json")
			}
		}
		return p, nil
	}
	if err := noObject(b.json); err != nil {
		return p, err
	}
	var files, links json.RawMessage
	err = members(b.json, func(key string, raw json.RawMessage) error {
		switch key {
		case "files":
			files = raw
		case "links":
			links = raw
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	if err := p.readFiles(files); err != nil {
		return p, err
	}
	p.Links, err = parseLinks(links)
	return p, err
}

// readFiles reads {path: base64 | null | {"digest", "size"}}.
func (p *patch) readFiles(raw json.RawMessage) error {
	if err := wantObject("files", raw); err != nil || raw == nil {
		return err
	}
	return members(raw, func(path string, raw json.RawMessage) error {
		if len(p.Files) == primary.MaxPatchFiles {
			return bundle.Errorf(bundle.KindTooLarge, "One PATCH changes at most %d files: send several.", primary.MaxPatchFiles)
		}
		e, size, err := parseFile(path, raw)
		p.Files, p.sizes = append(p.Files, e), append(p.sizes, size)
		return err
	})
}

// sized returns the blobs whose sizes were claimed.
func (p *patch) sized() (ds []bundle.Digest) {
	for i, e := range p.Files {
		if p.sizes[i] >= 0 {
			ds = append(ds, e.Stored)
		}
	}
	return ds
}

// checkSizes holds the sizes that were claimed against those of the blobs that
// are here.
func (p *patch) checkSizes(v *catalog.View, ds []bundle.Digest) error {
	blobs, err := v.Blobs(ds)
	if err != nil {
		return err
	}
	for i, e := range p.Files {
		if b, here := blobs[e.Stored]; here && p.sizes[i] >= 0 && b.Size != p.sizes[i] {
			return refuseList(fmt.Sprintf("File %s: the content %s has %d bytes, not %d", e.Path, e.Stored, b.Size, p.sizes[i]))
		}
	}
	return nil
}

func parseFile(path string, raw json.RawMessage) (e primary.FileEdit, size int64, err error) {
	e, size = primary.FileEdit{Path: path}, -1
	v := valueOf(raw)
	if v.kind == isNull {
		e.Delete = true
		return e, size, nil
	}
	if err := bundle.CheckPath(path); err != nil {
		return e, size, asList(err)
	}
	switch {
	case v.kind == isString:
		content, problem := decodeBase64(v.text)
		if problem != "" {
			return e, size, refuseList("Error decoding file " + path + ": " + problem + " (check if it's base64 encoded?)")
		}
		e.Content = content
		return e, size, nil
	case raw[0] == '{':
		var stored struct {
			Digest bundle.Digest `json:"digest"`
			Size   *int64        `json:"size"`
		}
		if json.Unmarshal(raw, &stored) != nil || stored.Digest.IsZero() {
			return e, size, refuseList("File " + path + ": a file stored before is named by {\"digest\": SHA-256 in hexadecimal, \"size\": bytes}")
		}
		e.Stored = stored.Digest
		if stored.Size != nil {
			size = max(*stored.Size, 0)
		}
		return e, size, nil
	}
	return e, size, refuseList("Error decoding file " + path + ": its content must be a string (check if it's base64 encoded?)")
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
