package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	// answerWithin is how long a client waits for one answer, unless it is in a
	// hurry.
	answerWithin = 10 * time.Second
	// hurried is the longest wait for an answer in a hurry.
	hurried = 1500 * time.Millisecond
	// attempts is how often a request with a key is sent at most.
	attempts = 4
	// betweenAttempts is the pause before it is sent again.
	betweenAttempts = 300 * time.Millisecond

	// inHurry is how many of 100 readings, and of 100 changes, are made in a hurry.
	// The outcome of such a change is often open, which makes histories dearer to
	// check.
	readsInHurry, changesInHurry = 50, 15

	// burst is how many requests a client sends without a pause, about.
	burst = 5

	startBundles = 2
	maxBundles   = 3 // that clients work on; older ones are left alone
	maxDrafts    = 4 // of a bundle, about
)

// client sends one request after the other. Every second one stays with one node,
// so that some work on while the others wait for a node that does not answer.
type client struct {
	*world
	*history
	number int
	rng    *rand.Rand
	apis   []*site.API // by node
	names  []string    // of nodes
	count  int
	think  time.Duration // the mean pause between two requests
	calm   bool          // never in a hurry
}

// work sends requests until over is closed, and waits for the last answer.
func (c *client) work(ctx context.Context, over <-chan struct{}) {
	for {
		if c.rng.IntN(burst) == 0 {
			site.Pause(ctx, burst*between(c.rng, c.think/2, 3*c.think/2))
		}
		select {
		case <-over:
			return
		case <-ctx.Done():
			return
		default:
			c.step(ctx)
		}
	}
}

// step does one thing, by weight.
func (c *client) step(ctx context.Context) {
	b := c.someBundle(c.rng)
	if b == nil || c.rng.IntN(150) == 0 {
		c.makeBundle(ctx)
		return
	}
	d, some := b.someDraft(c.rng)
	switch p := c.rng.IntN(100); {
	case !some || p < 8 && b.count() < maxDrafts:
		c.makeDraft(ctx, b)
	case p < 32:
		c.change(ctx, b, d)
	case p < 50:
		if gone, some := b.someGone(c.rng); some && c.rng.IntN(6) == 0 {
			d = gone
		}
		c.ask(ctx, b, op{Kind: readDraft, Draft: d.name}, d)
	case p < 66:
		c.commit(ctx, b, d)
	case p < 71:
		c.remove(ctx, b, d)
	case p < 83:
		c.ask(ctx, b, op{Kind: readBundle}, d)
	case p < 90:
		c.ask(ctx, b, op{Kind: listVersions}, d)
	default:
		c.ask(ctx, b, op{Kind: readVersion, Number: max(1, b.newest()+1-c.rng.IntN(4))}, d)
	}
}

// node chooses the node for a request.
func (c *client) node() int {
	if c.number%2 == 0 {
		return c.number / 2 % len(c.apis)
	}
	return c.rng.IntN(len(c.apis))
}

// unique returns a name that nothing else in this history has.
func (c *client) unique(what string) string {
	c.count++
	return fmt.Sprintf("%s%d-%d", what, c.number, c.count)
}

// add adds a record of this client's to the history.
func (c *client) add(r record) {
	r.Client = c.number
	c.history.add(r)
}

func (c *client) makeBundle(ctx context.Context) {
	title := c.unique("bundle")
	r := record{Op: op{Kind: createBundle}}
	a := c.send(ctx, &r, http.MethodPost, "bundles", map[string]string{"collection_uuid": c.collection, "title": title, "slug": title})
	var made struct{ UUID string }
	if r.Answer.Told == done && c.read(&r, a, &made) {
		r.Bundle = made.UUID
		c.addBundle(made.UUID)
	}
	c.add(r) // without its id nobody asks for it, whether it is there or not
}

func (c *client) makeDraft(ctx context.Context, b *bundle) {
	name := c.unique("d")
	r := record{Bundle: b.id, Op: op{Kind: createDraft, Draft: name}}
	a := c.send(ctx, &r, http.MethodPost, "drafts", map[string]string{"bundle_uuid": b.id, "name": name})
	var made struct{ UUID string }
	if r.Answer.Told == done && c.read(&r, a, &made) {
		b.addDraft(name, made.UUID)
	}
	c.add(r)
}

// paths that drafts of a bundle share, so that they conflict now and then.
var paths = [...]string{"a.txt", "b.txt", "c/d.txt", "c/e.txt", "f.bin"}

func (c *client) change(ctx context.Context, b *bundle, d draftRef) {
	r := record{Bundle: b.id, Op: op{Kind: patchDraft, Draft: d.name, Edits: content{}}}
	files, links := map[string]any{}, map[string]any{}
	for range 1 + c.rng.IntN(2) {
		path := paths[c.rng.IntN(len(paths))]
		files[path], r.Op.Edits[path] = nil, ""
		if c.rng.IntN(5) > 0 {
			text := []byte(c.text(path))
			files[path], r.Op.Edits[path] = base64.StdEncoding.EncodeToString(text), hash(text)
		}
	}
	if c.rng.IntN(5) == 0 {
		links["next"], r.Op.Edits[linkPrefix+"next"] = nil, ""
		if n := c.rng.IntN(targetVersions + 1); n > 0 {
			links["next"] = map[string]any{"bundle_uuid": c.target, "version": n}
			r.Op.Edits[linkPrefix+"next"] = linkValue(c.target, n)
		}
	}
	if c.rng.IntN(4) == 0 {
		r.Op.IfRevision = d.revision
	}
	a := c.send(ctx, &r, http.MethodPatch, "drafts/"+d.id, map[string]any{"files": files, "links": links})
	if r.Answer.Told == done && r.Key == "" { // the answer to a repetition may tell a later revision
		r.Answer.Revision = c.revision(&r, a)
	}
	c.add(r)
}

// text returns new content, now and then one that others write, too.
func (c *client) text(path string) string {
	if c.rng.IntN(6) == 0 {
		return "common to all of " + path
	}
	text := c.unique("text") + " for " + path
	if path == "f.bin" { // too large for a pack
		text += strings.Repeat(".", 300<<10)
	}
	return text
}

func (c *client) commit(ctx context.Context, b *bundle, d draftRef) {
	label := c.unique("commit")
	r := record{Bundle: b.id, Op: op{Kind: commitDraft, Draft: d.name, Label: label}}
	if c.rng.IntN(5) == 0 {
		r.Op.IfRevision = d.revision
	}
	a := c.send(ctx, &r, http.MethodPost, "drafts/"+d.id+"/commit", map[string]string{"change_description": label})
	var made struct {
		Version string `json:"bundle_version"`
	}
	if r.Answer.Told == done && c.read(&r, a, &made) {
		var err error
		if r.Answer.Number, err = site.VersionOf(made.Version); err != nil {
			r.Unexplained = err.Error()
		}
		b.saw(r.Answer.Number)
	}
	if r.Answer.Told == conflict { // only a change at the path, or the end of the draft, helps
		defer c.remove(ctx, b, d)
	}
	c.add(r)
}

func (c *client) remove(ctx context.Context, b *bundle, d draftRef) {
	r := record{Bundle: b.id, Op: op{Kind: deleteDraft, Draft: d.name}}
	c.send(ctx, &r, http.MethodDelete, "drafts/"+d.id, nil)
	if r.Answer.Told != refused {
		b.dropDraft(d)
	}
	c.add(r)
}

// ask reads, at a level by chance.
func (c *client) ask(ctx context.Context, b *bundle, o op, d draftRef) {
	r := record{Bundle: b.id, Op: o, Level: "consistent"}
	switch p := c.rng.IntN(10); {
	case p < 3:
		r.Level = "strong"
	case p == 3:
		r.Level = "local"
	}
	c.look(ctx, &r, b, d, c.node())
	c.add(r)
}

// look makes a reading through one node.
func (c *client) look(ctx context.Context, r *record, b *bundle, d draftRef, node int) {
	path := map[string]string{
		readDraft: "drafts/" + d.id, readBundle: "bundles/" + b.id, listVersions: "bundle_versions?bundle__uuid=" + b.id,
		readVersion: fmt.Sprintf("bundle_versions/%s,%d", b.id, r.Op.Number),
	}[r.Op.Kind]
	r.Call = c.now()
	a := c.attempt(ctx, r, node, http.MethodGet, path, nil)
	r.Return = c.now()
	if r.Answer.Told == done {
		c.take(r, a, b)
	}
}

// take reads what a reading showed.
func (c *client) take(r *record, a site.Answer, b *bundle) {
	switch r.Op.Kind {
	case readDraft:
		var d draftDetail
		if c.read(r, a, &d) {
			r.Answer.Shown = d.Staged.content()
			r.Answer.Revision = c.revision(r, a)
			b.sawRevision(r.Op.Draft, r.Answer.Revision)
		}
	case readVersion:
		var v versionDetail
		if c.read(r, a, &v) {
			r.Answer.Shown, r.Answer.Label, r.Answer.URLs = v.Snapshot.content(), v.Label, v.Snapshot.urls()
		}
	case readBundle:
		var shown struct {
			Versions []string
			Drafts   map[string]string
		}
		if c.read(r, a, &shown) {
			r.Answer.Drafts = []string{}
			for name, url := range shown.Drafts {
				r.Answer.Drafts = append(r.Answer.Drafts, name)
				b.mayAddDraft(name, url[strings.LastIndexByte(strings.TrimSuffix(url, "/"), '/')+1:])
			}
			slices.Sort(r.Answer.Drafts)
			r.Answer.Number = c.newestOf(r, shown.Versions)
		}
	case listVersions:
		var list []struct {
			URL string
		}
		if c.read(r, a, &list) {
			urls := make([]string, len(list))
			for i, v := range list {
				urls[i] = v.URL
			}
			r.Answer.Number = c.newestOf(r, urls)
		}
	}
	b.saw(r.Answer.Number)
}

// newestOf returns how many versions there are, which must be 1, 2, 3 and so on.
func (c *client) newestOf(r *record, urls []string) int {
	for i, url := range urls {
		n, err := site.VersionOf(url)
		if err != nil || n != i+1 {
			r.Unexplained = fmt.Sprintf("the versions %v", urls)
		}
		r.Answer.Listed = append(r.Answer.Listed, n)
	}
	return len(urls)
}

// read decodes an answer's body.
func (c *client) read(r *record, a site.Answer, out any) bool {
	if err := json.Unmarshal(a.Body, out); err != nil {
		r.Answer.Told, r.Unexplained = open, fmt.Sprintf("%v in %.200q", err, a.Body)
		return false
	}
	return true
}

// revision returns what the answer's entity tag says.
func (c *client) revision(r *record, a site.Answer) int {
	n, err := strconv.Atoi(strings.Trim(a.Header.Get("ETag"), `"`))
	if err != nil {
		r.Unexplained = fmt.Sprintf("the entity tag %q", a.Header.Get("ETag"))
	}
	return n
}
