package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/blockstored/blockstored/api"
)

// InviteNode implements [api.Nodes].
func (c *Client) InviteNode(ctx context.Context, expiresIn time.Duration) (api.NodeInvitation, error) {
	in := map[string]int64{}
	if expiresIn != 0 {
		in["expires_in"] = seconds(expiresIn)
	}
	return fetch[api.NodeInvitation](ctx, c, request{method: http.MethodPost, path: adminBase + "cluster/invite", in: in})
}

// RemoveNode implements [api.Nodes].
func (c *Client) RemoveNode(ctx context.Context, node string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: nodePath(node, "")}, nil)
}

// AddVoter implements [api.Nodes].
func (c *Client) AddVoter(ctx context.Context, node string) error {
	return c.call(ctx, request{method: http.MethodPut, path: nodePath(node, "/vote")}, nil)
}

// TransferLeadership implements [api.Nodes].
func (c *Client) TransferLeadership(ctx context.Context, node string) error {
	in := map[string]string{}
	if node != "" {
		in["node"] = node
	}
	return c.call(ctx, request{method: http.MethodPut, path: adminBase + "cluster/leader", in: in}, nil)
}

// nodePath returns the path of a node, named by name or id, or of something
// below it.
func nodePath(node, below string) string {
	return adminBase + "cluster/nodes/" + url.PathEscape(node) + below
}
