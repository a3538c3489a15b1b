package catalog

import (
	"github.com/blockstored/blockstored/bundle"
)

// Times in rows are µs since 1970 UTC.

// Instance is this instance's own row.
type Instance struct {
	ID         bundle.ID
	Name       string
	Descriptor []byte
	Generation uint64
	Created    int64
}

// Collection is one collection, own or copied.
type Collection struct {
	ID       bundle.ID
	Title    string
	Owner    bundle.Owner
	Created  int64
	Revision uint64 // grows with every change
	// Placeholder marks the collection of a linked copy whose own record was
	// not granted; its title is made up here.
	Placeholder bool
}

// Bundle is one bundle, own or copied.
type Bundle struct {
	ID, Collection           bundle.ID
	Slug, Title, Description string
	Owner                    bundle.Owner
	Created                  int64
	Revision                 uint64        // of the metadata; grows with every change
	Head                     uint64        // newest version visible here, 0 for none
	LastLeaf                 bundle.Digest // leaf hash of its newest record in its primary's log
	LastIndex                int64         // that record's index there
	State                    string        // own, copy, held, parked, withdrawn
	Reason                   string        // for held and parked
}

// Version is one published version.
type Version struct {
	bundle.VersionRef
	Manifest                                bundle.Digest
	Alias                                   bundle.Hash20 // as the API shows it, never zero
	Files, Bytes                            int64
	Created                                 int64
	ChangeDescription, License, Attribution string
	Redistribute                            string
	Record                                  int64 // index in its primary's log
}

// Draft is one draft of an own bundle.
type Draft struct {
	ID, Bundle       bundle.ID
	Name             string
	Base             uint64 // version number of the bundle, 0 for none
	Revision         uint64 // grows with every PATCH, commit and rebase
	Created, Updated int64
}

// OverlayFile is one visible operation of a draft's overlay.
type OverlayFile struct {
	FileOp
	Modified int64
}

// Token is an access token without its secret.
type Token struct {
	ID      bundle.ID
	Name    string
	Role    string
	Hash    bundle.Digest
	Created int64
	Expires int64 // 0 never
	Revoked int64 // 0 live
	Used    int64 // the beginning of the hour of its last use; 0 never
}

// Record is one leaf of this instance's log.
type Record struct {
	Index   int64
	Kind    uint8
	Subject bundle.ID
	Salt    [16]byte
	Body    []byte // nil once redacted
	Leaf    bundle.Digest
}

// SignedCheckpoint is the newest checkpoint of this instance's log.
type SignedCheckpoint struct {
	Note       []byte
	Generation uint64
	Size       int64
	Root       bundle.Digest
	Issued     int64
}

// Invite is an invitation that was not yet taken.
type Invite struct {
	ID      bundle.ID
	Name    string
	Created int64
	Expires int64
	Grants  []Selector
}

// Peer is another instance and how far we are with its log.
type Peer struct {
	ID         bundle.ID
	Name       string
	Descriptor []byte
	RootKey    []byte
	Addresses  []string
	Added      int64

	Grants        []Selector // what it may see of ours
	GrantRevision uint64     // of Grants

	Subscriptions []Selector // what we follow of it
	// SubscriptionRevision grows when Subscriptions change: Cursor is then 0.
	SubscriptionRevision uint64
	Cursor               int64  // records below it are taken in, parked or not ours
	SeenGrantRevision    uint64 // the peer's revision of its grants for us at Cursor

	// The last verified checkpoint of its log; Note empty before the first.
	Note       []byte
	Generation uint64
	Size       int64
	Root       bundle.Digest
	Issued     int64
	Verified   int64 // when it was stored here

	Alarms []Alarm
}

// Alarm is one standing alarm of a peer.
type Alarm struct {
	Alarm    string
	Detail   string
	Evidence []byte
	Raised   int64
}

// ParkedBundle is a bundle of a peer that was set aside.
type ParkedBundle struct {
	Peer, Bundle   bundle.ID
	Held           bool
	Reason, Detail string
	Index          int64
	Since, RetryAt int64
	Attempts       int64
}

// BundleFilter selects bundles; zero fields do not filter.
type BundleFilter struct {
	IDs        []bundle.ID // nil: all; empty and not nil: none
	Search     string      // substring of title, description or slug, any case
	Collection bundle.ID
	Owner      bundle.ID
}

// Page bounds a listing. Listings are in creation order, which no later change
// disturbs.
type Page struct {
	After uint64 // the Cursor of the last row seen; 0 from the start
	Limit int    // rows at most; 0 means 1000, larger than 10 000 is cut
}

// Paged is one row of a listing and the cursor to go on after it.
type Paged[T any] struct {
	Row    T
	Cursor uint64
}

// Each calls fn for every row of a listing, page by page, until one is an error.
func Each[T any](list func(Page) ([]Paged[T], error), fn func(T) error) error {
	for page := (Page{}); ; {
		rows, err := list(page)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := fn(r.Row); err != nil {
				return err
			}
			page.After = r.Cursor
		}
		if len(rows) < page.limit() {
			return nil
		}
	}
}

// Counts are the instance's totals for metrics and status. They are kept up to
// date by apply, so that reading them is O(1).
type Counts struct {
	Collections, Drafts, Versions, Records, Blobs int64
	// Bundles are the numbers of own, copy and withdrawn bundles, and of those
	// of peers that are parked and held. A copy that was set aside counts under
	// copy, too; what is set aside may also be no copy yet.
	Bundles map[string]int64
}
