package rest

import (
	"net/http"
	"net/url"
	"strings"
)

// mounted returns the path below which the host's mux has this API, as in
// "/blocks": what http.StripPrefix took from the path that was asked for.
func mounted(r *http.Request) string {
	asked, _, _ := strings.Cut(r.RequestURI, "?")
	prefix, ok := strings.CutSuffix(asked, r.URL.EscapedPath())
	if !ok {
		return ""
	}
	u, err := url.Parse(prefix) // with a scheme and a host where the client sent them
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// root returns the path that everything of this API is below, as the client sees
// it.
func (x *exchange) root() string {
	if x.cfg.PublicURL == "" {
		return mounted(x.r)
	}
	u, err := url.Parse(x.cfg.PublicURL)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}
