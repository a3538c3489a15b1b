package rest

import (
	"net/http"
	"testing"

	"github.com/blockstored/blockstored/rest/resttest"
)

// TestExchanges plays the whole contract, each table on an empty instance. Every
// exchange must also be as the API is described.
func TestExchanges(t *testing.T) {
	d, err := description()
	check(t, err)
	total := 0
	for _, table := range resttest.Tables(t) {
		total += table.Len()
		t.Run(table.Name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, nil)
			transport := &http.Transport{DisableCompression: true}
			defer transport.CloseIdleConnections()
			table.Play(t, resttest.Remote{BaseURL: s.server.URL, Token: s.token, Transport: transport, Seen: heldAgainst(t, d)})
		})
	}
	t.Logf("%d exchanges", total)
}
