package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// The methods of this file need the operators' socket or an operator's token.

var _ api.Operator = (*Client)(nil)

// peerPath returns the path of a peer, named by uuid or name, or of something
// below it.
func peerPath(peer, below string) string {
	return adminBase + "peers/" + url.PathEscape(peer) + below
}

// seconds is a duration on the wire.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// CreateCollectionWithID implements [api.Operator].
func (c *Client) CreateCollectionWithID(ctx context.Context, id bundle.ID, title string) (api.Collection, error) {
	in := map[string]string{"title": title, "uuid": id.String()}
	return change[api.Collection](ctx, c, request{method: http.MethodPost, path: adminBase + "collections", in: in})
}

// CreateBundleWithID implements [api.Operator].
func (c *Client) CreateBundleWithID(ctx context.Context, id bundle.ID, b api.NewBundle) (api.Bundle, error) {
	in := struct {
		newBundle
		UUID bundle.ID `json:"uuid"`
	}{newBundle(b), id}
	return c.changeBundle(ctx, request{method: http.MethodPost, path: adminBase + "bundles", in: in})
}

// Tokens implements [api.Tokens].
func (c *Client) Tokens(ctx context.Context) ([]api.Token, error) {
	return fetch[[]api.Token](ctx, c, request{method: http.MethodGet, path: adminBase + "tokens"})
}

// newToken is what a token is made from, on the wire.
type newToken struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	ExpiresIn int64  `json:"expires_in,omitempty"`
	Token     string `json:"token,omitempty"`
}

// CreateToken implements [api.Tokens].
func (c *Client) CreateToken(ctx context.Context, name, role string, expiresIn time.Duration) (api.NewToken, error) {
	in := newToken{Name: name, Role: role, ExpiresIn: seconds(expiresIn)}
	return change[api.NewToken](ctx, c, request{method: http.MethodPost, path: adminBase + "tokens", in: in})
}

// AdoptToken implements [api.Tokens].
func (c *Client) AdoptToken(ctx context.Context, name, role, key string, expiresIn time.Duration) error {
	if key == "" { // the server would make one
		return bundle.Errorf(bundle.KindInvalid, "token: Give the key that the token shall have.")
	}
	in := newToken{Name: name, Role: role, ExpiresIn: seconds(expiresIn), Token: key}
	_, err := c.change(ctx, request{method: http.MethodPost, path: adminBase + "tokens", in: in}, nil)
	return err
}

// RevokeToken implements [api.Tokens].
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	_, err := c.change(ctx, request{method: http.MethodDelete, path: adminBase + "tokens/" + url.PathEscape(name)}, nil)
	return err
}

// Invite implements [api.Peers].
func (c *Client) Invite(
	ctx context.Context, name string, grants []api.Selector, addresses []string, expiresIn time.Duration,
) (api.Invitation, error) {
	in := struct {
		Name      string         `json:"name"`
		Grants    []api.Selector `json:"grants"`
		Addresses []string       `json:"addresses,omitempty"`
		ExpiresIn int64          `json:"expires_in,omitempty"`
	}{name, grants, addresses, seconds(expiresIn)}
	return fetch[api.Invitation](ctx, c, request{method: http.MethodPost, path: adminBase + "peers/invite", in: in})
}

// Invites implements [api.Peers].
func (c *Client) Invites(ctx context.Context) ([]api.Invite, error) {
	return fetch[[]api.Invite](ctx, c, request{method: http.MethodGet, path: adminBase + "invites"})
}

// Accept implements [api.Peers].
func (c *Client) Accept(ctx context.Context, token, as string, subscribe []api.Selector) (api.Accepted, error) {
	in := struct {
		Token     string         `json:"token"`
		As        string         `json:"as,omitempty"`
		Subscribe []api.Selector `json:"subscribe,omitempty"`
	}{token, as, subscribe}
	return fetch[api.Accepted](ctx, c, request{method: http.MethodPost, path: adminBase + "peers/accept", in: in})
}

// Peers implements [api.Peers].
func (c *Client) Peers(ctx context.Context) ([]api.Peer, error) {
	return fetch[[]api.Peer](ctx, c, request{method: http.MethodGet, path: adminBase + "peers"})
}

// Peer implements [api.Peers].
func (c *Client) Peer(ctx context.Context, peer string) (api.Peer, error) {
	return fetch[api.Peer](ctx, c, request{method: http.MethodGet, path: peerPath(peer, "")})
}

// RemovePeer implements [api.Peers].
func (c *Client) RemovePeer(ctx context.Context, peer string) error {
	_, err := c.change(ctx, request{method: http.MethodDelete, path: peerPath(peer, "")}, nil)
	return err
}

// SetGrants implements [api.Peers].
func (c *Client) SetGrants(ctx context.Context, peer string, grants []api.Selector) error {
	in := map[string][]api.Selector{"grants": grants}
	_, err := c.change(ctx, request{method: http.MethodPut, path: peerPath(peer, "/grants"), in: in}, nil)
	return err
}

// Subscribe implements [api.Peers].
func (c *Client) Subscribe(ctx context.Context, peer string, s api.Selector) error {
	_, err := c.change(ctx, request{method: http.MethodPost, path: peerPath(peer, "/subscriptions"), in: s}, nil)
	return err
}

// Unsubscribe implements [api.Peers].
func (c *Client) Unsubscribe(ctx context.Context, peer string, s api.Selector) error {
	_, err := c.change(ctx, request{method: http.MethodDelete, path: peerPath(peer, "/subscriptions"), in: s}, nil)
	return err
}

// ResumePeer implements [api.Peers].
func (c *Client) ResumePeer(ctx context.Context, peer, alarm string) error {
	in := map[string]string{}
	if alarm != "" {
		in["alarm"] = alarm
	}
	_, err := c.change(ctx, request{method: http.MethodPost, path: peerPath(peer, "/resume"), in: in}, nil)
	return err
}

// ReleaseBundle implements [api.Peers].
func (c *Client) ReleaseBundle(ctx context.Context, peer string, b bundle.ID) error {
	in := map[string]bundle.ID{"bundle": b}
	return c.call(ctx, request{method: http.MethodPost, path: peerPath(peer, "/resume"), in: in}, nil)
}

// SyncStatus implements [api.Status].
func (c *Client) SyncStatus(ctx context.Context) ([]api.PeerSync, error) {
	var out struct {
		Peers []api.PeerSync `json:"peers"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: adminBase + "sync"}, &out)
	return out.Peers, err
}

// ClusterStatus implements [api.Status].
func (c *Client) ClusterStatus(ctx context.Context) (api.ClusterStatus, error) {
	return fetch[api.ClusterStatus](ctx, c, request{method: http.MethodGet, path: adminBase + "cluster"})
}

// CatalogDigest implements [api.Status].
func (c *Client) CatalogDigest(ctx context.Context) (api.CatalogDigest, error) {
	return fetch[api.CatalogDigest](ctx, c, request{method: http.MethodGet, path: adminBase + "cluster/digest"})
}

// Status implements [api.Status].
func (c *Client) Status(ctx context.Context) (api.InstanceStatus, error) {
	return fetch[api.InstanceStatus](ctx, c, request{method: http.MethodGet, path: adminBase + "status"})
}
