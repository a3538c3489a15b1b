package blockstored_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/blockstored/blockstored"
)

// A host opens an instance in its own process and mounts the API in its own
// server.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "blockstored-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	cfg := blockstored.DefaultConfig(dir)
	cfg.Listen, cfg.Peer.Listen = "", "" // the host listens itself; nobody follows
	inst, err := blockstored.Open(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	host := httptest.NewServer(inst.Handler())

	resp, err := http.Get(host.URL + "/api/v1/bundles")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println("without a token:", resp.Status)

	host.Close()
	fmt.Println("closed:", inst.Close())
	// Output:
	// without a token: 401 Unauthorized
	// closed: <nil>
}
