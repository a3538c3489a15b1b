package bundle

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Kind says what a caller can do about an error. It maps to an HTTP status and
// survives the wire by its name, so a client matches kinds, never texts.
type Kind uint8

// The kinds. KindOther is an unexpected failure inside this program.
const (
	KindOther        Kind = iota // 500: a fault; retrying may help, the log says more
	KindInvalid                  // 400: the request is wrong and changes nothing
	KindUnauthorized             // 401: no valid credentials
	KindForbidden                // 403: valid credentials that may not do this
	KindReadOnly                 // 403: a copy; write at its primary
	KindNotFound                 // 404: no such thing
	KindConflict                 // 409: the thing moved on or collides; look and retry
	KindGone                     // 410: was here, withdrawn
	KindPrecondition             // 412: If-Match did not hold
	KindTooLarge                 // 413: over a stated limit
	KindBlobGone                 // 409: a referenced blob is not located; store it again
	KindTakenDown                // 451: removed for legal reasons
	KindRateLimited              // 429: slow down
	KindUnavailable              // 503: no leader, behind, shutting down; retry later
	KindNoSpace                  // 507: storage is below min_free
	KindCorrupt                  // 500: bytes do not match their digest
)

var kinds = [...]struct {
	name   string
	status int
}{
	KindOther:        {"internal", http.StatusInternalServerError},
	KindInvalid:      {"invalid", http.StatusBadRequest},
	KindUnauthorized: {"unauthorized", http.StatusUnauthorized},
	KindForbidden:    {"forbidden", http.StatusForbidden},
	KindReadOnly:     {"read_only", http.StatusForbidden},
	KindNotFound:     {"not_found", http.StatusNotFound},
	KindConflict:     {"conflict", http.StatusConflict},
	KindGone:         {"gone", http.StatusGone},
	KindPrecondition: {"precondition", http.StatusPreconditionFailed},
	KindTooLarge:     {"too_large", http.StatusRequestEntityTooLarge},
	KindBlobGone:     {"blob_gone", http.StatusConflict},
	KindTakenDown:    {"taken_down", http.StatusUnavailableForLegalReasons},
	KindRateLimited:  {"rate_limited", http.StatusTooManyRequests},
	KindUnavailable:  {"unavailable", http.StatusServiceUnavailable},
	KindNoSpace:      {"no_space", http.StatusInsufficientStorage},
	KindCorrupt:      {"corrupt", http.StatusInternalServerError},
}

// String returns the kind's name on the wire.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k].name
	}
	return kinds[KindOther].name
}

// HTTPStatus returns the status code the kind maps to.
func (k Kind) HTTPStatus() int {
	if int(k) < len(kinds) {
		return kinds[k].status
	}
	return http.StatusInternalServerError
}

// ParseKind returns the kind of that name, KindOther for an unknown one.
func ParseKind(name string) Kind {
	for k, e := range kinds {
		if e.name == name {
			return Kind(k)
		}
	}
	return KindOther
}

// Error is an error with a kind. Its message tells a person what to do next.
type Error struct {
	Kind    Kind
	Message string            // for people; never empty
	Fields  map[string]string // machine-readable detail that survives the wire; may be nil
	Err     error             // the cause; may be nil
}

// Errorf returns an *Error of kind k. A %w operand becomes its cause.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Message: err.Error(), Err: errors.Unwrap(err)}
}

// With returns a copy of e that carries the field key=value.
func (e *Error) With(key, value string) *Error {
	c := *e
	c.Fields = map[string]string{key: value}
	for k, v := range e.Fields {
		if k != key {
			c.Fields[k] = v
		}
	}
	return &c
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Brief returns the message without what it says at its end of a cause that is
// no *Error: such a text, of the system or of a library, may name what is nobody
// else's business, like paths on this machine.
func (e *Error) Brief() string {
	if e.Err == nil {
		return e.Message
	}
	said, ok := strings.CutSuffix(e.Message, ": "+e.Err.Error())
	if !ok || said == "" {
		return e.Message
	}
	if cause, ok := errors.AsType[*Error](e.Err); ok {
		return said + ": " + cause.Brief()
	}
	return said
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, KindOther if
// there is none (context errors included).
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindOther
}

// IsKind reports whether err carries kind k.
func IsKind(err error, k Kind) bool { return err != nil && KindOf(err) == k }
