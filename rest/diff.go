package rest

import (
	"net/http"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/primary"
)

// diffVersions says what leads from one version of a bundle to another.
func diffVersions(x *exchange) error {
	to, ok := versionNumber(x.r.PathValue("to"))
	if !ok {
		return notFound()
	}
	d, err := x.cfg.Primary.Diff(x.r.Context(), x.id, x.number, to)
	if err != nil {
		return err
	}
	b := appendChanges(appendKey([]byte("{"), "files"), d.Files, appendFile)
	b = appendChanges(appendKey(b, "links"), d.Links, appendNamedLink)
	return x.json(http.StatusOK, append(b, '}'))
}

// appendChanges appends {"added", "changed", "deleted"}, each an array.
func appendChanges[T any](b []byte, c primary.Changes[T], item func([]byte, T) []byte) []byte {
	b = append(b, '{')
	for _, group := range []struct {
		name  string
		items []T
	}{{"added", c.Added}, {"changed", c.Changed}, {"deleted", c.Deleted}} {
		b = append(appendKey(b, group.name), '[')
		for i, one := range group.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = item(b, one)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendFile(b []byte, f primary.FileInfo) []byte {
	b = appendText(append(b, '{'), "path", f.Path)
	b = appendInt(appendKey(b, "size"), f.Size)
	return append(appendHash(b, f.Hash), '}')
}

func appendNamedLink(b []byte, l bundle.Link) []byte {
	return append(appendLinkTo(appendText(append(b, '{'), "name", l.Name), l), '}')
}
