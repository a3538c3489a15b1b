package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	ownPaths    = 2  // paths that one client writes, in its draft alone
	sharedPaths = 16 // paths that all clients of a bundle write
	sharedDir   = "shared/"
	largeFile   = 300 << 10 // bytes; too large for a pack
)

// client changes one draft, one step after the other.
type client struct {
	*contest
	n, draft int
	rng      *rand.Rand
	steps    int
	mine     files // what its own paths must show
}

func newClient(c *contest, n int) *client {
	return &client{
		contest: c, n: n, draft: n % c.options.drafts, mine: make(files),
		rng: rand.New(rand.NewPCG(c.seed, uint64(n))),
	}
}

// work makes steps until over is closed. What was begun gets its answer first.
func (c *client) work(ctx context.Context, over <-chan struct{}) error {
	for {
		select {
		case <-over:
			return nil
		default:
		}
		if err := c.step(ctx); err != nil {
			return fmt.Errorf("client %d: %w", c.n, err)
		}
	}
}

func (c *client) step(ctx context.Context) error {
	c.steps++
	switch p := c.rng.IntN(100); {
	case p < 55:
		return c.change(ctx)
	case p < 78:
		return c.commitDraft(ctx)
	case p < 84:
		return c.rebase(ctx)
	}
	return c.look(ctx)
}

// key returns an Idempotency-Key that no other change has.
func (c *client) key(what string) string { return fmt.Sprintf("%s-%d-%d", what, c.n, c.steps) }

// change writes or deletes an own file, and now and then a shared one, too.
func (c *client) change(ctx context.Context) error {
	edits := map[string][]byte{c.ownPath(): c.content()}
	if c.rng.IntN(8) == 0 {
		edits[c.ownPath()] = nil
	}
	if c.rng.IntN(5) == 0 {
		edits[fmt.Sprintf("%s%d.txt", sharedDir, c.rng.IntN(sharedPaths))] = c.content()
	}
	return c.patch(ctx, c.key("patch"), edits)
}

func (c *client) ownPath() string {
	return fmt.Sprintf("client-%02d/%d.txt", c.n, c.rng.IntN(ownPaths))
}

// content returns bytes that nobody else writes.
func (c *client) content() []byte {
	size := 20 + c.rng.IntN(2000)
	if c.rng.IntN(100) == 0 {
		size = largeFile
	}
	b := fmt.Appendf(nil, "client %d, step %d, %d\n", c.n, c.steps, c.rng.Uint64())
	return append(b, bytes.Repeat([]byte{'.'}, size)...)
}

// hash returns a content's hash_digest.
func hash(content []byte) string {
	h, err := blake2b.New(20, nil)
	if err != nil {
		panic(err) // only for a wrong size
	}
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// patch changes files of the draft; nil deletes.
func (c *client) patch(ctx context.Context, key string, edits map[string][]byte) error {
	sent := make(map[string]any, len(edits))
	ws := make([]write, 0, len(edits))
	for path, content := range edits {
		sent[path] = nil
		w := write{client: c.n, draft: c.draft, path: path}
		if content != nil {
			sent[path], w.value = base64.StdEncoding.EncodeToString(content), hash(content)
		}
		ws = append(ws, w)
	}
	when := span{from: c.now()}
	a, err := c.ask(ctx, http.MethodPatch, "drafts/"+c.drafts[c.draft], key, map[string]any{"files": sent})
	if err != nil {
		return err
	}
	when.to = c.now()
	if a.Status != http.StatusNoContent {
		c.unexpected("PATCH "+key, a)
		return nil
	}
	for i := range ws {
		if ws[i].span = when; !strings.HasPrefix(ws[i].path, sharedDir) {
			c.mine[ws[i].path] = ws[i].value
		}
	}
	c.wrote(ws...)
	c.count(&c.Patches, 1)
	c.count(&c.Files, len(ws))
	return nil
}

// unexpected notes an answer that no client asked for; one of 500 is noted
// already.
func (c *client) unexpected(what string, a site.Answer) {
	if a.Status != http.StatusInternalServerError {
		c.violation(&c.Refused, "%s answered %d: %.300s", what, a.Status, a.Body)
	}
}

// commitDraft publishes the draft. The version says by which commit it was made.
func (c *client) commitDraft(ctx context.Context) error {
	made := commit{draft: c.draft, key: c.key("commit"), span: span{from: c.now()}}
	a, err := c.ask(ctx, http.MethodPost, "drafts/"+c.drafts[c.draft]+"/commit", made.key,
		map[string]string{"change_description": made.key})
	if err != nil {
		return err
	}
	made.to = c.now()
	var body struct {
		Version string `json:"bundle_version"`
	}
	switch {
	case a.Status == http.StatusCreated:
		if err := json.Unmarshal(a.Body, &body); err != nil {
			return fmt.Errorf("%s: %w", made.key, err)
		}
		if made.version, err = site.VersionOf(body.Version); err != nil {
			return fmt.Errorf("%s: %w", made.key, err)
		}
		c.count(&c.Commits, 1)
	case a.Status == http.StatusConflict:
		err = c.mend(ctx, made.key, a)
	case a.Status == http.StatusBadRequest && strings.Contains(string(a.Body), "no changes to commit"):
		c.count(&c.Unchanged, 1)
	default:
		c.unexpected(made.key, a)
	}
	c.committed(made)
	return err
}

func (c *client) rebase(ctx context.Context) error {
	key := c.key("rebase")
	a, err := c.ask(ctx, http.MethodPost, "drafts/"+c.drafts[c.draft]+"/rebase", key, nil)
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusOK:
		c.count(&c.Rebases, 1)
	case a.Status == http.StatusConflict:
		return c.mend(ctx, key, a)
	default:
		c.unexpected(key, a)
	}
	return nil
}

// mend makes the draft agree with the newest version where they conflict.
func (c *client) mend(ctx context.Context, key string, a site.Answer) error {
	c.count(&c.Conflicts, 1)
	var refusal struct {
		Conflicts []struct{ Path, Link, Kind string }
	}
	if err := json.Unmarshal(a.Body, &refusal); err != nil || len(refusal.Conflicts) == 0 {
		c.unexpected(key, a)
		return nil
	}
	newest, err := c.newest(ctx)
	if err != nil {
		return err
	}
	edits := make(map[string][]byte)
	for _, conflict := range refusal.Conflicts {
		if !strings.HasPrefix(conflict.Path, sharedDir) || conflict.Kind == "file_and_folder" {
			c.violation(&c.Refused, "%s conflicts at %s (%s), where nobody else writes", key, conflict.Path, conflict.Kind)
			continue
		}
		edits[conflict.Path] = nil
		if f, ok := newest[conflict.Path]; ok {
			if edits[conflict.Path], err = c.api.Read(ctx, f.URL); err != nil {
				return nil //nolint:nilerr // the server was killed: the next commit conflicts again
			}
		}
	}
	return c.patch(ctx, key+"-mended", edits)
}

// listed is a file in the API's answers.
type listed struct {
	URL  string
	Hash string `json:"hash_digest"`
}

// newest returns the files of the bundle's newest version.
func (c *client) newest(ctx context.Context) (map[string]listed, error) {
	var b struct{ Versions []string }
	if err := c.get(ctx, "bundles/"+c.bundleOf(c.draft), &b); err != nil {
		return nil, err
	}
	number, err := site.VersionOf(slices.Concat([]string{",0"}, b.Versions)[len(b.Versions)])
	if err != nil {
		return nil, err
	}
	v, err := c.version(ctx, c.bundleOf(c.draft), number)
	return v.Snapshot.Files, err
}

// look reads the draft: what this client wrote last must be there.
func (c *client) look(ctx context.Context) error {
	d, err := c.stagedDraft(ctx, c.draft)
	if err != nil {
		return err
	}
	c.count(&c.Reads, 1)
	for path, want := range c.mine {
		if got := d.Staged.Files[path].Hash; got != want {
			c.violation(&c.Lost, "client %d wrote %q to %s of draft %d and read %q after that", c.n, want, path, c.draft, got)
		}
	}
	return nil
}
