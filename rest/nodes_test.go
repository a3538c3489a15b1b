package rest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// governed is Nodes that remember what they were asked.
type governed struct{ asked []string }

func (g *governed) Invite(_ context.Context, expiresIn time.Duration) (NodeInvitation, error) {
	g.asked = append(g.asked, "invite "+expiresIn.String())
	return NodeInvitation{Token: "bsj1_secret", ExpiresAt: time.Unix(0, 0).UTC()}, nil
}

func (g *governed) Remove(_ context.Context, node string) error {
	g.asked = append(g.asked, "remove "+node)
	if node != "node2" {
		return bundle.Errorf(bundle.KindNotFound, "there is no node %q", node)
	}
	return nil
}

func (g *governed) AddVoter(_ context.Context, node string) error {
	g.asked = append(g.asked, "vote "+node)
	return nil
}

func (g *governed) TransferLeadership(_ context.Context, node string) error {
	g.asked = append(g.asked, "lead "+node)
	return nil
}

func TestNodesAreInvitedAndGoverned(t *testing.T) {
	g := &governed{}
	s := newStack(t, func(c *Config) { c.Nodes = g })
	got := s.operate("POST", "/admin/v1/cluster/invite", `{"expires_in":60}`).want(t, 201).body
	if got != `{"token":"bsj1_secret","expires_at":"1970-01-01T00:00:00Z","warnings":[]}` {
		t.Error(got)
	}
	s.operate("POST", "/admin/v1/cluster/invite", ``).want(t, 201)
	s.operate("POST", "/admin/v1/cluster/invite", `{"expires_in":-1}`).want(t, 400)
	s.operate("PUT", "/admin/v1/cluster/nodes/node2/vote", "").want(t, 204)
	s.operate("PUT", "/admin/v1/cluster/leader", `{"node":"node2"}`).want(t, 204)
	s.operate("PUT", "/admin/v1/cluster/leader", ``).want(t, 204)
	s.operate("DELETE", "/admin/v1/cluster/nodes/node2", "").want(t, 204)
	s.operate("DELETE", "/admin/v1/cluster/nodes/node3", "").want(t, 404)
	const want = "invite 1m0s, invite 0s, vote node2, lead node2, lead , remove node2, remove node3"
	if got := strings.Join(g.asked, ", "); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	// Neither these nor what shows the process wait for a leader.
	alone := newStack(t, func(c *Config) {
		c.Nodes = g
		c.Read = func(context.Context, string) (uint64, bool, error) {
			return 0, false, bundle.Errorf(bundle.KindUnavailable, "no leader for too long")
		}
		c.ClusterStatus = func(context.Context) (ClusterStatus, error) { return ClusterStatus{Nodes: []ClusterNode{}}, nil }
		c.MetricsHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) })
	})
	alone.operate("GET", "/admin/v1/tokens", "").want(t, 503)
	alone.operate("GET", "/admin/v1/cluster", "").want(t, 200)
	alone.operate("PUT", "/admin/v1/cluster/leader", "").want(t, 204)
	alone.operate("DELETE", "/admin/v1/cluster/nodes/node2", "").want(t, 204)
	alone.do("GET", "/metrics", "", "").want(t, 200)
	none := newStack(t, nil)
	none.operate("DELETE", "/admin/v1/cluster/nodes/node2", "").want(t, 503)
}
