package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/blockstored/blockstored/bundle"
)

// Missing returns which of the blobs the instance does not have, at most
// 100 000 at once, in the order asked.
func (c *Client) Missing(ctx context.Context, ds []bundle.Digest) ([]bundle.Digest, error) {
	in := struct {
		Digests []bundle.Digest `json:"digests"`
	}{ds}
	var out struct {
		Missing []bundle.Digest `json:"missing"`
	}
	err := c.call(ctx, request{method: http.MethodPost, path: apiBase + "blobs/missing", in: in}, &out)
	return out.Missing, err
}

// SendFrames stores small blobs: r is their frames, one after the other, and
// length their bytes, -1 if that is not known. It returns the number stored. On
// an error some of them may be stored.
func (c *Client) SendFrames(ctx context.Context, r io.Reader, length int64) (int, error) {
	var out struct {
		Stored int `json:"stored"`
	}
	err := c.call(ctx, request{
		method: http.MethodPost, path: apiBase + "blobs", body: r, length: length,
		mediaType: "application/vnd.blockstored.frames",
	}, &out)
	return out.Stored, err
}

// SendBlob stores one blob of any size, streamed. The instance refuses bytes
// that do not match the digest.
func (c *Client) SendBlob(ctx context.Context, d bundle.Digest, r io.Reader, size int64) error {
	return c.call(ctx, request{
		method: http.MethodPut, path: apiBase + "blobs/" + d.String(), body: r, length: size,
		mediaType: "application/octet-stream",
	}, nil)
}

// PutDraftFile streams a file of any size into a draft. The size may be -1.
func (c *Client) PutDraftFile(ctx context.Context, draft bundle.ID, path string, r io.Reader, size int64) error {
	return c.call(ctx, request{
		method: http.MethodPut, path: draftPath(draft) + "/files/" + escapePath(path), body: r, length: size,
		mediaType: "application/octet-stream",
	}, nil)
}

// DeleteDraftFile removes a file from a draft.
func (c *Client) DeleteDraftFile(ctx context.Context, draft bundle.ID, path string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: draftPath(draft) + "/files/" + escapePath(path)}, nil)
}

// Range is a stretch of a file. The zero Range is the whole file.
type Range struct {
	Offset int64 // bytes
	Length int64 // bytes, 0 for all that follows
}

func (r Range) header() map[string]string {
	switch {
	case r == Range{}:
		return nil
	case r.Length == 0:
		return map[string]string{"Range": fmt.Sprintf("bytes=%d-", r.Offset)}
	}
	return map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)}
}

// OpenVersionFile opens a file of a version. The caller closes the reader,
// which fails with io.ErrUnexpectedEOF if the answer breaks off. A range beyond
// the end of the file is of [bundle.KindInvalid].
func (c *Client) OpenVersionFile(ctx context.Context, b bundle.ID, n uint64, path string, r Range) (io.ReadCloser, error) {
	return c.openFile(ctx, versionPath(b, n)+"/files/"+escapePath(path), r)
}

// OpenDraftFile opens a file of a draft; see [Client.OpenVersionFile].
func (c *Client) OpenDraftFile(ctx context.Context, draft bundle.ID, path string, r Range) (io.ReadCloser, error) {
	return c.openFile(ctx, draftPath(draft)+"/files/"+escapePath(path), r)
}

// OpenURL opens a file by the URL that a version or draft shows for it. The
// token is not sent: such URLs are signed.
func (c *Client) OpenURL(ctx context.Context, fileURL string, r Range) (io.ReadCloser, error) {
	u, err := url.Parse(fileURL)
	if err != nil || u.Host == "" {
		return nil, bundle.Errorf(bundle.KindInvalid, "%q is not the URL of a file", fileURL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fileURL, nil)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "%q is not the URL of a file: %w", fileURL, err)
	}
	for name, value := range r.header() {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return c.content(resp, r)
}

func (c *Client) openFile(ctx context.Context, path string, r Range) (io.ReadCloser, error) {
	header := map[string]string{"Accept": "*/*"}
	for name, value := range r.header() {
		header[name] = value
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, header: header})
	if err != nil {
		return nil, err
	}
	return c.content(resp, r)
}

// content returns the body of an answer that holds what was asked for.
func (c *Client) content(resp *http.Response, r Range) (io.ReadCloser, error) {
	if resp.StatusCode/100 != 2 {
		defer drain(resp.Body)
		return nil, readError(resp)
	}
	if r != (Range{}) && resp.StatusCode != http.StatusPartialContent {
		defer drain(resp.Body)
		return nil, bundle.Errorf(bundle.KindOther, "%s answered a range with %s", c.where, resp.Status)
	}
	return resp.Body, nil
}
