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
)

// pageSize is how many items of a list are asked for at once.
const pageSize = 1000

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
