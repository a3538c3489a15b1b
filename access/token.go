package access

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// TokenPrefix begins every access token made here, so that leaked ones are found
// by secret scanners.
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

// NewToken makes a token of 256 random bits and the hash to store in
// [catalog.CreateToken]. The token is shown once and cannot be found again.
func NewToken() (token string, hash bundle.Digest) {
	var b [tokenBytes]byte
	rand.Read(b[:]) // never fails: crypto/rand
	token = TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return token, HashToken(token)
}

// HashToken returns the hash under which a token is stored: its SHA-256. A
// token of ours has 256 random bits, so nothing slower is needed; of one that was
// brought along, [CheckKey] asks for as many characters as a random one needs.
func HashToken(token string) bundle.Digest { return bundle.DigestOf([]byte(token)) }

// The length of a key that is brought along, in characters.
const (
	minKey = 32
	maxKey = 200
)

// CheckKey refuses ([bundle.KindInvalid]) what cannot be the text of a token
// made elsewhere: fewer than 32 characters, which are too easily guessed, more
// than 200, blanks, and what an Authorization header cannot carry. The error
// does not repeat the key.
func CheckKey(key string) error {
	if len(key) < minKey || len(key) > maxKey {
		return bundle.Errorf(bundle.KindInvalid, "Give a key of %d to %d characters; this one has %d.", minKey, maxKey, len(key))
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return bundle.Errorf(bundle.KindInvalid, "Give a key of printable ASCII characters without blanks.")
		}
	}
	return nil
}

const (
	maxTokenName   = 100
	maxTokenExpiry = 1e9 * time.Second
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Name      string        // 1 to 100 bytes but . and .., unique among live tokens
	Role      string        // the name of a [Role]
	ExpiresIn time.Duration // 0: never
	Key       string        // a key that exists already; "": a new one is made
}

// Prepare returns the command that makes the token and the token itself, which
// is Key if there is one. The error is of [bundle.KindInvalid]; its Fields say
// what is wrong, by the names of the admin API: name, role, expires_in, token.
func (r TokenRequest) Prepare(now time.Time) (catalog.CreateToken, string, error) {
	wrong := map[string]string{}
	switch {
	case r.Name == "" || len(r.Name) > maxTokenName:
		wrong["name"] = "Give a name of 1 to 100 bytes."
	case r.Name == "." || r.Name == "..": // no URL can name it, and so nobody revoke it
		wrong["name"] = "Give a name that is not . or .."
	}
	if _, err := ParseRole(r.Role); err != nil {
		wrong["role"] = err.Error()
	}
	if r.ExpiresIn < 0 || r.ExpiresIn > maxTokenExpiry {
		wrong["expires_in"] = "Give seconds from now, or 0 for a token that does not expire."
	}
	if r.Key != "" {
		if err := CheckKey(r.Key); err != nil {
			wrong["token"] = err.Error()
		}
	}
	if len(wrong) > 0 {
		err := bundle.Errorf(bundle.KindInvalid, "%s", joinFields(wrong))
		err.Fields = wrong
		return catalog.CreateToken{}, "", err
	}
	body := catalog.CreateToken{ID: bundle.NewID(), Name: r.Name, Role: r.Role}
	if r.ExpiresIn > 0 {
		body.Expires = now.Add(r.ExpiresIn).UnixMicro()
	}
	token := r.Key
	if token == "" {
		token, body.Hash = NewToken()
	} else {
		body.Hash = HashToken(token)
	}
	return body, token, nil
}

func joinFields(fields map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, name+": "+fields[name])
	}
	return strings.Join(parts, "; ")
}

// Live reports whether a token is neither revoked nor expired at now.
func Live(t catalog.Token, now time.Time) bool { return State(t, now) == StateLive }

// The states of a token.
const (
	StateLive    = "live"
	StateExpired = "expired"
	StateRevoked = "revoked"
)

// State returns what a token is at now.
func State(t catalog.Token, now time.Time) string {
	switch {
	case t.Revoked != 0:
		return StateRevoked
	case t.Expires != 0 && now.UnixMicro() >= t.Expires:
		return StateExpired
	}
	return StateLive
}

func errToken() error { return bundle.Errorf(bundle.KindUnauthorized, "Invalid token.") }
