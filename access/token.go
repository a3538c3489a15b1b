package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// TokenPrefix begins every access token, so that leaked ones are found by
// secret scanners.
const TokenPrefix = "bst_"

const tokenBytes = 32

// Role is what a token's bearer is to this instance.
type Role string

// The roles. The host application decides about its own users; these are for
// programs and operators.
const (
	RoleReader   Role = "reader"   // reads
	RoleWriter   Role = "writer"   // reads and writes content
	RoleOperator Role = "operator" // everything, the admin API included
)

// ParseRole reads the name of a role. The error is of [bundle.KindInvalid].
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case RoleReader, RoleWriter, RoleOperator:
		return r, nil
	}
	return "", bundle.Errorf(bundle.KindInvalid, "%q is not a role; the roles are reader, writer and operator", s)
}

// Action is what a request does, as far as roles are concerned.
type Action uint8

// The actions.
const (
	ActionRead    Action = iota // look at content
	ActionWrite                 // change content
	ActionOperate               // change the instance: tokens, peers, settings
)

// Allows reports whether a bearer of role r may do a. An unknown role may do
// nothing.
func (r Role) Allows(a Action) bool {
	switch r {
	case RoleReader:
		return a == ActionRead
	case RoleWriter:
		return a == ActionRead || a == ActionWrite
	case RoleOperator:
		return a <= ActionOperate
	}
	return false
}

// Allows reports whether a token of the named role may do a.
func Allows(role string, a Action) bool { return Role(role).Allows(a) }

// NewToken makes a token of 256 random bits and the hash to store in
// [catalog.CreateToken]. The token is shown once and cannot be found again.
func NewToken() (token string, hash bundle.Digest) {
	var b [tokenBytes]byte
	rand.Read(b[:]) // never fails: crypto/rand
	token = TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return token, HashToken(token)
}

// HashToken returns the hash under which a token is stored: its SHA-256. A
// token has 256 random bits, so nothing slower is needed.
func HashToken(token string) bundle.Digest { return bundle.DigestOf([]byte(token)) }

// Authenticate returns the live token of that text. An unknown, malformed,
// revoked or expired one is of [bundle.KindUnauthorized], with the text that
// the REST API promises; whoever probes learns nothing about which of these it
// was.
func Authenticate(ctx context.Context, db *catalog.DB, token string, now time.Time) (catalog.Token, error) {
	if !strings.HasPrefix(token, TokenPrefix) {
		return catalog.Token{}, errToken()
	}
	var t catalog.Token
	err := db.View(ctx, func(v *catalog.View) (err error) {
		t, err = v.TokenByHash(HashToken(token))
		return err
	})
	switch {
	case bundle.IsKind(err, bundle.KindNotFound):
		return catalog.Token{}, errToken()
	case err != nil:
		return catalog.Token{}, err
	case !Live(t, now):
		return catalog.Token{}, errToken()
	}
	return t, nil
}

// Live reports whether a token is neither revoked nor expired at now.
func Live(t catalog.Token, now time.Time) bool {
	return t.Revoked == 0 && (t.Expires == 0 || now.UnixMicro() < t.Expires)
}

func errToken() error { return bundle.Errorf(bundle.KindUnauthorized, "Invalid token.") }
