package rest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/replica"
)

// operate sends a request to the operators' listener, without a token.
func (s *stack) operate(method, path, body string) answer {
	s.t.Helper()
	return s.do(method, s.admin.URL+path, "application/json", body, "Authorization", "")
}

func TestWritesByARoleAreAnsweredByRole(t *testing.T) {
	s := newStack(t, nil)
	_, b := s.publish(t)
	tokens := map[string]string{"reader": s.newToken("r", "reader"), "writer": s.newToken("w", "writer"), "operator": s.newToken("o", "operator")}
	for _, c := range []struct {
		method, path, body       string
		reader, writer, operator int
	}{
		{"GET", "/api/v1/bundles/" + b, "", 200, 200, 200},
		{"OPTIONS", "/api/v1/bundles", "", 200, 200, 200},
		{"POST", "/api/v1/collections", `{"title":"x"}`, 403, 201, 201},
		{"PATCH", "/api/v1/bundles/" + b, `{}`, 403, 200, 200},
		{"GET", "/admin/v1/status", "", 403, 403, 200},
		{"POST", "/admin/v1/collections", `{"title":"x"}`, 403, 403, 201},
	} {
		for role, want := range map[string]int{"reader": c.reader, "writer": c.writer, "operator": c.operator} {
			a := s.do(c.method, c.path, "application/json", c.body, "Authorization", "Token "+tokens[role])
			if a.StatusCode != want {
				t.Errorf("%s %s as %s: %d, want %d: %s", c.method, c.path, role, a.StatusCode, want, a.body)
			}
		}
	}
}

func TestAnOperatorChoosesIDs(t *testing.T) {
	s := newStack(t, nil)
	c, b := bundle.NewID().String(), bundle.NewID().String()
	if got := s.operate("POST", "/admin/v1/collections", `{"title":"x","uuid":"`+c+`"}`).want(t, 201).field(t, "uuid"); got != c {
		t.Errorf("made %s, want %s", got, c)
	}
	s.operate("POST", "/admin/v1/bundles", `{"collection_uuid":"`+c+`","slug":"x","title":"x","uuid":"`+b+`"}`).want(t, 201)
	s.json("GET", "/api/v1/bundles/"+b, "").want(t, 200)
	s.operate("POST", "/admin/v1/collections", `{"title":"x","uuid":"`+c+`"}`).want(t, 409)
	s.operate("POST", "/admin/v1/collections", `{"title":"x","uuid":"junk"}`).want(t, 400)
	s.operate("POST", "/admin/v1/collections", `{"title":"x"}`).want(t, 201)
}

func TestTheStatusCountsAndNames(t *testing.T) {
	s := newStack(t, func(c *Config) {
		c.Version, c.Revision = "1.2.3", "abc"
		c.ClusterStatus = func(context.Context) (ClusterStatus, error) {
			return ClusterStatus{Node: "node1", State: "leader", Nodes: []ClusterNode{{ID: "node1-1", Name: "node1", Voter: true, Unready: []string{}}}}, nil
		}
	})
	s.publish(t)
	got := s.operate("GET", "/admin/v1/status", "").want(t, 200).body
	for _, want := range []string{
		`"id":"` + s.self.String() + `"`, `"name":"north"`, `"version":"1.2.3"`, `"revision":"abc"`,
		`"collections":1`, `"own":1`, `"drafts":1`, `"versions":1`, `"node":"node1"`, `"catalog_bytes":`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	s.operate("GET", "/admin/v1/cluster", "").want(t, 200)
	s.operate("GET", "/admin/v1/sync", "").want(t, 503)
}

// peering is a Peering that remembers what it was asked.
type peering struct {
	invite InviteRequest
	accept AcceptRequest
}

func (p *peering) Invite(_ context.Context, r InviteRequest) (Invitation, error) {
	p.invite = r
	return Invitation{Token: "bsp1_secret", Expires: time.Unix(0, 0), Warnings: []string{"loopback"}}, nil
}

func (p *peering) Accept(_ context.Context, r AcceptRequest) (Accepted, error) {
	p.accept = r
	return Accepted{Peer: bundle.ID{1}, Name: r.As, Grants: []catalog.Selector{{Scope: "all"}}, Subscriptions: r.Subscribe}, nil
}

func TestPeersAreInvitedAcceptedAndGoverned(t *testing.T) {
	p := &peering{}
	s := newStack(t, func(c *Config) {
		c.Peering = p
		c.SyncStatus = func(context.Context) ([]replica.PeerStatus, error) { return []replica.PeerStatus{}, nil }
	})
	other := newStack(t, nil)
	_, b := other.publish(t)

	got := s.operate("POST", "/admin/v1/peers/invite", `{"name":"south","grants":[{"scope":"bundle","target":"`+b+`"}],"expires_in":60}`).want(t, 201).body
	if got != `{"token":"bsp1_secret","expires_at":"1970-01-01T00:00:00Z","warnings":["loopback"]}` {
		t.Error(got)
	}
	if p.invite.Name != "south" || p.invite.TTL != time.Minute || len(p.invite.Grants) != 1 || p.invite.Grants[0].Target.String() != b {
		t.Errorf("invited %+v", p.invite)
	}
	s.operate("POST", "/admin/v1/peers/invite", `{"name":"south","grants":[{"scope":"everything"}]}`).want(t, 400)
	got = s.operate("POST", "/admin/v1/peers/accept", `{"token":" bsp1_x\n","as":"north","subscribe":[{"scope":"all"}]}`).want(t, 201).body
	if got != `{"peer":"01000000-0000-0000-0000-000000000000","name":"north","grants":[{"scope":"all"}],"subscriptions":[{"scope":"all"}]}` || p.accept.Token != "bsp1_x" {
		t.Errorf("%s, accepted %+v", got, p.accept)
	}

	s.follow(other, "other")
	s.operate("PUT", "/admin/v1/peers/OTHER/grants", `{"grants":[{"scope":"all"}]}`).want(t, 204)
	s.operate("POST", "/admin/v1/peers/"+other.self.String()+"/subscriptions", `{"scope":"bundle","target":"`+b+`"}`).want(t, 204)
	s.operate("DELETE", "/admin/v1/peers/other/subscriptions", `{"scope":"all"}`).want(t, 204)
	s.propose(catalog.RaiseAlarm{Peer: other.self, Alarm: "FORK", Detail: "two trees"})
	one := s.operate("GET", "/admin/v1/peers/other", "").want(t, 200).body
	for _, want := range []string{`"grants":[{"scope":"all"}]`, `"subscriptions":[{"scope":"bundle","target":"` + b + `"}]`, `"alarm":"FORK"`, `"detail":"two trees"`} {
		if !strings.Contains(one, want) {
			t.Errorf("no %s in %s", want, one)
		}
	}
	s.operate("POST", "/admin/v1/peers/other/resume", `{"alarm":"FORK"}`).want(t, 204)
	if list := s.operate("GET", "/admin/v1/peers", "").want(t, 200).body; strings.Contains(list, "FORK") {
		t.Error(list)
	}
	s.operate("DELETE", "/admin/v1/peers/other", "").want(t, 204)
	s.operate("GET", "/admin/v1/peers/other", "").want(t, 404)
	s.json("GET", "/api/v1/bundles/"+b, "").want(t, 200) // copies stay

	if got := s.operate("GET", "/admin/v1/sync", "").want(t, 200).body; got != `{"peers":[]}` {
		t.Error(got)
	}
	if got := s.operate("GET", "/admin/v1/invites", "").want(t, 200).body; got != "[]" {
		t.Error(got)
	}
}

func TestProbesSayWhy(t *testing.T) {
	ready := true
	s := newStack(t, func(c *Config) {
		c.Unready = func() []Reason {
			if ready {
				return nil
			}
			return []Reason{{"no_leader", "nobody leads", time.Unix(0, 0).UTC()}, {Name: "disk_stalled", Detail: "a write hangs"}}
		}
		c.MetricsHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) })
	})
	for accept, want := range map[string][2]string{
		"": {"ok\n", "no_leader: nobody leads\ndisk_stalled: a write hangs\n"},
		"application/json": {
			`{"ready":true,"reasons":[]}`,
			`{"ready":false,"reasons":[{"reason":"no_leader","detail":"nobody leads","since":"1970-01-01T00:00:00Z"},` +
				`{"reason":"disk_stalled","detail":"a write hangs"}]}`,
		},
	} {
		for k, status := range []int{200, 503} {
			ready = status == 200
			if got := s.do("GET", "/readyz", "", "", "Authorization", "", "Accept", accept).want(t, status).body; got != want[k] {
				t.Error(got)
			}
		}
	}
	if got := s.do("GET", "/metrics", "", "").want(t, 200).body; got != "metrics" {
		t.Error(got)
	}
	s.do("GET", s.admin.URL+"/metrics", "", "", "Authorization", "").want(t, 200)
}
