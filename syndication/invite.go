package syndication

import (
	"encoding/base64"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// InvitePrefix begins every invitation.
const InvitePrefix = "bsp1_"

const (
	inviteSecret   = 32
	maxInvite      = 8 << 10
	maxAddresses   = 16
	maxAddress     = 512
	pinFragment    = "sha256=" // of an address: the digest of the server's public key
	pinnedKeyBytes = 32
)

// invitation is what a token says: who invites, where that instance is to be
// found, and the secret that proves that the bearer was invited.
type invitation struct {
	Issuer      bundle.ID
	Fingerprint bundle.Digest // of the issuer's root key
	Addresses   []string
	Secret      [inviteSecret]byte
	Expires     time.Time // by the issuer's clock, to the second
}

type invitationWire struct {
	Issuer      []byte   `cbor:"1,keyasint"`
	Fingerprint []byte   `cbor:"2,keyasint"`
	Addresses   []string `cbor:"3,keyasint"`
	Secret      []byte   `cbor:"4,keyasint"`
	Expires     int64    `cbor:"5,keyasint"`
}

// secretHash is what the issuer keeps of the secret.
func (i invitation) secretHash() bundle.Digest { return bundle.DigestOf(i.Secret[:]) }

// token returns the invitation as it is handed over.
func (i invitation) token() (string, error) {
	b, err := encoding.Marshal(invitationWire{
		Issuer: i.Issuer[:], Fingerprint: i.Fingerprint[:], Addresses: i.Addresses, Secret: i.Secret[:], Expires: i.Expires.Unix(),
	})
	if err != nil {
		return "", bundle.Errorf(bundle.KindInvalid, "encode the invitation: %w", err)
	}
	return InvitePrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// parseInvitation reads a token, which may be surrounded by white space.
func parseInvitation(token string) (i invitation, err error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(token), InvitePrefix)
	if !ok || len(text) > maxInvite {
		return i, errInvitation()
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return i, errInvitation()
	}
	var w invitationWire
	if err := decoding.Unmarshal(b, &w); err != nil {
		return i, errInvitation()
	}
	if fixed(i.Issuer[:], w.Issuer) != nil || fixed(i.Fingerprint[:], w.Fingerprint) != nil || fixed(i.Secret[:], w.Secret) != nil ||
		len(w.Addresses) == 0 || len(w.Addresses) > maxAddresses {
		return i, errInvitation()
	}
	for _, a := range w.Addresses {
		if _, err := parseAddress(a); err != nil {
			return i, err
		}
	}
	i.Addresses, i.Expires = w.Addresses, time.Unix(w.Expires, 0).UTC()
	return i, nil
}

func errInvitation() error {
	return bundle.Errorf(bundle.KindInvalid,
		"this is not an invitation: it begins with %s and must be copied whole, as `peer invite` printed it", InvitePrefix)
}

// address is one way to reach an instance.
type address struct {
	url *url.URL // scheme, host and path without a slash at its end
	pin []byte   // SHA-256 of the TLS key's SubjectPublicKeyInfo; nil: WebPKI
}

// parseAddress reads the URL of a peer listener. An https one may carry, as its
// fragment, the pin of the server's key: #sha256= and 32 bytes in base64url.
func parseAddress(s string) (address, error) {
	bad := func(why string) (address, error) {
		return address{}, bundle.Errorf(bundle.KindInvalid, "%q is no address of a peer: %s", s, why)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > maxAddress:
		return bad("it must be a URL such as https://blocks.example.org")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("it must begin with https:// or http://")
	case u.Hostname() == "":
		return bad("it names no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery:
		return bad("it must not hold a user or a query")
	}
	a := address{url: u}
	if u.Fragment != "" {
		encoded, ok := strings.CutPrefix(u.Fragment, pinFragment)
		if a.pin, err = base64.RawURLEncoding.Strict().DecodeString(encoded); !ok || err != nil || len(a.pin) != pinnedKeyBytes {
			return bad("what follows # must be sha256= and the SHA-256 of the server's public key in base64url")
		}
		if u.Scheme != "https" {
			return bad("only https can have a pinned key")
		}
	}
	u.Fragment, u.RawFragment = "", ""
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
	return a, nil
}

// loopback reports whether the address leads to this machine only.
func (a address) loopback() bool {
	host := a.url.Hostname()
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// allowed refuses plain http beyond this machine.
func (a address) allowed(insecure bool) error {
	if a.url.Scheme == "https" || insecure || a.loopback() {
		return nil
	}
	return bundle.Errorf(bundle.KindForbidden,
		"%s is plain http: use https, or set peer.allow_insecure if the network between the two sites is trusted", a.url)
}

// String returns the URL without the pin.
func (a address) String() string { return a.url.String() }

// isUnspecified reports whether the host is one that nobody can connect to from
// elsewhere, such as 0.0.0.0.
func (a address) isUnspecified() bool {
	ip := net.ParseIP(a.url.Hostname())
	return ip != nil && ip.IsUnspecified()
}
