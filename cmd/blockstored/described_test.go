package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/rest/openapi/openapitest"
)

// TestAnswersOfASiteWithPeersAreAsItDescribes asks two sites, one of which follows
// the other, for everything that can be read without knowing a name, and for their
// peer. The answers must be as the sites' own descriptions say.
func TestAnswersOfASiteWithPeersAreAsItDescribes(t *testing.T) {
	t.Parallel()
	north := program{t, filepath.Join(t.TempDir(), "north")}
	south := program{t, filepath.Join(t.TempDir(), "south")}
	servers := map[*program]*server{&north: north.serve(), &south: south.serve()}
	collection, _ := north.ok("collection", "create", "Physics")
	name := north.publish(tree(t, 3), "--collection", collection).Bundle.String()
	invitation, _ := north.ok("peer", "invite", "other", "--grant", "all")
	accept := south.command("peer", "accept", "-", "--as", "other", "--subscribe", "all")
	accept.Stdin = strings.NewReader(invitation + "\n")
	if out, err := accept.CombinedOutput(); err != nil {
		t.Fatalf("accept: %v\n%s", err, out)
	}
	south.eventually("bundle", "show", name)
	north.ok("peer", "invite", "third", "--grant", "all")

	for site, srv := range servers {
		token, _ := site.ok("token", "create", "ops", "--role", "operator")
		d, err := openapitest.New([]byte(read(t, srv.api+"/api/openapi.json", token, nil)))
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, op := range d.Operations() {
			path := strings.ReplaceAll(op.Path, "{peer}", "other")
			if op.Method == http.MethodGet && !strings.Contains(path, "{") {
				read(t, srv.api+path, token, d)
				asked++
			}
		}
		if asked < 15 {
			t.Errorf("asked for only %d answers", asked)
		}
	}
}

// read returns the body of an answer, which must be as described if d is not nil.
func read(t *testing.T, url, token string, d *openapitest.Description) string {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+token)
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // read whole, or the test has failed
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return string(body)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s: status %d: %s", url, resp.StatusCode, body)
	}
	err = d.Answer(openapitest.Exchange{
		Method: r.Method, Path: r.URL.Path, Status: resp.StatusCode, Header: resp.Header, Received: body,
	})
	if err != nil {
		t.Error(err)
	}
	return string(body)
}
