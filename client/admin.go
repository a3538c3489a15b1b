package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// The methods of this file need the operators' socket or an operator's token.

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

// CreateCollectionWithID makes a collection with a uuid that the caller chose;
// [bundle.KindConflict] if it was ever used.
func (c *Client) CreateCollectionWithID(ctx context.Context, id bundle.ID, title string) (api.Collection, error) {
	in := map[string]string{"title": title, "uuid": id.String()}
	return change[api.Collection](ctx, c, request{method: http.MethodPost, path: adminBase + "collections", in: in})
}

// CreateBundleWithID makes a bundle with a uuid that the caller chose;
// [bundle.KindConflict] if it was ever used.
func (c *Client) CreateBundleWithID(ctx context.Context, id bundle.ID, b api.NewBundle) (api.Bundle, error) {
	in := struct {
		newBundle
		UUID bundle.ID `json:"uuid"`
	}{newBundle(b), id}
	return c.changeBundle(ctx, request{method: http.MethodPost, path: adminBase + "bundles", in: in})
}

// Token is what is known of a token; the token itself is shown once, when it
// is made.
type Token struct {
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	State     string     `json:"state"` // live, expired or revoked
}

// NewToken is a token that was just made.
type NewToken struct {
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Token     string     `json:"token"` // the secret; it cannot be shown again
	ExpiresAt *time.Time `json:"expires_at"`
}

// Tokens lists the tokens.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	return fetch[[]Token](ctx, c, request{method: http.MethodGet, path: adminBase + "tokens"})
}

// CreateToken makes a token with the role reader, writer or operator that
// expires after a while, never if that is 0.
func (c *Client) CreateToken(ctx context.Context, name, role string, expiresIn time.Duration) (NewToken, error) {
	in := struct {
		Name      string `json:"name"`
		Role      string `json:"role"`
		ExpiresIn int64  `json:"expires_in,omitempty"`
	}{name, role, int64(expiresIn / time.Second)}
	return fetch[NewToken](ctx, c, request{method: http.MethodPost, path: adminBase + "tokens", in: in})
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: adminBase + "tokens/" + url.PathEscape(name)}, nil)
}

// Invitation is a one-shot token for another site.
type Invitation struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	Warnings  []string  `json:"warnings"` // for the operator
}

// Invite makes an invitation for the site called name. No addresses: those
// that the instance knows of itself.
func (c *Client) Invite(ctx context.Context, name string, grants []Selector, addresses []string, expiresIn time.Duration) (Invitation, error) {
	in := struct {
		Name      string     `json:"name"`
		Grants    []Selector `json:"grants"`
		Addresses []string   `json:"addresses,omitempty"`
		ExpiresIn int64      `json:"expires_in,omitempty"`
	}{name, grants, addresses, int64(expiresIn / time.Second)}
	return fetch[Invitation](ctx, c, request{method: http.MethodPost, path: adminBase + "peers/invite", in: in})
}

// Accepted is a peer whose invitation was accepted.
type Accepted struct {
	Peer          bundle.ID  `json:"peer"`
	Name          string     `json:"name"`
	Grants        []Selector `json:"grants"` // what it lets us see
	Subscriptions []Selector `json:"subscriptions"`
}

// Accept accepts an invitation. The peer is called as here, or as it calls
// itself if that is empty, and what subscribe names is followed.
func (c *Client) Accept(ctx context.Context, token, as string, subscribe []Selector) (Accepted, error) {
	in := struct {
		Token     string     `json:"token"`
		As        string     `json:"as,omitempty"`
		Subscribe []Selector `json:"subscribe,omitempty"`
	}{token, as, subscribe}
	return fetch[Accepted](ctx, c, request{method: http.MethodPost, path: adminBase + "peers/accept", in: in})
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

// Peers lists the peers.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	return fetch[[]Peer](ctx, c, request{method: http.MethodGet, path: adminBase + "peers"})
}

// RemovePeer ends the peering with a peer, named by uuid or name. Copies of its
// bundles stay.
func (c *Client) RemovePeer(ctx context.Context, peer string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: adminBase + "peers/" + url.PathEscape(peer)}, nil)
}

// ReleaseBundle has a bundle of a peer that was set aside tried again at once.
// For what was held back as a question, that is the answer: go on.
func (c *Client) ReleaseBundle(ctx context.Context, peer string, b bundle.ID) error {
	return c.call(ctx, request{
		method: http.MethodPost, path: adminBase + "peers/" + url.PathEscape(peer) + "/resume", in: map[string]bundle.ID{"bundle": b},
	}, nil)
}

// ResumePeer ends an alarm of a peer, all of them if alarm is empty, so that
// intake goes on.
func (c *Client) ResumePeer(ctx context.Context, peer, alarm string) error {
	in := map[string]string{}
	if alarm != "" {
		in["alarm"] = alarm
	}
	return c.call(ctx, request{method: http.MethodPost, path: adminBase + "peers/" + url.PathEscape(peer) + "/resume", in: in}, nil)
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

// SyncStatus returns how far the following of each peer is.
func (c *Client) SyncStatus(ctx context.Context) ([]PeerSync, error) {
	var out struct {
		Peers []PeerSync `json:"peers"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: adminBase + "sync"}, &out)
	return out.Peers, err
}

// ClusterMember is one node of the instance.
type ClusterMember struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// ClusterStatus is how the answering node sees its cluster.
type ClusterStatus struct {
	Node         string          `json:"node"`
	State        string          `json:"state"` // leader, follower, candidate …
	Leader       string          `json:"leader"`
	Term         uint64          `json:"term"`
	CommitIndex  uint64          `json:"commit_index"`
	AppliedIndex uint64          `json:"applied_index"`
	LogEntries   uint64          `json:"log_entries"`
	Members      []ClusterMember `json:"members"`
}

// ClusterStatus returns how the answering node sees its cluster.
func (c *Client) ClusterStatus(ctx context.Context) (ClusterStatus, error) {
	return fetch[ClusterStatus](ctx, c, request{method: http.MethodGet, path: adminBase + "cluster"})
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

// Status returns who the instance is and what it holds.
func (c *Client) Status(ctx context.Context) (InstanceStatus, error) {
	return fetch[InstanceStatus](ctx, c, request{method: http.MethodGet, path: adminBase + "status"})
}
