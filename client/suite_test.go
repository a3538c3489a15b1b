package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/api/apitest"
	"github.com/blockstored/blockstored/blockstoredtest"
	"github.com/blockstored/blockstored/client"
)

// ways returns an instance with everything that a host can reach it by.
func ways(t *testing.T) (kit *blockstoredtest.Kit, stores map[string]api.Store) {
	t.Helper()
	var socket string
	kit = blockstoredtest.New(t, func(c *blockstored.Config) {
		socket = filepath.Join(t.TempDir(), "s")
		c.Socket.Path = socket
	})
	return kit, map[string]api.Store{
		"in the process":     kit.Instance,
		"over TCP":           kit.Client,
		"over a unix socket": connect(t, client.Config{Socket: socket, Token: kit.Token}),
	}
}

func TestAStoreIsTheSameInTheProcessAndElsewhere(t *testing.T) {
	_, stores := ways(t)
	for name, store := range stores {
		t.Run(name, func(t *testing.T) { apitest.Run(t, store) })
	}
}

func TestCopiesAreTheSameInTheProcessAndElsewhere(t *testing.T) {
	north := blockstoredtest.New(t, func(c *blockstored.Config) { c.Name = "north" })
	south, stores := ways(t)
	done := publishNew(t, north.Client, fstest.MapFS{"a": {Data: []byte("northern")}})
	all := []api.Selector{{Scope: "all"}}
	invitation, err := north.Admin.Invite(t.Context(), "south", all, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := south.Admin.Accept(t.Context(), invitation.Token, "", all); err != nil {
		t.Fatal(err)
	}
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		b, err := south.Client.Bundle(t.Context(), done.Bundle)
		if err == nil && b.Newest() == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the copy has not come: %+v, %v", b, err)
		}
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) { apitest.RunCopy(t, store, done.Bundle, "north") })
	}
}

// What one way makes, each other way shows as the same.
func TestEveryWayShowsTheSame(t *testing.T) {
	kit, stores := ways(t)
	done := publishNew(t, kit.Client, fstest.MapFS{"a/b": {Data: []byte("1")}, "empty": {}})
	draft, err := kit.Instance.CreateDraft(t.Context(), done.Bundle, "work")
	if err != nil {
		t.Fatal(err)
	}
	edit := api.Patch{
		Files: map[string]api.FileEdit{"c": {Content: []byte("2")}, "empty": {Delete: true}},
		Links: map[string]api.LinkEdit{"other": {Bundle: publishNew(t, kit.Client, fstest.MapFS{"x": {}}).Bundle, Version: 1}},
	}
	if _, err := kit.Instance.PatchDraft(t.Context(), draft.ID, edit); err != nil {
		t.Fatal(err)
	}
	shown := map[string]everything{}
	for name, store := range stores {
		shown[name] = look(t, store, done.Bundle, draft.ID)
	}
	want := shown["in the process"]
	for name, got := range shown {
		compare(t, name, got, want)
	}
}

func TestAFolderIsPublishedAndDownloadedEveryWay(t *testing.T) {
	_, stores := ways(t)
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			ctx := api.WithIdempotencyKey(t.Context(), "of something else")
			collection, err := store.CreateCollection(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			done, err := client.Publish(ctx, store, files("a", "1", "d/b", strings.Repeat("large", 100_000)),
				client.PublishOptions{Collection: collection.ID, Title: name})
			if err != nil {
				t.Fatal(err)
			}
			next, err := client.Publish(ctx, store, files("a", "2", "d/c", "3"), client.PublishOptions{Bundle: done.Bundle})
			if err != nil || next.Version != 2 || next.Changed != 2 || next.Deleted != 1 {
				t.Errorf("published %+v, %v", next, err)
			}
			dir := t.TempDir()
			if _, err := client.Download(ctx, store, done.Bundle, 0, dir, client.DownloadOptions{}); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]string{"a": "2", "d/c": "3", "d/b": ""} {
				if got, _ := os.ReadFile(filepath.Join(dir, path)); string(got) != want {
					t.Errorf("%s is %q", path, got)
				}
			}
		})
	}
}
