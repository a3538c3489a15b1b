package blockstored_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
)

// A host keeps content in an instance in its own process: it edits a draft,
// publishes it as a version, and reads that again.
func Example() {
	dir, err := os.MkdirTemp("", "blockstored-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := blockstored.DefaultConfig(dir)
	cfg.Listen, cfg.Peer.Listen = "", "" // nobody else talks to it
	inst, err := blockstored.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(publish(context.Background(), inst), inst.Close()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// version 1 of Mechanics: unit.xml, 12 bytes
	// <p>force</p>
}

// publish works with an instance here as with a client of one elsewhere.
func publish(ctx context.Context, store api.Store) error {
	physics, err := store.CreateCollection(ctx, "Physics")
	if err != nil {
		return err
	}
	b, err := store.CreateBundle(ctx, api.NewBundle{Collection: physics.ID, Title: "Mechanics", Slug: "mechanics"})
	if err != nil {
		return err
	}
	draft, err := store.CreateDraft(ctx, b.ID, "studio")
	if err != nil {
		return err
	}
	unit := api.FileEdit{Content: []byte("<p>force</p>")}
	if _, err := store.PatchDraft(ctx, draft.ID, api.Patch{Files: map[string]api.FileEdit{"unit.xml": unit}}); err != nil {
		return err
	}
	number, err := store.CommitDraft(ctx, draft.ID, api.Commit{ChangeDescription: "First week"})
	if err != nil {
		return err
	}
	version, err := store.Version(ctx, b.ID, number)
	if err != nil {
		return err
	}
	for path, file := range version.Snapshot.Files {
		fmt.Printf("version %d of %s: %s, %d bytes\n", number, b.Title, path, file.Size)
	}
	content, err := store.OpenVersionFile(ctx, b.ID, number, "unit.xml", api.Range{})
	if err != nil {
		return err
	}
	text, err := io.ReadAll(content)
	fmt.Printf("%s\n", text)
	return errors.Join(err, content.Close())
}

// A host mounts the REST API below a path of its own server.
func ExampleInstance_Handler() {
	dir, err := os.MkdirTemp("", "blockstored-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := blockstored.DefaultConfig(dir)
	cfg.Listen, cfg.Peer.Listen = "", "" // the host listens itself; nobody follows
	inst, err := blockstored.Open(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/blocks/", http.StripPrefix("/blocks", inst.Handler()))
	host := httptest.NewServer(mux)

	resp, err := http.Get(host.URL + "/blocks/api/v1/bundles")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println("without a token:", resp.Status)

	host.Close()
	fmt.Println("closed:", inst.Close())
	// Output:
	// without a token: 401 Unauthorized
	// closed: <nil>
}
