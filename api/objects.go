package api

import (
	"github.com/blockstored/blockstored/bundle"
)

// Collection is a set of bundles.
type Collection struct {
	ID       bundle.ID `json:"uuid"`
	Title    string    `json:"title"`
	Primary  string    `json:"primary"`   // the name of the instance that may write it
	ReadOnly bool      `json:"read_only"` // whether it is another's copy
}

// Bundle is a set of files with versions.
type Bundle struct {
	ID          bundle.ID            `json:"uuid"`
	Collection  bundle.ID            `json:"collection_uuid"`
	Title       string               `json:"title"`
	Slug        string               `json:"slug"`
	Description string               `json:"description"`
	Drafts      map[string]bundle.ID `json:"drafts"`    // by name; copies have none
	Versions    []uint64             `json:"versions"`  // ascending; those of a copy may have gaps
	Primary     string               `json:"primary"`   // the name of the instance that may write it
	ReadOnly    bool                 `json:"read_only"` // whether it is another's copy
	// Revision grows with each change of the metadata; see
	// [BundleChange].IfRevision. It is 0 in lists.
	Revision uint64 `json:"revision,omitzero"`
}

// Newest returns the number of the newest version, 0 if there is none.
func (b Bundle) Newest() uint64 {
	if len(b.Versions) == 0 {
		return 0
	}
	return b.Versions[len(b.Versions)-1]
}

// NewBundle is what a bundle is made from. White space around texts is removed.
type NewBundle struct {
	Collection  bundle.ID // an own one
	Title       string    // 1 to 180 code points
	Slug        string    // 1 to 50 letters, digits, _ and -; need not be unique
	Description string    // at most 10 000 code points
}

// BundleChange changes what is not nil. Another collection moves the bundle.
type BundleChange struct {
	Collection               *bundle.ID
	Title, Slug, Description *string
	// IfRevision, unless 0, is the revision that the bundle must be at.
	IfRevision uint64
}

// MaxFilterIDs is how many bundles a filter names at most; more are
// [bundle.KindInvalid].
const MaxFilterIDs = 10_000

// BundleFilter selects bundles; its zero value selects all.
type BundleFilter struct {
	IDs        []bundle.ID // nil: all; empty and not nil: none; at most [MaxFilterIDs]
	Collection bundle.ID
	// Text must be in title, description or slug, in any case, once white
	// space around it is removed.
	Text string
}

// Fork says what a fork becomes. Title and Slug are as the origin's if they are
// empty, and so is Description if it is nil.
type Fork struct {
	Version     uint64 // of the origin; 0 for the newest
	Collection  bundle.ID
	Title, Slug string
	Description *string
}

// Borrower is a version whose links reach a version of another bundle.
type Borrower struct {
	Bundle  bundle.ID `json:"bundle_uuid"`
	Version uint64    `json:"version"`
	Target  uint64    `json:"target_version"` // which version of the other bundle
	Direct  bool      `json:"direct"`         // by a link of its own; else through what it links to
}

// VersionFilter selects versions; its zero value selects all.
type VersionFilter struct {
	Bundle, Collection bundle.ID
}
