package client

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func versionPath(b bundle.ID, n uint64) string {
	return apiBase + "bundle_versions/" + b.String() + "," + strconv.FormatUint(n, 10)
}

// Versions implements [api.Versions].
func (c *Client) Versions(ctx context.Context, f api.VersionFilter) iter.Seq2[api.Version, error] {
	query := url.Values{}
	if f.Bundle != (bundle.ID{}) {
		query.Set("bundle__uuid", f.Bundle.String())
	}
	if f.Collection != (bundle.ID{}) {
		query.Set("bundle__collection__uuid", f.Collection.String())
	}
	return list[api.Version](ctx, c, apiBase+"bundle_versions", query)
}

// Version implements [api.Versions].
func (c *Client) Version(ctx context.Context, b bundle.ID, n uint64) (api.Version, error) {
	return fetch[api.Version](ctx, c, request{method: http.MethodGet, path: versionPath(b, n)})
}

// DescribeVersion implements [api.Versions].
func (c *Client) DescribeVersion(ctx context.Context, b bundle.ID, n uint64, description string) (api.Version, error) {
	return change[api.Version](ctx, c, request{
		method: http.MethodPatch, path: versionPath(b, n), in: map[string]string{"change_description": description},
	})
}

// WriteArchive implements [api.Versions].
func (c *Client) WriteArchive(ctx context.Context, b bundle.ID, n uint64, format api.ArchiveFormat, w io.Writer) error {
	resp, err := c.send(ctx, request{
		method: http.MethodGet, path: versionPath(b, n) + "/archive", query: url.Values{"format": {string(format)}},
		header: map[string]string{"Accept": "*/*"},
	})
	if err != nil {
		return err
	}
	defer drain(resp.Body)
	return copyContent(ctx, w, resp.Body)
}

// Diff implements [api.Versions].
func (c *Client) Diff(ctx context.Context, b bundle.ID, from, to uint64) (api.Diff, error) {
	return fetch[api.Diff](ctx, c, request{
		method: http.MethodGet, path: versionPath(b, from) + "/diff/" + strconv.FormatUint(to, 10),
	})
}
