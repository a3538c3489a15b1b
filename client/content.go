package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

var _ api.Store = (*Client)(nil)

const (
	apiBase   = "api/v1/"
	adminBase = "admin/v1/"
)

func collectionPath(id bundle.ID) string { return apiBase + "collections/" + id.String() }

func bundlePath(id bundle.ID) string { return apiBase + "bundles/" + id.String() }

// Healthy implements [api.Store]. It needs no token.
func (c *Client) Healthy(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodGet, path: "health/"}, nil)
}

// Collections implements [api.Collections].
func (c *Client) Collections(ctx context.Context) iter.Seq2[api.Collection, error] {
	return list[api.Collection](ctx, c, apiBase+"collections", nil)
}

// Collection implements [api.Collections].
func (c *Client) Collection(ctx context.Context, id bundle.ID) (api.Collection, error) {
	return fetch[api.Collection](ctx, c, request{method: http.MethodGet, path: collectionPath(id)})
}

// CreateCollection implements [api.Collections].
func (c *Client) CreateCollection(ctx context.Context, title string) (api.Collection, error) {
	return change[api.Collection](ctx, c, request{
		method: http.MethodPost, path: apiBase + "collections", in: map[string]string{"title": title},
	})
}

// UpdateCollection implements [api.Collections].
func (c *Client) UpdateCollection(ctx context.Context, id bundle.ID, title string) (api.Collection, error) {
	return change[api.Collection](ctx, c, request{
		method: http.MethodPatch, path: collectionPath(id), in: map[string]string{"title": title},
	})
}

// DeleteCollection implements [api.Collections].
func (c *Client) DeleteCollection(ctx context.Context, id bundle.ID) error {
	_, err := c.change(ctx, request{method: http.MethodDelete, path: collectionPath(id)}, nil)
	return err
}

// longQuery is how many bundles a filter names before it is no longer sent in
// the URL.
const longQuery = 200

// Bundles implements [api.Bundles].
func (c *Client) Bundles(ctx context.Context, f api.BundleFilter) iter.Seq2[api.Bundle, error] {
	query := url.Values{}
	if f.Collection != (bundle.ID{}) {
		query.Set("collection__uuid", f.Collection.String())
	}
	if f.Text != "" {
		query.Set("text_search", f.Text)
	}
	if f.IDs == nil {
		return bundles(list[wireBundle](ctx, c, apiBase+"bundles", query))
	}
	ids := make([]string, len(f.IDs))
	for i, id := range f.IDs {
		ids[i] = id.String()
	}
	query.Set("uuid", strings.Join(ids, ","))
	switch {
	case len(ids) == 0:
		return func(func(api.Bundle, error) bool) {}
	case len(ids) <= longQuery:
		return bundles(list[wireBundle](ctx, c, apiBase+"bundles", query))
	}
	return bundles(c.namedBundles(ctx, query))
}

// namedBundles asks for bundles by a filter that is too long for a URL: it goes
// in the body, and the answer is one page.
func (c *Client) namedBundles(ctx context.Context, filter url.Values) iter.Seq2[wireBundle, error] {
	return func(yield func(wireBundle, error) bool) {
		in := make(map[string]string, len(filter))
		for key := range filter {
			in[key] = filter.Get(key)
		}
		found, err := fetch[[]wireBundle](ctx, c, request{method: http.MethodGet, path: apiBase + "bundles", in: in})
		if err != nil { // what was read before it does not count
			yield(wireBundle{}, err)
			return
		}
		for _, b := range found {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// bundles turns what is on the wire into values.
func bundles(wire iter.Seq2[wireBundle, error]) iter.Seq2[api.Bundle, error] {
	return func(yield func(api.Bundle, error) bool) {
		for w, err := range wire {
			var b api.Bundle
			if err == nil {
				b, err = w.value()
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// bundleOf returns the bundle that an answer shows, and its revision.
func bundleOf(w wireBundle, h http.Header, err error) (api.Bundle, error) {
	if err != nil {
		return api.Bundle{}, err
	}
	b, err := w.value()
	b.Revision = revisionOf(h)
	return b, err
}

// Bundle implements [api.Bundles].
func (c *Client) Bundle(ctx context.Context, id bundle.ID) (api.Bundle, error) {
	var w wireBundle
	h, err := c.exchange(ctx, request{method: http.MethodGet, path: bundlePath(id)}, &w)
	return bundleOf(w, h, err)
}

// changeBundle sends a change whose answer is a bundle.
func (c *Client) changeBundle(ctx context.Context, r request) (api.Bundle, error) {
	var w wireBundle
	h, err := c.change(ctx, r, &w)
	return bundleOf(w, h, err)
}

// newBundle is what a bundle is made from, on the wire.
type newBundle struct {
	Collection  bundle.ID `json:"collection_uuid"`
	Title       string    `json:"title"`
	Slug        string    `json:"slug"`
	Description string    `json:"description"`
}

// CreateBundle implements [api.Bundles].
func (c *Client) CreateBundle(ctx context.Context, b api.NewBundle) (api.Bundle, error) {
	return c.changeBundle(ctx, request{method: http.MethodPost, path: apiBase + "bundles", in: newBundle(b)})
}

// UpdateBundle implements [api.Bundles].
func (c *Client) UpdateBundle(ctx context.Context, id bundle.ID, change api.BundleChange) (api.Bundle, error) {
	return c.changeBundle(ctx, request{
		method: http.MethodPatch, path: bundlePath(id), header: ifMatch(change.IfRevision),
		in: struct {
			Collection  *bundle.ID `json:"collection_uuid,omitempty"`
			Title       *string    `json:"title,omitempty"`
			Slug        *string    `json:"slug,omitempty"`
			Description *string    `json:"description,omitempty"`
		}{change.Collection, change.Title, change.Slug, change.Description},
	})
}

// DeleteBundle implements [api.Bundles].
func (c *Client) DeleteBundle(ctx context.Context, id bundle.ID) error {
	_, err := c.change(ctx, request{method: http.MethodDelete, path: bundlePath(id)}, nil)
	return err
}

// ForkBundle implements [api.Bundles].
func (c *Client) ForkBundle(ctx context.Context, of bundle.ID, f api.Fork) (api.Bundle, error) {
	return c.changeBundle(ctx, request{
		method: http.MethodPost, path: bundlePath(of) + "/fork",
		in: struct {
			Version     uint64    `json:"version,omitempty"`
			Collection  bundle.ID `json:"collection_uuid"`
			Title       string    `json:"title,omitempty"`
			Slug        string    `json:"slug,omitempty"`
			Description *string   `json:"description,omitempty"`
		}(f),
	})
}

// Borrowers implements [api.Bundles].
func (c *Client) Borrowers(ctx context.Context, id bundle.ID) iter.Seq2[api.Borrower, error] {
	return list[api.Borrower](ctx, c, bundlePath(id)+"/borrowers", nil)
}
