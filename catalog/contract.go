package catalog

import (
	"github.com/blockstored/blockstored/bundle"
)

// Entry is one committed entry of the cluster's log.
type Entry struct {
	Index, Term uint64 // Term is that of the leader that appended it
	Data        []byte // an encoded Command
}

// Result is the outcome of one command. A refusal is a result like any other:
// every node computes the same one, and a repeated request id gets it again.
type Result struct {
	Index uint64        // of the entry that was applied first for this request
	Err   *bundle.Error // the refusal; nil if the command took effect
	// Number is the version made by CommitVersion, or the log index of the
	// first record appended by other commands that append one.
	Number uint64
	// Time is the stored time of the effect, in µs since 1970 UTC.
	Time int64
	// Revision is the draft's revision after PatchDraft, CommitVersion or
	// RebaseDraft.
	Revision uint64
	// ID is the object made or found (peer of AcceptInvite, and so on).
	ID bundle.ID
}

// MaxCommand is the largest encoded command in bytes. Proposers split what
// would be larger.
const MaxCommand = 512 << 10
