package api

import (
	"context"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Operator is an instance as those who run it use it: who may come in, whom it
// follows and how it is. Its methods may be called from any goroutine, and return
// errors as those of [Store] do. Over the network they need the operators' socket
// or an operator's token.
//
// A function that needs less takes one of the interfaces that Operator is made of.
type Operator interface {
	Tokens
	Peers
	Nodes
	Status
	// CreateCollectionWithID makes a collection with a UUID that the caller
	// chose, of version 4; [bundle.KindConflict] if it was ever used.
	CreateCollectionWithID(ctx context.Context, id bundle.ID, title string) (Collection, error)
	// CreateBundleWithID makes a bundle with a UUID that the caller chose, of
	// version 4; [bundle.KindConflict] if it was ever used.
	CreateBundleWithID(ctx context.Context, id bundle.ID, b NewBundle) (Bundle, error)
}

// Tokens are what host applications and operators show to come in.
type Tokens interface {
	// Tokens lists the tokens, also those that have ended, without their
	// secrets.
	Tokens(ctx context.Context) ([]Token, error)
	// CreateToken makes a token with the role reader, writer or operator that
	// expires after a number of whole seconds, never if expiresIn is 0.
	// [bundle.KindConflict] if a live token has that name.
	CreateToken(ctx context.Context, name, role string, expiresIn time.Duration) (NewToken, error)
	// AdoptToken is CreateToken for a key that exists already, such as the one
	// in the settings of a site that moves here: 32 to 200 printable ASCII
	// characters without blanks. [bundle.KindConflict] also if a token has, or
	// had, that key.
	AdoptToken(ctx context.Context, name, role, key string, expiresIn time.Duration) error
	// RevokeToken ends a live token at once.
	RevokeToken(ctx context.Context, name string) error
}

// Peers are the other instances. One is named by its UUID or by its name here,
// in any case; [bundle.KindNotFound] if there is none.
type Peers interface {
	// Invite makes an invitation for the site called name, good for 30 minutes
	// if expiresIn is 0, else for a number of whole seconds. No addresses: those
	// that the instance knows of itself.
	Invite(ctx context.Context, name string, grants []Selector, addresses []string, expiresIn time.Duration) (Invitation, error)
	// Invites lists the invitations that nobody took yet.
	Invites(ctx context.Context) ([]Invite, error)
	// Accept accepts an invitation. The peer is called as here, or as it calls
	// itself if that is empty, and what subscribe names is followed.
	Accept(ctx context.Context, token, as string, subscribe []Selector) (Accepted, error)
	// Peers lists the peers.
	Peers(ctx context.Context) ([]Peer, error)
	// Peer returns one peer.
	Peer(ctx context.Context, peer string) (Peer, error)
	// RemovePeer ends the peering with a peer. Copies of its bundles stay.
	RemovePeer(ctx context.Context, peer string) error
	// SetGrants replaces what a peer may see here.
	SetGrants(ctx context.Context, peer string, grants []Selector) error
	// Subscribe follows what a selector covers of a peer.
	Subscribe(ctx context.Context, peer string, s Selector) error
	// Unsubscribe ends a subscription. Copies stay.
	Unsubscribe(ctx context.Context, peer string, s Selector) error
	// ResumePeer ends an alarm of a peer, all of them if alarm is empty, so
	// that intake goes on. A ROLLBACK because the peer was recovered and lost
	// history is accepted by that: its log is read anew, and copies stay.
	ResumePeer(ctx context.Context, peer, alarm string) error
	// ReleaseBundle has a bundle of a peer that was set aside tried again at
	// once. For what was held back as a question, that is the answer: go on.
	ReleaseBundle(ctx context.Context, peer string, b bundle.ID) error
}

// Nodes are the processes that an instance runs as: one, three or five. One is
// named by its name or its id; [bundle.KindNotFound] if there is none. Any node
// can be asked.
type Nodes interface {
	// InviteNode makes a token with which a node joins the instance, good for 30
	// minutes if expiresIn is 0, else for a number of whole seconds.
	// [bundle.KindInvalid] if the instance keeps its files where other nodes
	// cannot reach them.
	InviteNode(ctx context.Context, expiresIn time.Duration) (NodeInvitation, error)
	// RemoveNode takes a node out for good; with an empty data folder it can
	// join again. [bundle.KindInvalid] for the only one that votes.
	RemoveNode(ctx context.Context, node string) error
	// AddVoter gives a node that joined a vote without waiting until it keeps
	// up, which it would get by itself then. Until it does, writes wait for it
	// wherever it is needed for a majority.
	AddVoter(ctx context.Context, node string) error
	// TransferLeadership makes a node lead, or the most current of the other
	// voters if node is empty, and returns when it does. [bundle.KindInvalid] for
	// one without a vote.
	TransferLeadership(ctx context.Context, node string) error
}

// Status says how an instance is.
type Status interface {
	// Status returns who the instance is and what it holds.
	Status(ctx context.Context) (InstanceStatus, error)
	// SyncStatus returns how far the following of each peer is.
	SyncStatus(ctx context.Context) ([]PeerSync, error)
	// ClusterStatus returns how the answering node sees its cluster.
	ClusterStatus(ctx context.Context) (ClusterStatus, error)
	// CatalogDigest reads the whole catalog of the answering node. Nodes of an
	// instance that is quiet answer the same but for the applied index.
	CatalogDigest(ctx context.Context) (CatalogDigest, error)
}
