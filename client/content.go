package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

const (
	apiBase   = "api/v1/"
	adminBase = "admin/v1/"

	// pageSize is how many items of a list are asked for at once.
	pageSize = 1000
)

func versionPath(b bundle.ID, n uint64) string {
	return apiBase + "bundle_versions/" + b.String() + "," + strconv.FormatUint(n, 10)
}

func draftPath(id bundle.ID) string { return apiBase + "drafts/" + id.String() }

// Healthy returns nil if the instance answers and its database does.
func (c *Client) Healthy(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodGet, path: "health/"}, nil)
}

// Collections lists the collections in the order they came. An error is the
// last item.
func (c *Client) Collections(ctx context.Context) iter.Seq2[Collection, error] {
	return list[Collection](ctx, c, apiBase+"collections", nil)
}

// Collection returns one collection.
func (c *Client) Collection(ctx context.Context, id bundle.ID) (Collection, error) {
	return fetch[Collection](ctx, c, request{method: http.MethodGet, path: apiBase + "collections/" + id.String()})
}

// CreateCollection makes a collection of that title, 1 to 180 code points.
func (c *Client) CreateCollection(ctx context.Context, title string) (Collection, error) {
	return fetch[Collection](ctx, c, request{
		method: http.MethodPost, path: apiBase + "collections", in: map[string]string{"title": title}, header: once(),
	})
}

// Bundles lists the bundles that match f in the order they came. An error is
// the last item.
func (c *Client) Bundles(ctx context.Context, f BundleFilter) iter.Seq2[Bundle, error] {
	query := url.Values{}
	if f.Collection != (bundle.ID{}) {
		query.Set("collection__uuid", f.Collection.String())
	}
	if f.Text != "" {
		query.Set("text_search", f.Text)
	}
	return list[Bundle](ctx, c, apiBase+"bundles", query)
}

// Bundle returns one bundle.
func (c *Client) Bundle(ctx context.Context, id bundle.ID) (Bundle, error) {
	return fetch[Bundle](ctx, c, request{method: http.MethodGet, path: apiBase + "bundles/" + id.String()})
}

// CreateBundle makes a bundle without versions.
func (c *Client) CreateBundle(ctx context.Context, b NewBundle) (Bundle, error) {
	return fetch[Bundle](ctx, c, request{method: http.MethodPost, path: apiBase + "bundles", in: b, header: once()})
}

// DeleteBundle withdraws a bundle of this instance.
func (c *Client) DeleteBundle(ctx context.Context, id bundle.ID) error {
	return c.call(ctx, request{method: http.MethodDelete, path: apiBase + "bundles/" + id.String()}, nil)
}

// Versions lists the versions of a bundle, ascending, without their snapshots.
// An error is the last item.
func (c *Client) Versions(ctx context.Context, b bundle.ID) iter.Seq2[Version, error] {
	return list[Version](ctx, c, apiBase+"bundle_versions", url.Values{"bundle__uuid": {b.String()}})
}

// Version returns one version with its snapshot: some 300 bytes of memory a
// file.
func (c *Client) Version(ctx context.Context, b bundle.ID, n uint64) (Version, error) {
	return fetch[Version](ctx, c, request{method: http.MethodGet, path: versionPath(b, n)})
}

// Drafts lists all drafts, without what is staged. An error is the last item.
func (c *Client) Drafts(ctx context.Context) iter.Seq2[Draft, error] {
	return list[Draft](ctx, c, apiBase+"drafts", nil)
}

// Draft returns one draft with what is staged.
func (c *Client) Draft(ctx context.Context, id bundle.ID) (Draft, error) {
	return fetch[Draft](ctx, c, request{method: http.MethodGet, path: draftPath(id)})
}

// CreateDraft makes a draft that starts from the bundle's newest version. The
// name is unique in the bundle.
func (c *Client) CreateDraft(ctx context.Context, b bundle.ID, name string) (Draft, error) {
	in := map[string]string{"bundle_uuid": b.String(), "name": name}
	return fetch[Draft](ctx, c, request{method: http.MethodPost, path: apiBase + "drafts", in: in, header: once()})
}

// PatchDraft changes a draft, as a whole or not at all: at most 100 000 files
// at once. An error of [bundle.KindBlobGone] means that the instance does not
// have, or no longer has, one of the named blobs.
func (c *Client) PatchDraft(ctx context.Context, id bundle.ID, p Patch) error {
	return c.call(ctx, request{method: http.MethodPatch, path: draftPath(id), in: p}, nil)
}

// CommitDraft makes the draft's state the next version of its bundle and
// returns its number. An error of [bundle.KindConflict] names what another
// commit changed as well; nothing has changed then. A commit whose answer got
// lost is asked for again under the same key, so that it happens once.
func (c *Client) CommitDraft(ctx context.Context, id bundle.ID, commit Commit) (uint64, error) {
	var out struct {
		BundleVersion string `json:"bundle_version"`
	}
	r := request{method: http.MethodPost, path: draftPath(id) + "/commit", in: commit, header: once()}
	err := again(ctx, func() error { return c.call(ctx, r, &out) })
	return versionOf(out.BundleVersion), err
}

// DeleteDraft removes a draft and what is staged in it.
func (c *Client) DeleteDraft(ctx context.Context, id bundle.ID) error {
	return c.call(ctx, request{method: http.MethodDelete, path: draftPath(id)}, nil)
}

// once gives a POST a key of its own, so that the instance answers a repeated
// delivery of it with the first answer.
func once() map[string]string {
	return map[string]string{"Idempotency-Key": bundle.NewID().String()}
}

// list asks for a list page by page.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		q.Set("limit", strconv.Itoa(pageSize))
		for {
			page, next, err := listPage[T](ctx, c, path, q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			q.Set("cursor", next)
		}
	}
}

// listPage returns one page and the cursor of the next, "" at the end.
func listPage[T any](ctx context.Context, c *Client, path string, q url.Values) (page []T, next string, err error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, query: q})
	if err != nil {
		return nil, "", err
	}
	defer drain(resp.Body)
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, "", c.broken(ctx, fmt.Errorf("list %s: %w", path, err))
	}
	return page, nextCursor(resp.Header.Values("Link")), nil
}

// nextCursor returns the cursor of the Link header (RFC 8288) that leads to the
// next page. The rest of its URL is the one asked already, perhaps under a name
// this side cannot resolve.
func nextCursor(links []string) string {
	for _, header := range links {
		for entry := range strings.SplitSeq(header, ",") {
			target, params, ok := strings.Cut(entry, ";")
			if !ok || !strings.Contains(params, `rel="next"`) {
				continue
			}
			u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
			if err == nil {
				return u.Query().Get("cursor")
			}
		}
	}
	return ""
}
