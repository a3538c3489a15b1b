package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// MissingBlobs implements [api.Blobs].
func (c *Client) MissingBlobs(ctx context.Context, ds []bundle.Digest) ([]bundle.Digest, error) {
	in := struct {
		Digests []bundle.Digest `json:"digests"`
	}{ds}
	var out struct {
		Missing []bundle.Digest `json:"missing"`
	}
	err := c.call(ctx, request{method: http.MethodPost, path: apiBase + "blobs/missing", in: in}, &out)
	return out.Missing, err
}

// StoreFrames implements [api.Blobs].
func (c *Client) StoreFrames(ctx context.Context, r io.Reader, length int64) (stored int, err error) {
	var out struct {
		Stored int `json:"stored"`
	}
	err = c.call(ctx, upload(http.MethodPost, apiBase+"blobs", bundle.FramesType, r, length), &out)
	return out.Stored, err
}

// StoreBlob implements [api.Blobs].
func (c *Client) StoreBlob(ctx context.Context, d bundle.Digest, r io.Reader, size int64) error {
	return c.call(ctx, upload(http.MethodPut, apiBase+"blobs/"+d.String(), "application/octet-stream", r, size), nil)
}

// PutDraftFile implements [api.Drafts].
func (c *Client) PutDraftFile(ctx context.Context, id bundle.ID, path string, r io.Reader, size int64) (revision uint64, err error) {
	h, err := c.change(ctx, upload(http.MethodPut, draftFilePath(id, path), "application/octet-stream", r, size), nil)
	return revisionOf(h), err
}

// DeleteDraftFile implements [api.Drafts].
func (c *Client) DeleteDraftFile(ctx context.Context, id bundle.ID, path string) (revision uint64, err error) {
	h, err := c.change(ctx, request{method: http.MethodDelete, path: draftFilePath(id, path)}, nil)
	return revisionOf(h), err
}

func draftFilePath(id bundle.ID, path string) string {
	return draftPath(id) + "/files/" + escapePath(path)
}

// upload is a request with a body that the caller streams.
func upload(method, path, mediaType string, r io.Reader, length int64) request {
	return request{method: method, path: path, body: source{api.Sized(r, length)}, length: length, mediaType: mediaType}
}

// source marks what goes wrong with reading a body to send as the caller's own
// affair.
type source struct{ r io.Reader }

// Read implements io.Reader.
func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &sourceError{err}
	}
	return n, err
}

// sourceError is a failure to read a body to send.
type sourceError struct{ err error }

// Error returns the text of the failure.
func (e *sourceError) Error() string { return e.err.Error() }

// Unwrap returns the failure.
func (e *sourceError) Unwrap() error { return e.err }

// rangeHeader asks for a stretch of a file.
func rangeHeader(r api.Range) map[string]string {
	switch {
	case r == api.Range{}:
		return nil
	case r.Length == 0, r.Length > math.MaxInt64-r.Offset:
		return map[string]string{"Range": fmt.Sprintf("bytes=%d-", r.Offset)}
	}
	return map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)}
}

// OpenVersionFile implements [api.Versions].
func (c *Client) OpenVersionFile(ctx context.Context, b bundle.ID, n uint64, path string, r api.Range) (io.ReadCloser, error) {
	return c.openFile(ctx, versionPath(b, n)+"/files/"+escapePath(path), r)
}

// OpenDraftFile implements [api.Drafts].
func (c *Client) OpenDraftFile(ctx context.Context, id bundle.ID, path string, r api.Range) (io.ReadCloser, error) {
	return c.openFile(ctx, draftFilePath(id, path), r)
}

// OpenURL opens a file by the URL that a version or draft shows for it. The
// token is not sent: such URLs are signed.
func (c *Client) OpenURL(ctx context.Context, fileURL string, r api.Range) (io.ReadCloser, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(fileURL)
	if err != nil || u.Host == "" {
		return nil, bundle.Errorf(bundle.KindInvalid, "%q is not the URL of a file", fileURL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fileURL, nil)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "%q is not the URL of a file: %w", fileURL, err)
	}
	for name, value := range rangeHeader(r) {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return c.content(resp, r)
}

func (c *Client) openFile(ctx context.Context, path string, r api.Range) (io.ReadCloser, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	header := map[string]string{"Accept": "*/*"}
	for name, value := range rangeHeader(r) {
		header[name] = value
	}
	req, err := c.build(ctx, request{method: http.MethodGet, path: path, header: header})
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return c.content(resp, r)
}

// content returns the body of an answer that holds what was asked for.
func (c *Client) content(resp *http.Response, r api.Range) (io.ReadCloser, error) {
	empty := resp.StatusCode == http.StatusOK && resp.ContentLength == 0 // no range of it can be answered
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable, empty && r.Offset > 0:
		drain(resp.Body)
		return nil, api.NoSuchRange(r)
	case resp.StatusCode/100 != 2:
		defer drain(resp.Body)
		return nil, readError(resp)
	case r != api.Range{} && resp.StatusCode != http.StatusPartialContent && !empty:
		drain(resp.Body)
		return nil, bundle.Errorf(bundle.KindOther, "%s answered a range with %s", c.where, resp.Status)
	}
	return resp.Body, nil
}
