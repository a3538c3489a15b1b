package catalog

import (
	"github.com/blockstored/blockstored/bundle"
)

// Kind is a command's kind. Its number is in the cluster's log.
type Kind uint16

// The kinds, grouped by room. Numbers are never reused.
const (
	KindInitInstance     Kind = 1
	KindUpdateInstance   Kind = 2
	KindPutSecret        Kind = 3
	KindPurge            Kind = 4
	KindRaiseLevel       Kind = 5
	KindBeginGeneration  Kind = 6
	KindCreateCollection Kind = 10
	KindUpdateCollection Kind = 11
	KindDeleteCollection Kind = 12
	KindCreateBundle     Kind = 20
	KindUpdateBundle     Kind = 21
	KindDeleteBundle     Kind = 22
	KindCreateDraft      Kind = 30
	KindStagePatch       Kind = 31
	KindPatchDraft       Kind = 32
	KindDeleteDraft      Kind = 33
	KindRebaseDraft      Kind = 34
	KindForgetEdits      Kind = 35
	KindLocateBlobs      Kind = 40
	KindCommitVersion    Kind = 50
	KindDescribeVersion  Kind = 51
	KindCreateToken      Kind = 60
	KindRevokeToken      Kind = 61
	KindUseTokens        Kind = 62
	KindCheckpoint       Kind = 70
	KindCreateInvite     Kind = 80
	KindAcceptInvite     Kind = 81
	KindAddPeer          Kind = 82
	KindUpdatePeer       Kind = 83
	KindRemovePeer       Kind = 84
	KindSetGrants        Kind = 85
	KindSubscribe        Kind = 86
	KindUnsubscribe      Kind = 87
	KindIntake           Kind = 90
	KindPark             Kind = 91
	KindUnpark           Kind = 92
	KindRaiseAlarm       Kind = 93
	KindClearAlarms      Kind = 94
)

// Body is a command's content; each kind has one.
type Body interface{ CommandKind() Kind }

// RequestID makes a command idempotent: for 24 hours a repeated id gets the
// first result and changes nothing.
type RequestID [16]byte

// Command is the envelope every change of the catalog travels in.
type Command struct {
	Request RequestID
	Time    int64    // the proposer's clock, µs since 1970 UTC
	Seed    [32]byte // the proposer's randomness; salts of appended records derive from it
	// Term, if not 0, is the term in which the proposer decided this as the
	// leader. In an entry of another term the command is refused with
	// KindConflict, Fields reason=deposed. Of level 2.
	Term uint64
	Body Body
}

// InitInstance makes the instance: its permanent id, keys and first generation.
// Refused with KindConflict if it exists.
type InitInstance struct {
	Instance   bundle.ID
	Name       string
	Descriptor []byte            // signed, see publog
	Generation uint64            // 1 for a new instance
	Secrets    map[string][]byte // sealed, see access
}

// UpdateInstance replaces the descriptor (display name, endpoints, keys).
type UpdateInstance struct {
	Name       string
	Descriptor []byte
}

// PutSecret stores or replaces one sealed secret.
type PutSecret struct {
	Name   string
	Sealed []byte
}

// Purge removes at most Limit rows that no query can see any more: results of
// requests older than 24 h before the command's time, overlays of committed
// patches, contents of deleted objects. It gives up what was staged and not
// touched for 24 h before that time. Result.Number is the rows removed.
type Purge struct{ Limit int }

// RaiseLevel puts a level in force, so that commands of it may be proposed. It
// never lowers one: Result.Number is the level in force then. Only a leader
// proposes it, once every node of the cluster has said that it understands
// Level; a node that does not stops. Of level 2.
type RaiseLevel struct{ Level uint64 }

// BeginGeneration begins a later generation of the instance, after it was
// recovered, and appends the record that says so. Number must be higher than
// the present one (KindConflict otherwise). Of level 2.
type BeginGeneration struct {
	Number uint64
	Reason string // for people, in the record
}

// CreateCollection appends a collection record to the log.
type CreateCollection struct {
	ID    bundle.ID
	Title string
}

// UpdateCollection changes a collection of this instance.
type UpdateCollection struct {
	ID    bundle.ID
	Title string
}

// DeleteCollection withdraws a collection and, with it, its bundles.
type DeleteCollection struct{ ID bundle.ID }

// CreateBundle makes a bundle in one of this instance's collections.
type CreateBundle struct {
	ID, Collection           bundle.ID
	Slug, Title, Description string
}

// UpdateBundle changes what is not nil. IfRevision, when not 0, must be the
// bundle's metadata revision (KindPrecondition otherwise).
type UpdateBundle struct {
	ID                       bundle.ID
	Collection               *bundle.ID
	Slug, Title, Description *string
	IfRevision               uint64
}

// DeleteBundle withdraws a bundle.
type DeleteBundle struct{ ID bundle.ID }

// CreateDraft makes a draft based on the bundle's newest version. A second
// draft of the same name in the bundle is KindInvalid with Fields
// reason=unique.
type CreateDraft struct {
	ID, Bundle bundle.ID
	Name       string
}

// FileOp sets (Digest and Size) or deletes (Delete) one path in a draft's
// overlay.
type FileOp struct {
	Path   string
	Delete bool
	Digest bundle.Digest
	Size   int64
}

// LinkOp sets or deletes one link in a draft's overlay. The proposer has
// composed Indirect from the target's manifest, which never changes; apply
// checks that the target version exists and has that snapshot digest, and that
// Indirect holds no version of the draft's own bundle ("Link cycle detected:
// Cannot create draft.", KindInvalid).
type LinkOp struct {
	Delete bool
	bundle.Link
}

// StagePatch adds operations to a patch too big for one command. They become
// visible with the PatchDraft that names Patch, together or not at all. A patch
// to which nothing was added for 24 h may be given up; its id then is refused
// with KindConflict.
type StagePatch struct {
	Draft, Patch bundle.ID
	Files        []FileOp
	Blobs        []bundle.Located
}

// PatchDraft applies operations, and those staged under Patch if it is not
// zero, to a draft's overlay: all of them or none. Blobs are those of Files
// that may be new here. A FileOp whose digest is neither located in the catalog
// nor in Blobs is refused with KindBlobGone.
type PatchDraft struct {
	Draft, Patch bundle.ID
	Files        []FileOp
	Links        []LinkOp
	Blobs        []bundle.Located
	IfRevision   uint64 // 0: any
}

// DeleteDraft forgets a draft and its overlay. IfRevision, when not 0, must be
// the draft's revision (KindPrecondition otherwise); it is of level 2.
type DeleteDraft struct {
	ID         bundle.ID
	IfRevision uint64
}

// RebaseDraft moves a draft's base to version Base. The proposer has checked
// that overlay and newer versions do not conflict. Refused with KindConflict if
// the draft's revision or the bundle's newest version moved.
type RebaseDraft struct {
	ID       bundle.ID
	Revision uint64
	Base     uint64
}

// ForgetEdits takes operations out of a draft's overlay, so that its base shows
// at those paths and link names again. What the overlay lacks is passed by.
// Refused with KindPrecondition if the draft's revision moved.
type ForgetEdits struct {
	Draft    bundle.ID
	Revision uint64
	Files    []string // paths
	Links    []string // names
}

// LocateBlobs records where blobs lie: bulk uploads and pulls commit their
// packs with it, one by one.
type LocateBlobs struct{ Blobs []bundle.Located }

// Snapshot is what apply must know of a version's content without reading it.
type Snapshot struct {
	Manifest bundle.Digest
	Alias    bundle.Hash20 // zero: bundle.SnapshotAlias(Manifest)
	Files    int64         // number of files
	Bytes    int64         // sum of their sizes
	// Deps are the bundle versions its links reach, direct ones first.
	Deps []Dep
}

// Dep is one reached version of another bundle.
type Dep struct {
	bundle.VersionRef
	Direct bool
}

// CommitVersion publishes a draft as version ExpectedHead+1 and appends the
// version's record in the same transaction. Refused with KindConflict, Fields
// reason=head or reason=revision, if the bundle's newest version is not
// ExpectedHead or the draft's revision is not Revision: the proposer looks
// again, rebases, and proposes again. KindBlobGone if the manifest is not
// located. The draft's overlay is emptied and its base is the new version.
type CommitVersion struct {
	Draft        bundle.ID
	Revision     uint64
	ExpectedHead uint64
	Snapshot     Snapshot
	Blobs        []bundle.Located // new manifest pages

	ChangeDescription, License, Attribution string
	Redistribute                            string // "", none, peers, any
}

// DescribeVersion changes a version's change description here. The record in
// the log keeps what was published.
type DescribeVersion struct {
	bundle.VersionRef
	ChangeDescription string
}

// CreateToken stores the hash of an access token; the token itself is never
// kept.
type CreateToken struct {
	ID      bundle.ID
	Name    string // unique among live tokens
	Role    string // writer, reader, operator
	Hash    bundle.Digest
	Expires int64 // µs since 1970 UTC, 0 never
}

// RevokeToken ends a token by name.
type RevokeToken struct{ Name string }

// UseTokens notes that tokens were used. Of a token's uses only the hour of the
// last one is kept; a token that is not known is passed over.
type UseTokens struct{ Uses []TokenUse }

// TokenUse says that a token was used at a time.
type TokenUse struct {
	Token bundle.ID
	At    int64 // µs since 1970 UTC
}

// MaxTokenUses is how many uses one UseTokens holds at most; one of more is
// refused with KindTooLarge.
const MaxTokenUses = 1000

// Checkpoint stores a signed checkpoint of this instance's log. Apply
// recomputes the root from the records and refuses (KindConflict) a wrong one,
// a smaller size, another generation or an older Issued.
type Checkpoint struct {
	Note       []byte
	Generation uint64
	Size       int64
	Root       bundle.Digest
	Issued     int64 // µs since 1970 UTC
}

// Selector names bundles: all of an instance, of one collection, or one.
type Selector struct {
	Scope  string    // all, collection, bundle
	Target bundle.ID // zero for all
}

// CreateInvite stores a one-shot invitation and the grants its taker will get.
type CreateInvite struct {
	ID         bundle.ID
	Name       string // the name the peer will have here
	SecretHash bundle.Digest
	Expires    int64 // µs, by this instance's clock
	Grants     []Selector
}

// AcceptInvite consumes an invitation: the peer is added, or found, and
// granted. KindForbidden if the secret is unknown, used, or expired at the
// command's time. Repeating it with the same peer is the same success.
type AcceptInvite struct {
	SecretHash bundle.Digest
	Peer       bundle.ID
	Descriptor []byte // the peer's, verified by the proposer
	RootKey    []byte // Ed25519 public key, pinned
}

// AddPeer pins a peer on the inviting token's word and subscribes to it.
type AddPeer struct {
	Peer       bundle.ID
	Name       string
	Descriptor []byte
	RootKey    []byte
	Addresses  []string
	Subscribe  []Selector
}

// UpdatePeer replaces a peer's descriptor by a newer one of the same root key.
type UpdatePeer struct {
	Peer       bundle.ID
	Descriptor []byte
	Addresses  []string
}

// RemovePeer ends the relation. Copies stay and are served on.
type RemovePeer struct{ Peer bundle.ID }

// SetGrants replaces what a peer may see and raises its grant revision.
type SetGrants struct {
	Peer   bundle.ID
	Grants []Selector
}

// Subscribe adds a selector to what is followed of a peer; the next pull looks
// at the log from its start for what the selector adds.
type Subscribe struct {
	Peer     bundle.ID
	Selector Selector
}

// Unsubscribe removes a selector. Copies stay.
type Unsubscribe struct {
	Peer     bundle.ID
	Selector Selector
}

// Intake makes verified records of a peer visible and moves the cursor, in one
// step. Items are in log order. An item that this instance's own state forbids
// (its bundle is owned elsewhere with an equal or higher epoch, its chain does
// not continue what is here) parks or holds its bundle alone, with the reason,
// and the others take effect.
type Intake struct {
	Peer bundle.ID
	// Note is the verified checkpoint the items were proven against; empty if
	// unchanged.
	Note       []byte
	Generation uint64
	Size       int64
	Root       bundle.Digest
	Issued     int64
	// ExpectCursor must be the peer's cursor (KindConflict otherwise), so that
	// a deposed leader's intake changes nothing. Cursor replaces it.
	ExpectCursor, Cursor int64
	// GrantRevision is what the peer said its grants for us are at.
	GrantRevision uint64
	Items         []IntakeItem
	Blobs         []bundle.Located
}

// IntakeItem is one verified record.
type IntakeItem struct {
	Index    int64         // in the peer's log
	Leaf     bundle.Digest // its leaf hash, to which the bundle's next record must chain
	Body     []byte        // the record, see publog
	Snapshot *Snapshot     // for a version: its content, all of it stored here and verified
	// Linked marks a record that came as another version's dependency, outside
	// the subscription: chain gaps are allowed, since only that version was
	// granted.
	Linked bool
}

// Park sets a bundle of a peer aside: parked (a fault, retried from Index) or
// held (policy or a question for the operator). The cursor passes it by.
type Park struct {
	Peer, Bundle bundle.ID
	Held         bool
	Reason       string // a short name, such as missing_dependency
	Detail       string // for people
	Index        int64  // first record of the bundle not taken in
	RetryAt      int64  // µs; 0 for held
}

// Unpark forgets that a bundle was set aside, after its records were taken in.
type Unpark struct{ Peer, Bundle bundle.ID }

// RaiseAlarm records that a peer's log lied and stops intake from it.
type RaiseAlarm struct {
	Peer     bundle.ID
	Alarm    string // a name of publog.Alarm
	Detail   string
	Evidence []byte // what proves it, at most 64 KiB
}

// ClearAlarms ends a peer's alarms (all of them when Alarm is "").
type ClearAlarms struct {
	Peer  bundle.ID
	Alarm string
}
