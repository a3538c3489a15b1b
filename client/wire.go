package client

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// What the API writes otherwise than the values of package api say it. All other
// values are decoded as they are.

// wireBundle has URLs where an [api.Bundle] has names and numbers.
type wireBundle struct {
	api.Bundle
	Drafts   map[string]string `json:"drafts"`
	Versions []string          `json:"versions"`
}

// value returns the bundle; one whose URLs cannot be read is an error.
func (w wireBundle) value() (api.Bundle, error) {
	b := w.Bundle
	b.Drafts = make(map[string]bundle.ID, len(w.Drafts))
	for name, url := range w.Drafts {
		id, err := bundle.ParseID(url[strings.LastIndexByte(url, '/')+1:])
		if err != nil {
			return b, bundle.Errorf(bundle.KindOther, "%q is not the URL of a draft", url)
		}
		b.Drafts[name] = id
	}
	b.Versions = make([]uint64, len(w.Versions))
	for i, url := range w.Versions {
		n, err := numberOf(url)
		if err != nil {
			return b, err
		}
		b.Versions[i] = n
	}
	return b, nil
}

// numberOf returns the number at the end of a version's URL.
func numberOf(url string) (uint64, error) {
	n, err := strconv.ParseUint(url[strings.LastIndexByte(url, ',')+1:], 10, 64)
	if err != nil {
		return 0, bundle.Errorf(bundle.KindOther, "%q is not the URL of a version", url)
	}
	return n, nil
}

// revisionOf returns the revision that an answer's entity tag names, 0 if none.
func revisionOf(h http.Header) uint64 {
	n, _ := strconv.ParseUint(strings.Trim(h.Get("ETag"), `"`), 10, 64)
	return n
}

// ifMatch returns the header that wants a revision, none for 0.
func ifMatch(revision uint64) map[string]string {
	if revision == 0 {
		return nil
	}
	return map[string]string{"If-Match": `"` + strconv.FormatUint(revision, 10) + `"`}
}

// wirePatch is an [api.Patch]; null deletes.
type wirePatch struct {
	Files map[string]any `json:"files,omitempty"`
	Links map[string]any `json:"links,omitempty"`
}

func wireOf(p api.Patch) wirePatch {
	w := wirePatch{Files: make(map[string]any, len(p.Files)), Links: make(map[string]any, len(p.Links))}
	for path, f := range p.Files {
		switch {
		case f.Delete:
			w.Files[path] = nil
		case !f.Stored.IsZero():
			w.Files[path] = map[string]bundle.Digest{"digest": f.Stored}
		case f.Content == nil:
			w.Files[path] = ""
		default:
			w.Files[path] = f.Content // in base64
		}
	}
	for name, l := range p.Links {
		w.Links[name] = nil
		if !l.Delete {
			w.Links[name] = struct {
				Bundle  bundle.ID `json:"bundle_uuid"`
				Version uint64    `json:"version"`
			}{l.Bundle, l.Version}
		}
	}
	return w
}
