package rest

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

// base returns what absolute URLs begin with: public_url, else what the request
// was sent to and the path below which the API is mounted.
func (x *exchange) base() string {
	if x.cfg.PublicURL != "" {
		return x.cfg.PublicURL
	}
	if addr, ok := x.r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addr.Network() == "unix" {
		return "http://localhost" + mounted(x.r)
	}
	scheme, host := x.asked()
	return scheme + "://" + host + mounted(x.r)
}

// asked returns the scheme and the host that the client asked, as far as it is
// known.
func (x *exchange) asked() (scheme, host string) {
	scheme, host = "http", x.r.Host
	if x.r.TLS != nil {
		scheme = "https"
	}
	if x.fromTrustedProxy() {
		if p := lastOf(x.r.Header.Get("X-Forwarded-Proto")); p == "http" || p == "https" {
			scheme = p
		}
		if h := lastOf(x.r.Header.Get("X-Forwarded-Host")); h != "" {
			host = h
		}
	}
	return scheme, host
}

func (x *exchange) fromTrustedProxy() bool {
	if len(x.cfg.TrustedProxies) == 0 {
		return false
	}
	from, err := netip.ParseAddrPort(x.r.RemoteAddr)
	if err != nil {
		return false
	}
	for _, p := range x.cfg.TrustedProxies {
		if p.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// lastOf returns the last element of a list in a header: the nearest proxy's.
func lastOf(list string) string {
	return strings.ToLower(strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:]))
}

// links are the URLs of objects.
type links struct{ base string }

func (l links) collection(id bundle.ID) string {
	return l.base + "/api/v1/collections/" + id.String()
}

func (l links) bundle(id bundle.ID) string { return l.base + "/api/v1/bundles/" + id.String() }

func (l links) draft(id bundle.ID) string { return l.base + "/api/v1/drafts/" + id.String() }

func (l links) version(ref bundle.VersionRef) string {
	return l.base + "/api/v1/bundle_versions/" + ref.Bundle.String() + "," + strconv.FormatUint(ref.Number, 10)
}

// The paths of files, as they are signed: unescaped. Those of committed files
// have the content's digest between folder and path.

func committedFolder(b bundle.ID) string { return "/files/" + b.String() + "/" }

func stagedFolder(draft bundle.ID) string { return "/files/drafts/" + draft.String() + "/" }

func committedPath(b bundle.ID, d bundle.Digest, path string) (dir string, signed string) {
	dir = committedFolder(b) + d.String() + "/"
	return dir, dir + path
}

func stagedPath(draft bundle.ID, path string) (dir string, signed string) {
	dir = stagedFolder(draft)
	return dir, dir + path
}
