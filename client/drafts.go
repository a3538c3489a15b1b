package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func draftPath(id bundle.ID) string { return apiBase + "drafts/" + id.String() }

// Drafts implements [api.Drafts].
func (c *Client) Drafts(ctx context.Context) iter.Seq2[api.Draft, error] {
	return list[api.Draft](ctx, c, apiBase+"drafts", nil)
}

// draftOf returns the draft that an answer shows, and its revision.
func draftOf(d api.Draft, h http.Header, err error) (api.Draft, error) {
	d.Revision = revisionOf(h)
	return d, err
}

// Draft implements [api.Drafts].
func (c *Client) Draft(ctx context.Context, id bundle.ID) (api.Draft, error) {
	var d api.Draft
	h, err := c.exchange(ctx, request{method: http.MethodGet, path: draftPath(id)}, &d)
	return draftOf(d, h, err)
}

// CreateDraft implements [api.Drafts].
func (c *Client) CreateDraft(ctx context.Context, b bundle.ID, name string) (api.Draft, error) {
	var d api.Draft
	in := map[string]string{"bundle_uuid": b.String(), "name": name}
	h, err := c.change(ctx, request{method: http.MethodPost, path: apiBase + "drafts", in: in}, &d)
	return draftOf(d, h, err)
}

// PatchDraft implements [api.Drafts].
func (c *Client) PatchDraft(ctx context.Context, id bundle.ID, p api.Patch) (revision uint64, err error) {
	h, err := c.change(ctx, request{method: http.MethodPatch, path: draftPath(id), header: ifMatch(p.IfRevision), in: wireOf(p)}, nil)
	return revisionOf(h), err
}

// CommitDraft implements [api.Drafts]. A commit whose answer got lost is asked
// for again under the same key, so that it happens once.
func (c *Client) CommitDraft(ctx context.Context, id bundle.ID, commit api.Commit) (number uint64, err error) {
	var out struct {
		BundleVersion string `json:"bundle_version"`
	}
	ctx, err = withKey(ctx)
	if err != nil {
		return 0, err
	}
	r := request{method: http.MethodPost, path: draftPath(id) + "/commit", header: ifMatch(commit.IfRevision), in: commit}
	err = again(ctx, func() error {
		_, err := c.change(ctx, r, &out)
		return err
	})
	if err != nil {
		return 0, err
	}
	return numberOf(out.BundleVersion)
}

// RebaseDraft implements [api.Drafts].
func (c *Client) RebaseDraft(ctx context.Context, id bundle.ID, ifRevision uint64) (api.Draft, error) {
	d := api.Draft{ID: id} // all that there is if it is gone since
	h, err := c.change(ctx, request{method: http.MethodPost, path: draftPath(id) + "/rebase", header: ifMatch(ifRevision)}, &d)
	return draftOf(d, h, err)
}

// DeleteDraft implements [api.Drafts].
func (c *Client) DeleteDraft(ctx context.Context, id bundle.ID) error {
	_, err := c.change(ctx, request{method: http.MethodDelete, path: draftPath(id)}, nil)
	return err
}
