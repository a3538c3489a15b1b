package client

import (
	"strconv"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Collection is a set of bundles.
type Collection struct {
	UUID     bundle.ID `json:"uuid"`
	Title    string    `json:"title"`
	URL      string    `json:"url"`
	Primary  string    `json:"primary"`   // the name of the instance that may write it
	ReadOnly bool      `json:"read_only"` // whether it is another's copy
}

// Bundle is a set of files with versions.
type Bundle struct {
	UUID           bundle.ID         `json:"uuid"`
	CollectionUUID bundle.ID         `json:"collection_uuid"`
	Title          string            `json:"title"`
	Slug           string            `json:"slug"`
	Description    string            `json:"description"`
	URL            string            `json:"url"`
	Drafts         map[string]string `json:"drafts"`    // name to URL
	Versions       []string          `json:"versions"`  // URLs, ascending
	Primary        string            `json:"primary"`   // the name of the instance that may write it
	ReadOnly       bool              `json:"read_only"` // whether it is another's copy
}

// Newest returns the number of the newest version, 0 if there is none.
func (b Bundle) Newest() uint64 {
	if len(b.Versions) == 0 {
		return 0
	}
	return versionOf(b.Versions[len(b.Versions)-1])
}

// versionOf returns the number at the end of a version's URL, 0 if it has none.
func versionOf(url string) uint64 {
	n, _ := strconv.ParseUint(url[strings.LastIndexByte(url, ',')+1:], 10, 64)
	return n
}

// NewBundle is what a bundle is made from.
type NewBundle struct {
	CollectionUUID bundle.ID `json:"collection_uuid"`
	Title          string    `json:"title"` // 1 to 180 code points
	Slug           string    `json:"slug"`  // 1 to 50 letters, digits, _ and -
	Description    string    `json:"description"`
}

// BundleFilter selects bundles; its zero value selects all.
type BundleFilter struct {
	Collection bundle.ID
	Text       string // in title, description or slug
}

// File is one file of a version or draft as the API shows it.
type File struct {
	URL  string        `json:"url"`         // signed: may be fetched without a token until it expires
	Size int64         `json:"size"`        // bytes
	Hash bundle.Hash20 `json:"hash_digest"` // BLAKE2b-160 of the bytes
}

// StagedFile is one file of a draft.
type StagedFile struct {
	File
	Modified bool `json:"modified"` // whether the draft has it in its overlay
}

// Dependency is the end of a link.
type Dependency struct {
	Bundle   bundle.ID     `json:"bundle_uuid"`
	Version  uint64        `json:"version"`
	Snapshot bundle.Hash20 `json:"snapshot_digest"`
}

// Link is a named dependency of a version or draft.
type Link struct {
	Direct   Dependency   `json:"direct"`
	Indirect []Dependency `json:"indirect"`
	Modified bool         `json:"modified"` // of a draft: whether it is in its overlay
}

// Snapshot is the content of a version.
type Snapshot struct {
	Hash      bundle.Hash20   `json:"hash_digest"`
	CreatedAt time.Time       `json:"created_at"`
	Files     map[string]File `json:"files"`
	Links     map[string]Link `json:"links"`
}

// Version is one published state of a bundle.
type Version struct {
	Bundle            bundle.ID `json:"bundle_uuid"`
	Number            uint64    `json:"version_num"`
	ChangeDescription string    `json:"change_description"`
	URL               string    `json:"url"`
	Primary           string    `json:"primary"`
	ReadOnly          bool      `json:"read_only"`
	Snapshot          Snapshot  `json:"snapshot"` // only in the answer of [Client.Version]
}

// Draft is where a bundle is edited.
type Draft struct {
	UUID       bundle.ID   `json:"uuid"`
	Bundle     bundle.ID   `json:"bundle_uuid"`
	Name       string      `json:"name"`
	URL        string      `json:"url"`
	Primary    string      `json:"primary"`
	ReadOnly   bool        `json:"read_only"`
	StagedView StagedDraft `json:"staged_draft"` // only in the answer of [Client.Draft]
}

// StagedDraft is a draft's base with its changes.
type StagedDraft struct {
	Base      *bundle.Hash20        `json:"base_snapshot"` // nil before the first version
	CreatedAt time.Time             `json:"created_at"`
	UpdatedAt time.Time             `json:"updated_at"`
	Files     map[string]StagedFile `json:"files"`
	Links     map[string]Link       `json:"links"`
}

// Stored names the content that a path shall have by a blob the instance has.
type Stored struct {
	Digest bundle.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// LinkTarget is what a link shall lead to.
type LinkTarget struct {
	Bundle  bundle.ID `json:"bundle_uuid"`
	Version uint64    `json:"version"`
}

// Patch changes a draft, as a whole or not at all. A nil value deletes.
type Patch struct {
	Files map[string]*Stored     `json:"files,omitempty"`
	Links map[string]*LinkTarget `json:"links,omitempty"`
}

// Commit says what stands in the record of a version.
type Commit struct {
	ChangeDescription string `json:"change_description,omitempty"`
	License           string `json:"license,omitempty"`
	Attribution       string `json:"attribution,omitempty"`
	Redistribute      string `json:"redistribute,omitempty"` // none, peers or any
}
