package client_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// open runs an instance and returns a client of its socket, and of its TCP
// listener with a writer's token.
func open(t *testing.T) (admin, writer *client.Client) {
	t.Helper()
	cfg := blockstored.DefaultConfig(t.TempDir())
	cfg.Listen, cfg.Peer.Listen = "127.0.0.1:0", ""
	inst, err := blockstored.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := inst.Close(); err != nil {
			t.Error(err)
		}
	})
	socket, err := blockstored.FindAdminSocket(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	admin = connect(t, client.Config{Socket: socket})
	token, err := admin.CreateToken(t.Context(), "w", "writer", 0)
	if err != nil {
		t.Fatal(err)
	}
	return admin, connect(t, client.Config{Server: inst.Addresses().API, Token: token.Token})
}

func connect(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

func publishNew(t *testing.T, c *client.Client, fsys fstest.MapFS) client.Published {
	t.Helper()
	collection, err := c.CreateCollection(t.Context(), "Physics")
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.Publish(t.Context(), c, fsys, client.PublishOptions{Collection: collection.ID, Title: "Mechanics"})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func content(t *testing.T, r io.ReadCloser, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestPublishLeavesNoDraftAndTheExactFolder(t *testing.T) {
	_, c := open(t)
	large := strings.Repeat("0123456789", 100_000)
	done := publishNew(t, c, files("a", "1", "d/large", large, "path", "file"))
	var stages []client.Stage
	next, err := client.Publish(t.Context(), c, files("a", "1", "path/now a folder?#%", "x", "d/large", large), client.PublishOptions{
		Bundle: done.Bundle, Commit: api.Commit{ChangeDescription: "moved"},
		Progress: func(p client.Progress) {
			if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
				stages = append(stages, p.Stage)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if next.Version != 2 || next.Changed != 1 || next.Deleted != 1 || next.SentFiles != 1 || next.Merged || next.Warning != "" {
		t.Errorf("published %+v", next)
	}
	if got := fmt.Sprint(stages); got != "[reading sending published]" {
		t.Errorf("stages %s", got)
	}
	v, err := c.Version(t.Context(), done.Bundle, 2)
	if err != nil || len(v.Snapshot.Files) != 3 || v.ChangeDescription != "moved" {
		t.Errorf("version %+v, %v", v, err)
	}
	var listed []uint64
	for v, err := range c.Versions(t.Context(), api.VersionFilter{Bundle: done.Bundle}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, v.Number)
	}
	if !slices.Equal(listed, []uint64{1, 2}) {
		t.Errorf("versions %v", listed)
	}
	r, err := c.OpenVersionFile(t.Context(), done.Bundle, 2, "path/now a folder?#%", api.Range{})
	if got := content(t, r, err); got != "x" {
		t.Errorf("got %q", got)
	}
	for _, rng := range []api.Range{{Offset: 5, Length: 10}, {Offset: int64(len(large)) - 3}, {Length: 4}} {
		want := large[rng.Offset:]
		if rng.Length > 0 {
			want = want[:rng.Length]
		}
		r, err := c.OpenVersionFile(t.Context(), done.Bundle, 2, "d/large", rng)
		if got := content(t, r, err); got != want {
			t.Errorf("%+v: got %q", rng, got)
		}
	}
	r, err = c.OpenURL(t.Context(), v.Snapshot.Files["a"].URL, api.Range{})
	if got := content(t, r, err); got != "1" {
		t.Errorf("by URL: got %q", got)
	}
	for d, err := range c.Drafts(t.Context()) {
		t.Errorf("a draft was left: %+v, %v", d, err)
	}
}

func TestPublishRefusesBeforeItSendsOrMakesAnything(t *testing.T) {
	_, c := open(t)
	done := publishNew(t, c, files("a", "1"))
	other, err := c.CreateCollection(t.Context(), "Other")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		fsys fstest.MapFS
		opts client.PublishOptions
		kind bundle.Kind
	}{
		"nowhere":          {files("a", "2"), client.PublishOptions{}, bundle.KindInvalid},
		"no title":         {files("a", "2"), client.PublishOptions{Collection: other.ID}, bundle.KindInvalid},
		"no files":         {files(), client.PublishOptions{Collection: other.ID, Title: "x"}, bundle.KindInvalid},
		"bad name":         {files(`a\b`, "2"), client.PublishOptions{Collection: other.ID, Title: "x"}, bundle.KindInvalid},
		"no collection":    {files("a", "2"), client.PublishOptions{Collection: bundle.NewID(), Title: "x"}, bundle.KindNotFound},
		"no bundle":        {files("a", "2"), client.PublishOptions{Bundle: bundle.NewID()}, bundle.KindNotFound},
		"other collection": {files("a", "2"), client.PublishOptions{Bundle: done.Bundle, Collection: other.ID}, bundle.KindInvalid},
		"refused bundle":   {files("a", "2"), client.PublishOptions{Collection: other.ID, Title: "x", Slug: "no slug"}, bundle.KindInvalid},
		"refused commit": {files("a", "2"), client.PublishOptions{Collection: other.ID, Title: "x",
			Commit: api.Commit{Redistribute: "perhaps"}}, bundle.KindInvalid},
	} {
		if out, err := client.Publish(t.Context(), c, tt.fsys, tt.opts); !bundle.IsKind(err, tt.kind) {
			t.Errorf("%s: got %+v, %v", name, out, err)
		}
	}
	n := 0
	for range c.Bundles(t.Context(), api.BundleFilter{}) {
		n++
	}
	if n != 1 {
		t.Errorf("%d bundles are there, not 1", n)
	}
}

func TestPublishersOfOneBundleLoseNothing(t *testing.T) {
	_, c := open(t)
	done := publishNew(t, c, files("a", "0"))
	const publishers = 6
	var wg sync.WaitGroup
	var mu sync.Mutex
	published := map[uint64]string{}
	for i := range publishers {
		wg.Go(func() {
			text := fmt.Sprint("by ", i)
			out, err := client.Publish(t.Context(), c, files("a", text), client.PublishOptions{Bundle: done.Bundle})
			if err != nil && !bundle.IsKind(err, bundle.KindConflict) {
				t.Errorf("%d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil && published[out.Version] != "" {
				t.Errorf("version %d was published twice", out.Version)
			}
			if err == nil {
				published[out.Version] = text
			}
		})
	}
	wg.Wait()
	if len(published) == 0 {
		t.Error("nobody published")
	}
	for n, want := range published {
		r, err := c.OpenVersionFile(t.Context(), done.Bundle, n, "a", api.Range{})
		if got := content(t, r, err); got != want {
			t.Errorf("version %d holds %q, not %q", n, got, want)
		}
	}
}

func TestDraftsAreEditedFileByFile(t *testing.T) {
	_, c := open(t)
	ctx := t.Context()
	target := publishNew(t, c, files("t", "target"))
	done := publishNew(t, c, files("a", "1", "b", "2"))
	draft, err := c.CreateDraft(ctx, done.Bundle, "studio")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error {
			_, err := c.PutDraftFile(ctx, draft.ID, "new file", strings.NewReader("3"), -1)
			return err
		},
		func() error {
			_, err := c.DeleteDraftFile(ctx, draft.ID, "b")
			return err
		},
		func() error {
			_, err := c.PatchDraft(ctx, draft.ID, api.Patch{
				Links: map[string]api.LinkEdit{"l": {Bundle: target.Bundle, Version: 1}},
			})
			return err
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := c.Draft(ctx, draft.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Staged; len(s.Files) != 2 || !s.Files["new file"].Modified || s.Files["a"].Modified || s.Links["l"].Direct.Version != 1 || s.Base == nil {
		t.Errorf("draft %+v", s)
	}
	r, err := c.OpenDraftFile(ctx, draft.ID, "new file", api.Range{})
	if got := content(t, r, err); got != "3" {
		t.Errorf("got %q", got)
	}
	n, err := c.CommitDraft(ctx, draft.ID, api.Commit{})
	if err != nil || n != 2 {
		t.Errorf("commit: %d, %v", n, err)
	}
	if _, err := c.CommitDraft(ctx, draft.ID, api.Commit{}); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("an empty commit: %v", err)
	}
	unknown := bundle.DigestOf([]byte("never sent"))
	_, err = c.PatchDraft(ctx, draft.ID, api.Patch{Files: map[string]api.FileEdit{"x": {Stored: unknown}}})
	if !bundle.IsKind(err, bundle.KindBlobGone) {
		t.Errorf("an unknown blob: %v", err)
	}
}

func TestRolesAndChosenIDs(t *testing.T) {
	admin, writer := open(t)
	ctx := t.Context()
	id := bundle.NewID()
	collection, err := admin.CreateCollectionWithID(ctx, id, "Chosen")
	if err != nil || collection.ID != id {
		t.Errorf("got %v, %v", collection, err)
	}
	if _, err := admin.CreateCollectionWithID(ctx, id, "Again"); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("twice: %v", err)
	}
	chosen := bundle.NewID()
	b, err := admin.CreateBundleWithID(ctx, chosen, api.NewBundle{Collection: id, Title: "B", Slug: "b"})
	if err != nil || b.ID != chosen {
		t.Errorf("got %v, %v", b, err)
	}
	if _, err := writer.Tokens(ctx); !bundle.IsKind(err, bundle.KindForbidden) {
		t.Errorf("a writer listed tokens: %v", err)
	}
	tokens, err := admin.Tokens(ctx)
	if err != nil || len(tokens) != 1 || tokens[0].State != "live" {
		t.Errorf("tokens %v, %v", tokens, err)
	}
	if err := admin.RevokeToken(ctx, "w"); err != nil {
		t.Error(err)
	}
	if _, err := writer.Bundle(ctx, chosen); !bundle.IsKind(err, bundle.KindUnauthorized) {
		t.Errorf("a revoked token: %v", err)
	}
	status, err := admin.Status(ctx)
	if err != nil || status.Counts.Collections != 1 || status.Cluster.Leader == "" {
		t.Errorf("status %+v, %v", status, err)
	}
	if peers, err := admin.Peers(ctx); err != nil || len(peers) != 0 {
		t.Errorf("peers %v, %v", peers, err)
	}
}

func TestAnInterruptedPublishLeavesNothingBehind(t *testing.T) {
	_, c := open(t)
	done := publishNew(t, c, files("a", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := client.Publish(ctx, c, files("a", "2"), client.PublishOptions{Bundle: done.Bundle, Progress: func(p client.Progress) {
		if p.Stage == client.StageSending {
			cancel()
		}
	}})
	if err == nil {
		t.Error("it went on")
	}
	for d, err := range c.Drafts(t.Context()) {
		t.Errorf("a draft was left: %+v, %v", d, err)
	}
	if b, err := c.Bundle(t.Context(), done.Bundle); err != nil || b.Newest() != 1 {
		t.Errorf("bundle %+v, %v", b, err)
	}
}
