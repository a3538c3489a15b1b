package primarytest

import (
	"fmt"

	"github.com/blockstored/blockstored/bundle"
)

// Store is a client of the store under test. A changing call has a key: repeated
// with it, it has no second effect and gets the first answer. What a store
// refuses is a *[Refusal]; any other error fails the test.
type Store interface {
	CreateBundle() (bundle.ID, error)
	DeleteBundle(key string, b bundle.ID) error
	CreateDraft(key string, b bundle.ID, name string) (bundle.ID, error)
	Patch(key string, draft bundle.ID, edits Content) error
	Commit(key string, draft bundle.ID) (version int, err error)
	Rebase(key string, draft bundle.ID) error
	DeleteDraft(key string, draft bundle.ID) error

	// Head returns the number of a bundle's newest version, 0 for none.
	Head(b bundle.ID) (int, error)
	// Version returns what a version holds, with the bytes of its files.
	Version(b bundle.ID, number int) (Shown, error)
	// Draft returns what a draft shows, with the bytes of its files.
	Draft(id bundle.ID) (Shown, error)
}

// Reason is why a store refuses a call.
type Reason string

// The reasons.
const (
	NotFound  Reason = "not found"
	Invalid   Reason = "invalid"
	NoChanges Reason = "no changes"
	Conflicts Reason = "conflicts"
)

// Refusal is the error of a call that was refused.
type Refusal struct {
	Reason    Reason
	Conflicts []Conflict // with that reason
	Text      string     // what the store said
}

// Error says why.
func (r *Refusal) Error() string { return fmt.Sprintf("%s %v: %s", r.Reason, r.Conflicts, r.Text) }

// Shown is what a store shows of a version or a draft.
type Shown struct {
	Files    map[string]string // texts by path
	Links    map[string][]Ref  // by name: where it leads, then all it depends on in order
	Modified map[string]bool   // paths and link names, of a draft
}

// Ref names a version.
type Ref struct {
	Bundle bundle.ID
	Number int
}
