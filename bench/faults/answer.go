package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/blockstored/blockstored/bench/site"
)

// send makes a change, again and on another node while its outcome is open and it
// has a key. It fills in all of the record but what a good answer shows.
func (c *client) send(ctx context.Context, r *record, method, path string, in any) site.Answer {
	if c.rng.IntN(4) > 0 {
		r.Key = c.unique("key")
	}
	r.Call = c.now()
	var a site.Answer
	node := c.node()
	for n := 1; ; n++ {
		before := r.Answer.Told
		a = c.attempt(ctx, r, node, method, path, in)
		if before == open && r.Answer.Told != done {
			// An earlier attempt may still be under way, so what says that nothing was
			// done does not say so of that one.
			r.Answer.Told = open
		}
		if r.Answer.Told != open || r.Key == "" || n == attempts || ctx.Err() != nil {
			break
		}
		site.Pause(ctx, betweenAttempts)
		node = (node + 1 + c.rng.IntN(len(c.apis)-1)) % len(c.apis)
	}
	r.Return = c.now()
	return a
}

// attempt sends a request once and notes what it was told.
func (c *client) attempt(ctx context.Context, r *record, node int, method, path string, in any) site.Answer {
	wait := answerWithin
	inHurry := changesInHurry
	if r.Op.reads() {
		inHurry = readsInHurry
	}
	if !c.calm && c.rng.IntN(100) < inHurry {
		wait = between(c.rng, 0, hurried)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	header := map[string]string{}
	if r.Level != "" {
		header["Blockstored-Consistency"] = r.Level
	}
	if r.Op.IfRevision != 0 {
		header["If-Match"] = fmt.Sprintf(`"%d"`, r.Op.IfRevision)
	}
	r.Nodes = append(r.Nodes, c.names[node])
	a, err := c.apis[node].Ask(ctx, method, path, r.Key, header, in)
	if err != nil {
		r.Answer.Told = open
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			r.Answer.Told = refused // nothing was sent
		}
		r.Texts = append(r.Texts, err.Error())
		return a
	}
	r.Stale = a.Header.Get("Blockstored-Stale") == "true"
	if a.Status/100 != 2 {
		r.Texts = append(r.Texts, fmt.Sprintf("%d stale=%v %.300s", a.Status, r.Stale, a.Body))
	}
	var explained bool
	if r.Answer.Told, explained = classify(r.Op, a); !explained {
		r.Unexplained = r.Texts[len(r.Texts)-1]
	}
	return a
}

// classify says what an answer tells of its operation, and whether a client could
// expect such a one.
func classify(o op, a site.Answer) (t told, explained bool) {
	text := string(a.Body)
	switch {
	case a.Status/100 == 2:
		return done, true
	case a.Status == http.StatusServiceUnavailable && !o.reads() && (strings.Contains(text, "unknown whether") || strings.Contains(text, "given up")):
		return open, true
	case a.Status == http.StatusServiceUnavailable, a.Status == http.StatusInsufficientStorage:
		return refused, true
	case a.Status == http.StatusNotFound && (o.Draft != "" && o.Kind != createDraft || o.Kind == readVersion || o.Kind == readBundle):
		return missing, true
	case a.Status == http.StatusPreconditionFailed && o.IfRevision != 0:
		return unmet, true
	case a.Status == http.StatusConflict && o.Kind == commitDraft && strings.Contains(text, `"conflicts"`):
		return conflict, true
	case a.Status == http.StatusBadRequest && o.Kind == commitDraft && strings.Contains(text, "no changes to commit"):
		return unchanged, true
	case a.Status/100 == 4 || o.reads():
		return refused, false
	}
	return open, false
}

// draftDetail is a draft as the API answers it.
type draftDetail struct {
	Staged snapshot `json:"staged_draft"`
}

// versionDetail is a version as the API answers it.
type versionDetail struct {
	Number   int    `json:"version_num"`
	Label    string `json:"change_description"`
	Snapshot snapshot
}

// snapshot is the files and links of either.
type snapshot struct {
	Files map[string]struct {
		URL      string
		Hash     string `json:"hash_digest"`
		Modified bool
	}
	Links map[string]struct {
		Direct struct {
			Bundle  string `json:"bundle_uuid"`
			Version int
		}
		Modified bool
	}
}

func (s snapshot) content() content {
	c := content{}
	add := func(path, value string, changed bool) {
		if changed {
			value += modified
		}
		c[path] = value
	}
	for path, f := range s.Files {
		add(path, short(f.Hash), f.Modified)
	}
	for name, l := range s.Links {
		add(linkPrefix+name, linkValue(l.Direct.Bundle, l.Direct.Version), l.Modified)
	}
	return c
}

// urls returns where the bytes of the files are.
func (s snapshot) urls() map[string]string {
	urls := map[string]string{}
	for path, f := range s.Files {
		urls[path] = f.URL
	}
	return urls
}

func linkValue(bundle string, version int) string { return fmt.Sprintf("%s,%d", bundle, version) }

// hash returns what a content goes by: the first digits of its hash_digest.
func hash(text []byte) string {
	h, err := blake2b.New(20, nil)
	if err != nil {
		panic(err) // only for a wrong size
	}
	h.Write(text)
	return short(hex.EncodeToString(h.Sum(nil)))
}

func short(hash string) string { return hash[:min(len(hash), 16)] }
