package rest

import (
	"net/http"
	"testing"

	"github.com/blockstored/blockstored/rest/resttest"
)

// TestExchanges plays the whole contract, each table on an empty instance.
func TestExchanges(t *testing.T) {
	total := 0
	for _, table := range resttest.Tables(t) {
		total += table.Len()
		t.Run(table.Name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, nil)
			transport := &http.Transport{DisableCompression: true}
			defer transport.CloseIdleConnections()
			table.Play(t, resttest.Remote{BaseURL: s.server.URL, Token: s.token, Transport: transport})
		})
	}
	t.Logf("%d exchanges", total)
}
