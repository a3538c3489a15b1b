package rest

import (
	"context"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Peering makes and takes invitations between instances. Its errors carry a
// bundle.Kind and a text for the operator.
type Peering interface {
	Invite(ctx context.Context, req InviteRequest) (Invitation, error)
	Accept(ctx context.Context, req AcceptRequest) (Accepted, error)
}

// InviteRequest asks for a one-shot invitation.
type InviteRequest struct {
	Name      string             // the name the peer will have here
	Grants    []catalog.Selector // what it will see
	Addresses []string           // where it reaches this instance; none for the configured ones
	TTL       time.Duration      // 0 for the default
}

// Invitation is a token to be handed over in confidence.
type Invitation struct {
	Token    string
	Expires  time.Time
	Warnings []string // what may keep the peer from using it
}

// AcceptRequest takes an invitation.
type AcceptRequest struct {
	Token     string
	As        string             // the inviting instance's name here; "" for its own
	Subscribe []catalog.Selector // none for all that is granted
}

// Accepted is the new peer.
type Accepted struct {
	Peer          bundle.ID
	Name          string
	Grants        []catalog.Selector // what it grants us
	Subscriptions []catalog.Selector
}

// selector is a catalog.Selector in JSON.
type selector struct {
	Scope  string     `json:"scope"`
	Target *bundle.ID `json:"target,omitempty"`
}

func showSelectors(list []catalog.Selector) []selector {
	out := make([]selector, len(list))
	for i, s := range list {
		out[i].Scope = s.Scope
		if s.Target != (bundle.ID{}) {
			out[i].Target = &s.Target
		}
	}
	return out
}

func readSelectors(list []selector) []catalog.Selector {
	out := make([]catalog.Selector, len(list))
	for i, s := range list {
		out[i].Scope = s.Scope
		if s.Target != nil {
			out[i].Target = *s.Target
		}
	}
	return out
}
