package api

import (
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// File is one file of a version or draft.
type File struct {
	// URL is where a browser gets the file without a token. It is signed and
	// expires, by default after a day; files.url or public_url begin it.
	URL  string        `json:"url"`
	Size int64         `json:"size"`        // bytes
	Hash bundle.Hash20 `json:"hash_digest"` // BLAKE2b-160 of the bytes; zero if they are lost
}

// StagedFile is one file of a draft.
type StagedFile struct {
	File
	Modified bool `json:"modified"` // whether the draft sets it, be it to the same
}

// Dependency is the end of a link.
type Dependency struct {
	Bundle   bundle.ID     `json:"bundle_uuid"`
	Version  uint64        `json:"version"`
	Snapshot bundle.Hash20 `json:"snapshot_digest"`
}

// Link is a named dependency of a version.
type Link struct {
	Direct   Dependency   `json:"direct"`
	Indirect []Dependency `json:"indirect"` // all that Direct depends on
}

// StagedLink is a link of a draft.
type StagedLink struct {
	Link
	Modified bool `json:"modified"` // whether the draft sets it, be it to the same
}

// Version is one published state of a bundle.
type Version struct {
	Bundle            bundle.ID `json:"bundle_uuid"`
	Number            uint64    `json:"version_num"`
	ChangeDescription string    `json:"change_description"`
	Primary           string    `json:"primary"`   // the name of the instance that published it
	ReadOnly          bool      `json:"read_only"` // whether it is another's copy
	// Snapshot is the content, zero but in the answer of [Versions.Version].
	Snapshot Snapshot `json:"snapshot,omitzero"`
}

// Snapshot is the content of a version.
type Snapshot struct {
	Hash      bundle.Hash20   `json:"hash_digest"`
	CreatedAt time.Time       `json:"created_at"`
	Files     map[string]File `json:"files"` // by path
	Links     map[string]Link `json:"links"` // by name
}

// Draft is where a bundle is edited.
type Draft struct {
	ID     bundle.ID `json:"uuid"`
	Bundle bundle.ID `json:"bundle_uuid"`
	Name   string    `json:"name"`
	// Revision grows with each change; see [Patch].IfRevision. It is 0 in
	// lists.
	Revision uint64 `json:"revision,omitzero"`
	// Staged is what the draft shows, zero but in the answers of
	// [Drafts.Draft] and [Drafts.RebaseDraft].
	Staged Staged `json:"staged_draft,omitzero"`
}

// Staged is a draft's base with its changes.
type Staged struct {
	Base      *bundle.Hash20        `json:"base_snapshot"` // nil before the first version
	CreatedAt time.Time             `json:"created_at"`
	UpdatedAt time.Time             `json:"updated_at"` // moves with each change
	Files     map[string]StagedFile `json:"files"`      // by path
	Links     map[string]StagedLink `json:"links"`      // by name
}

// Patch is a set of changes to a draft.
type Patch struct {
	Files map[string]FileEdit // by path
	Links map[string]LinkEdit // by name
	// IfRevision, unless 0, is the revision that the draft must be at.
	IfRevision uint64
}

// FileEdit says what a path holds afterwards: nothing if Delete is set, else
// the blob that Stored names, else Content. The zero FileEdit is an empty file.
type FileEdit struct {
	Delete  bool
	Stored  bundle.Digest // of bytes that the instance has; see [Blobs]
	Content []byte        // better streamed by [Drafts.PutDraftFile] if it is large
}

// LinkEdit says where a link leads afterwards; nowhere if Delete is set. What
// leads back to the draft's own bundle is [bundle.KindInvalid].
type LinkEdit struct {
	Delete  bool
	Bundle  bundle.ID
	Version uint64
}

// Commit is what a version says about itself. Each text has at most 1000 code
// points.
type Commit struct {
	ChangeDescription string `json:"change_description,omitempty"`
	License           string `json:"license,omitempty"`
	Attribution       string `json:"attribution,omitempty"`
	// Redistribute says who may pass the version on: none, peers or any;
	// empty for what the instance's settings say.
	Redistribute string `json:"redistribute,omitempty"`
	// IfRevision, unless 0, is the revision that the draft must be at.
	IfRevision uint64 `json:"-"`
}

// Diff is what leads from one version of a bundle to another: files by path,
// links by name.
type Diff struct {
	Files Changes[ChangedFile] `json:"files"`
	Links Changes[ChangedLink] `json:"links"`
}

// Changes are the items of one kind that differ: what was added and what was
// changed as it is in the later version, what was deleted as it was.
type Changes[T any] struct {
	Added   []T `json:"added"`
	Changed []T `json:"changed"`
	Deleted []T `json:"deleted"`
}

// ChangedFile is one file of a [Diff].
type ChangedFile struct {
	Path string        `json:"path"`
	Size int64         `json:"size"`        // bytes
	Hash bundle.Hash20 `json:"hash_digest"` // BLAKE2b-160 of the bytes; zero if they are lost
}

// ChangedLink is one link of a [Diff].
type ChangedLink struct {
	Name string `json:"name"`
	Link
}

// Range is a stretch of a file. The zero Range is the whole file.
type Range struct {
	Offset int64 // bytes
	Length int64 // bytes, 0 for all that follows; more than there are is no error
}

// Check returns an error of [bundle.KindInvalid] if r is no stretch of anything.
func (r Range) Check() error {
	if r.Offset < 0 || r.Length < 0 {
		return bundle.Errorf(bundle.KindInvalid, "a range begins at an offset of 0 or more and has a length of 0 or more, not %d and %d", r.Offset, r.Length)
	}
	return nil
}

// NoSuchRange is the refusal of a range that begins at or beyond the end of a
// file.
func NoSuchRange(r Range) error {
	return bundle.Errorf(bundle.KindInvalid, "The file ends before offset %d: ask for a range that begins inside it.", r.Offset)
}

// ArchiveFormat is a kind of archive.
type ArchiveFormat string

// The formats of archives.
const (
	Tar ArchiveFormat = "tar"
	Zip ArchiveFormat = "zip"
)
