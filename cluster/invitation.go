package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// InvitationPrefix begins the token of an [Invitation].
	InvitationPrefix = "bsj1_"
	// InvitationLife is how long an invitation is good for if nobody says.
	InvitationLife = 30 * time.Minute

	invitationContext = "blockstored-join-v1\x00"
	maxInvitation     = 8 << 10 // bytes of token
	maxInviting       = 16      // addresses
)

// Invitation lets a node join an instance: it says whom to ask, how to know
// that it is them, and until when. Its token is
//
//	"bsj1_" base64url( HMAC-SHA256 | JSON )
//
// without padding. The HMAC is over "blockstored-join-v1", a zero byte and the
// JSON, under a key that only the instance's nodes have: each of them can check
// a token, and none has to remember it. Whoever holds the token can join until
// it expires.
type Invitation struct {
	Instance  bundle.ID     `json:"instance"`
	Expires   int64         `json:"expires"`   // Unix seconds
	Authority bundle.Digest `json:"authority"` // see [Authority.Fingerprint]
	Addresses []string      `json:"addresses"` // host:port of nodes, 1 to 16
}

// Token returns the invitation's token under the instance's key. An error has
// KindInvalid.
func (i Invitation) Token(key []byte) (string, error) {
	if err := i.check(); err != nil {
		return "", err
	}
	text, err := json.Marshal(i)
	if err != nil {
		return "", err
	}
	return InvitationPrefix + base64.RawURLEncoding.EncodeToString(append(invitationMAC(key, text), text...)), nil
}

// ParseInvitation reads a token without checking who made it, as a node does
// that is invited. An error has KindInvalid.
func ParseInvitation(token string) (Invitation, error) {
	i, _, err := parseInvitation(token)
	return i, err
}

// CheckInvitation reads a token that was brought to a node of instance. An error
// has KindForbidden if it was made by another, altered, or has expired, and
// KindInvalid if it is no token.
func CheckInvitation(token string, key []byte, instance bundle.ID, now time.Time) (Invitation, error) {
	i, raw, err := parseInvitation(token)
	switch {
	case err != nil:
		return i, err
	case i.Instance != instance:
		return i, bundle.Errorf(bundle.KindForbidden, "the join token is one of instance %s, and this is %s: ask a node of the right one for a token", i.Instance, instance)
	case !hmac.Equal(raw[:sha256.Size], invitationMAC(key, raw[sha256.Size:])):
		return i, bundle.Errorf(bundle.KindForbidden, "the join token was altered, or this instance never made it: make another with \"blockstored cluster invite\"")
	case !now.Before(time.Unix(i.Expires, 0)):
		return i, bundle.Errorf(bundle.KindForbidden, "the join token expired at %s: make another with \"blockstored cluster invite\"",
			time.Unix(i.Expires, 0).UTC().Format(time.RFC3339))
	}
	return i, nil
}

func parseInvitation(token string) (i Invitation, raw []byte, err error) {
	const hint = "what \"blockstored cluster invite\" prints on a running node begins with " + InvitationPrefix
	text, ok := strings.CutPrefix(strings.TrimSpace(token), InvitationPrefix)
	if !ok || len(text) > maxInvitation {
		return i, nil, bundle.Errorf(bundle.KindInvalid, "this is no join token: %s", hint)
	}
	raw, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil && len(raw) <= sha256.Size {
		err = bundle.Errorf(bundle.KindInvalid, "it is too short")
	}
	if err == nil {
		err = json.Unmarshal(raw[sha256.Size:], &i)
	}
	if err == nil {
		err = i.check()
	}
	if err != nil {
		return Invitation{}, nil, bundle.Errorf(bundle.KindInvalid, "the join token is cut short or damaged; copy all of it, %s: %w", hint, err)
	}
	return i, raw, nil
}

func (i Invitation) check() error {
	if i.Instance == (bundle.ID{}) || i.Authority.IsZero() || len(i.Addresses) == 0 || len(i.Addresses) > maxInviting {
		return bundle.Errorf(bundle.KindInvalid, "an invitation names an instance, its authority and 1 to %d addresses", maxInviting)
	}
	for _, a := range i.Addresses {
		if err := CheckAddress(a); err != nil {
			return err
		}
	}
	return nil
}

// CheckAddress refuses what other nodes cannot dial. An error has KindInvalid.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || port == "0" || len(address) > 255 {
		return bundle.Errorf(bundle.KindInvalid, "%q is no address of a node: write it like 10.0.0.1:18252", address)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return bundle.Errorf(bundle.KindInvalid, "%q is every address of a machine: name the one that the other nodes can reach", address)
	}
	return nil
}

func invitationMAC(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(invitationContext))
	mac.Write(text)
	return mac.Sum(nil)
}
