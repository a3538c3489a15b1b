package rest

import (
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/primary"
)

// FileURLs makes the signed URLs of files as answers show them, for a host in
// the same process. They begin with files.url, else with public_url, else with
// http://localhost, as in answers over a unix socket.
type FileURLs struct {
	base   string
	signer *access.URLSigner
	now    time.Time
}

// FileURLs returns the URLs of files as they are now.
func (a *API) FileURLs() FileURLs {
	base := "http://localhost"
	switch {
	case a.cfg.FilesURL != "":
		base = a.cfg.FilesURL
	case a.cfg.PublicURL != "":
		base = a.cfg.PublicURL
	}
	return FileURLs{base, a.cfg.URLSigner, a.cfg.Now()}
}

// Committed returns the URL of a file of a version of bundle b.
func (u FileURLs) Committed(b bundle.ID, f primary.FileInfo) string {
	dir, signed := committedPath(b, f.Digest, f.Path)
	return u.url(dir, signed, f.Path)
}

// Staged returns the URL of a file that is staged in a draft.
func (u FileURLs) Staged(draft bundle.ID, f primary.FileInfo) string {
	dir, signed := stagedPath(draft, f.Path)
	return u.url(dir, signed, f.Path)
}

func (u FileURLs) url(dir, signed, path string) string {
	return u.base + dir + escapePath(path) + "?" + u.signer.Sign(signed, u.now)
}
