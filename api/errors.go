package api

import (
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

// ConflictError is the refusal of a commit or rebase, of [bundle.KindConflict]:
// the draft and the bundle's newest version changed the same. The draft is as it
// was: look at the newest version, and patch what collides or delete it from the
// draft. Find it by [errors.As].
type ConflictError struct {
	Conflicts []Conflict // files by path, then links by name
	Err       *bundle.Error
}

// Conflict is one path or link that both sides changed.
type Conflict struct {
	Path string `json:"path,omitempty"` // of a file, or
	Link string `json:"link,omitempty"` // name of a link
	Kind string `json:"kind"`           // changed, deleted (by one, changed by the other) or file_and_folder
}

// String returns the conflict for people, in a few words.
func (c Conflict) String() string {
	what := c.Path
	if c.Link != "" {
		what = "link " + c.Link
	}
	return what + " (" + strings.ReplaceAll(c.Kind, "_", " ") + ")"
}

// NewConflictError returns the refusal with that text for people.
func NewConflictError(text string, conflicts []Conflict) *ConflictError {
	return &ConflictError{Conflicts: conflicts, Err: bundle.Errorf(bundle.KindConflict, "%s", text)}
}

// Error says how many paths and links collide and names the first.
func (e *ConflictError) Error() string { return e.Err.Error() }

// Unwrap returns the *bundle.Error that carries the kind.
func (e *ConflictError) Unwrap() error { return e.Err }
