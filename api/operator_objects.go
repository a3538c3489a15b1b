package api

import (
	"encoding/json"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Selector is what a grant or a subscription covers.
type Selector struct {
	Scope  string    // all, collection or bundle
	Target bundle.ID // zero for all
}

// selectorJSON is a Selector on the wire, where all has no target.
type selectorJSON struct {
	Scope  string `json:"scope"`
	Target string `json:"target,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (s Selector) MarshalJSON() ([]byte, error) {
	out := selectorJSON{Scope: s.Scope}
	if s.Target != (bundle.ID{}) {
		out.Target = s.Target.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Selector) UnmarshalJSON(b []byte) (err error) {
	var in selectorJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = Selector{Scope: in.Scope}
	if in.Target != "" {
		s.Target, err = bundle.ParseID(in.Target)
	}
	return err
}

// String returns the selector as the command line takes it.
func (s Selector) String() string {
	if s.Target == (bundle.ID{}) {
		return s.Scope
	}
	return s.Scope + "=" + s.Target.String()
}

// Token is what is known of a token; the token itself is shown once, when it
// is made.
type Token struct {
	Name       string     `json:"name"`
	Role       string     `json:"role"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"` // the beginning of that hour; nil: never seen
	State      string     `json:"state"`        // live, expired or revoked
}

// NewToken is a token that was just made.
type NewToken struct {
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Token     string     `json:"token,omitempty"` // the secret; it cannot be shown again
	ExpiresAt *time.Time `json:"expires_at"`
}

// Invitation is a one-shot token for another site.
type Invitation struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	Warnings  []string  `json:"warnings"` // for the operator
}

// Invite is an invitation that nobody took yet. Its token is not kept.
type Invite struct {
	ID        bundle.ID  `json:"id"`
	Name      string     `json:"name"` // the peer's name here
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	Grants    []Selector `json:"grants"`
}

// Accepted is a peer whose invitation was accepted.
type Accepted struct {
	Peer          bundle.ID  `json:"peer"`
	Name          string     `json:"name"`
	Grants        []Selector `json:"grants"` // what it lets us see
	Subscriptions []Selector `json:"subscriptions"`
}

// Alarm says that a peer's log lied. Intake from that peer stands still until
// an operator ended it.
type Alarm struct {
	Alarm    string    `json:"alarm"` // ROLLBACK, FORK, FREEZE …
	Detail   string    `json:"detail"`
	RaisedAt time.Time `json:"raised_at"`
}

// Peer is another instance.
type Peer struct {
	ID                 bundle.ID  `json:"id"`
	Name               string     `json:"name"`
	Addresses          []string   `json:"addresses"`
	AddedAt            time.Time  `json:"added_at"`
	Grants             []Selector `json:"grants"`        // what it may see here
	Subscriptions      []Selector `json:"subscriptions"` // what is followed there
	Cursor             int64      `json:"cursor"`        // records of its log that were dealt with
	CheckpointSize     int64      `json:"checkpoint_size"`
	CheckpointIssuedAt *time.Time `json:"checkpoint_issued_at"`
	VerifiedAt         *time.Time `json:"verified_at"`
	Alarms             []Alarm    `json:"alarms"`
}

// PeerSync is how far the following of one peer is.
type PeerSync struct {
	Peer               bundle.ID        `json:"peer"`
	Name               string           `json:"name"`
	State              string           `json:"state"` // following, behind, idle, unreachable, alarmed …
	Cursor             int64            `json:"cursor"`
	CheckpointSize     int64            `json:"checkpoint_size"`
	CheckpointIssuedAt *time.Time       `json:"checkpoint_issued_at,omitempty"` // nil before the first
	CheckpointAge      float64          `json:"checkpoint_age"`                 // seconds since then, by the instance's clock
	LagRecords         int64            `json:"lag_records"`
	Lag                float64          `json:"lag"`     // seconds since the oldest record not applied was published
	Bundles            map[string]int64 `json:"bundles"` // copy, withdrawn, parked, held
	BytesReceived      int64            `json:"bytes_received"`
	BytesUseful        int64            `json:"bytes_useful"`
	LastError          string           `json:"last_error"`
	Alarms             []Alarm          `json:"alarms"`
	Parked             []Parked         `json:"parked"`
	Progress           *PullProgress    `json:"progress"`
}

// Parked is a bundle that waits while the others go on: because of a fault, or,
// if Held, because of a policy or a question for the operator.
type Parked struct {
	Bundle   bundle.ID  `json:"bundle"`
	Held     bool       `json:"held"`
	Reason   string     `json:"reason"`
	Detail   string     `json:"detail"`
	Since    time.Time  `json:"since"`
	RetryAt  *time.Time `json:"retry_at"` // nil: not by itself
	Attempts int64      `json:"attempts"`
}

// PullProgress is the transfer that is under way.
type PullProgress struct {
	Files          int64   `json:"files"`
	FilesTotal     int64   `json:"files_total"`
	Bytes          int64   `json:"bytes"`
	BytesTotal     int64   `json:"bytes_total"`
	BytesPerSecond float64 `json:"bytes_per_second"`
}

// ClusterNode is one node of the instance, as the answering node sees it.
type ClusterNode struct {
	ID      string `json:"id"`      // its name, and an incarnation made with its data folder
	Name    string `json:"name"`    // as configured
	Address string `json:"address"` // where other nodes reach it; "local" if nowhere
	Voter   bool   `json:"voter"`   // it counts in a majority: it has caught up once
	Leader  bool   `json:"leader"`

	Answers      bool     `json:"answers"`       // just now; if not, what follows is empty
	Role         string   `json:"role"`          // leader, follower or candidate, by its own word
	Term         uint64   `json:"term"`          // it is in
	CommitIndex  uint64   `json:"commit_index"`  // last entry of the log that it knows to be committed
	AppliedIndex uint64   `json:"applied_index"` // last entry of the log in its catalog
	Lag          uint64   `json:"lag"`           // entries that any node knows to be committed and that are not in its catalog
	LastContact  *float64 `json:"last_contact"`  // seconds since it heard its leader, 0 on the leader; nil: never
	DiskStalled  bool     `json:"disk_stalled"`  // a write to its log hangs
	Unready      []string `json:"unready"`       // reasons why it should get no requests, as its /readyz names them
	Version      string   `json:"version"`       // of its program
	Level        uint64   `json:"level"`         // highest level of commands that its program understands

	// While the leader makes or sends it a copy of the catalog, the bytes of the
	// database that were made or sent, and in all; 0 of all before that is known.
	CopyBytes int64 `json:"copy_bytes,omitempty"`
	CopyTotal int64 `json:"copy_total,omitempty"`
}

// NodeInvitation is a token with which a node joins the instance. Whoever has
// it can, until it expires.
type NodeInvitation struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	Warnings  []string  `json:"warnings"` // what may keep a node from using it
}

// ClusterStatus is how the answering node sees its cluster.
type ClusterStatus struct {
	Node         string        `json:"node"`
	State        string        `json:"state"` // leader, follower, candidate …
	Leader       string        `json:"leader"`
	Term         uint64        `json:"term"`
	CommitIndex  uint64        `json:"commit_index"`
	AppliedIndex uint64        `json:"applied_index"`
	LogEntries   uint64        `json:"log_entries"`
	Level        uint64        `json:"level"` // of commands, in force; it rises when all nodes understand more
	Nodes        []ClusterNode `json:"nodes"`
}

// CatalogDigest is what a node's catalog holds, at one moment.
type CatalogDigest struct {
	AppliedIndex uint64        `json:"applied_index"` // of the newest entry of the cluster's log in it
	LogSize      int64         `json:"log_size"`      // records of the publication log
	LogRoot      bundle.Digest `json:"log_root"`
	Digest       bundle.Digest `json:"digest"` // SHA-256 of everything that nodes have in common
}

// InstanceStatus says who the instance is and what it holds.
type InstanceStatus struct {
	Instance struct {
		ID         bundle.ID `json:"id"`
		Name       string    `json:"name"`
		Generation uint64    `json:"generation"`
		CreatedAt  time.Time `json:"created_at"`
		Version    string    `json:"version"`
		Revision   string    `json:"revision"`
	} `json:"instance"`
	Counts struct {
		Collections int64            `json:"collections"`
		Drafts      int64            `json:"drafts"`
		Versions    int64            `json:"versions"`
		Records     int64            `json:"records"`
		Blobs       int64            `json:"blobs"`
		Bundles     map[string]int64 `json:"bundles"`
	} `json:"counts"`
	CatalogBytes int64         `json:"catalog_bytes"`
	Cluster      ClusterStatus `json:"cluster"`
}
