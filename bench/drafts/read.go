package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	readers  = 8 // at the same time, at the end
	pageSize = 500
)

// draftDetail is a draft as the API answers it.
type draftDetail struct {
	Staged struct {
		Base  string            `json:"base_snapshot"`
		Files map[string]listed `json:"files"`
	} `json:"staged_draft"`
}

// versionDetail is a version as the API answers it.
type versionDetail struct {
	Number   int    `json:"version_num"`
	Key      string `json:"change_description"`
	Snapshot struct {
		Digest string `json:"hash_digest"`
		Files  map[string]listed
	}
}

// get reads one object; anything but 200 is an error.
func (c *contest) get(ctx context.Context, path string, out any) error {
	a, err := c.ask(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("GET %s answered %d: %.300s", path, a.Status, a.Body)
	}
	return json.Unmarshal(a.Body, out)
}

func (c *contest) stagedDraft(ctx context.Context, draft int) (d draftDetail, err error) {
	return d, c.get(ctx, "drafts/"+c.drafts[draft], &d)
}

func (c *contest) version(ctx context.Context, bundle string, number int) (v versionDetail, err error) {
	return v, c.get(ctx, fmt.Sprintf("bundle_versions/%s,%d", bundle, number), &v)
}

// read returns what the API shows of all bundles.
func (c *contest) read(ctx context.Context) ([]shown, error) {
	bundles := make([]shown, len(c.bundles))
	for i, id := range c.bundles {
		bundles[i].name = fmt.Sprint("bundle ", i)
		var err error
		if bundles[i].versions, err = c.versionsOf(ctx, id); err != nil {
			return nil, err
		}
	}
	for n := range c.drafts {
		d, err := c.stagedDraft(ctx, n)
		if err != nil {
			return nil, err
		}
		b := &bundles[n/draftsOfBundle]
		b.drafts = append(b.drafts, view{n, d.Staged.Base, hashes(d.Staged.Files)})
		if err := c.compareBytes(ctx, d.Staged.Files); err != nil {
			return nil, err
		}
	}
	return bundles, nil
}

func hashes(list map[string]listed) files {
	f := make(files, len(list))
	for path, one := range list {
		f[path] = one.Hash
	}
	return f
}

// versionsOf returns the versions of a bundle as they are listed.
func (c *contest) versionsOf(ctx context.Context, bundle string) ([]version, error) {
	numbers, err := c.list(ctx, bundle)
	if err != nil {
		return nil, err
	}
	details := make([]versionDetail, len(numbers))
	work, whole := errgroup.WithContext(ctx)
	work.SetLimit(readers)
	for i, number := range numbers {
		work.Go(func() (err error) {
			details[i], err = c.version(whole, bundle, number)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	versions := make([]version, len(details))
	for i, d := range details {
		if d.Number != numbers[i] {
			c.violation(&c.Stray, "%s,%d is listed and says that it is version %d", bundle, numbers[i], d.Number)
		}
		versions[i] = version{numbers[i], d.Key, d.Snapshot.Digest, hashes(d.Snapshot.Files)}
	}
	c.count(&c.Versions, len(versions))
	if len(details) == 0 {
		return nil, nil
	}
	return versions, c.compareBytes(ctx, details[len(details)-1].Snapshot.Files)
}

// list returns the numbers of a bundle's versions, page by page.
func (c *contest) list(ctx context.Context, bundle string) (numbers []int, err error) {
	query := url.Values{"bundle__uuid": {bundle}, "limit": {fmt.Sprint(pageSize)}}.Encode()
	for query != "" {
		a, err := c.ask(ctx, http.MethodGet, "bundle_versions?"+query, "", nil)
		if err != nil {
			return nil, err
		}
		var page []struct {
			Number int `json:"version_num"`
		}
		if err := json.Unmarshal(a.Body, &page); a.Status != http.StatusOK || err != nil {
			return nil, fmt.Errorf("the list of versions answered %d: %.300s: %w", a.Status, a.Body, err)
		}
		for _, v := range page {
			numbers = append(numbers, v.Number)
		}
		if query, err = nextPage(a.Header.Get("Link")); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// nextPage returns the query of the page that a Link header names, "" for none.
func nextPage(link string) (string, error) {
	link, ok := strings.CutSuffix(link, `>; rel="next"`)
	if !ok {
		return "", nil
	}
	u, err := url.Parse(strings.TrimPrefix(link, "<"))
	if err != nil {
		return "", err
	}
	return u.RawQuery, nil
}

// compareBytes fetches files and hashes them.
func (c *contest) compareBytes(ctx context.Context, list map[string]listed) error {
	work, whole := errgroup.WithContext(ctx)
	work.SetLimit(readers)
	for path, f := range list {
		work.Go(func() error {
			content, err := c.api.Read(whole, f.URL)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if got := hash(content); got != f.Hash {
				c.violation(&c.Lost, "%s is listed as %s and has bytes of %s", path, f.Hash, got)
			}
			c.count(&c.Bytes, len(content))
			return nil
		})
	}
	return work.Wait()
}
