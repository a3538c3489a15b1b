package syndication

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// frameBuffer is what a stream of frames is read and written through.
const frameBuffer = 256 << 10

// Manifests asks for manifest pages and calls fn with each as it arrives, from
// this goroutine: a page after the one that refers to it, none twice, and none
// that belongs to a version in Have. Each has been checked to be a wanted root,
// or a child of a page that came before; anything else is ALTERED. That all
// pages came, and that they are pages this program can read, only the manifest itself tells ([bundle.Manifest.Verify]): a root
// of more than [bundle.MaxFrameBlob] bytes is left out with all that is below.
// [Client.File] with an empty path fetches it, and the want's Root then asks for
// the rest. An error of fn ends the call.
func (c *Client) Manifests(ctx context.Context, wants []ManifestWant, fn func(bundle.Frame) error) error {
	if len(wants) == 0 {
		return nil
	}
	body, err := encodeManifestWants(wants)
	if err != nil {
		return err
	}
	pages := pageCheck{expected: make(map[bundle.Digest]bool)}
	for _, w := range wants {
		pages.expected[w.Manifest] = len(w.Root) == 0
		if len(w.Root) == 0 {
			continue
		}
		if bundle.DigestOf(w.Root) != w.Manifest {
			return alarm(publog.AlarmAltered, "the root page of %d bytes is not the manifest %s", len(w.Root), w.Manifest)
		}
		pages.expectBelow(w.Root)
	}
	return c.frames(ctx, call{endpoint: "manifests", method: http.MethodPost, body: body}, func(f bundle.Frame) error {
		if err := pages.take(f); err != nil {
			return err
		}
		return fn(f)
	})
}

// pageCheck follows the tree of pages.
type pageCheck struct {
	expected map[bundle.Digest]bool // true until the page came
}

func (p pageCheck) take(f bundle.Frame) error {
	pending, known := p.expected[f.Digest]
	switch {
	case !known:
		return alarm(publog.AlarmAltered, "the peer sent %s, which is no page of a manifest that was asked for", f.Digest)
	case !pending:
		return alarm(publog.AlarmEndless, "the peer sent the manifest page %s twice", f.Digest)
	}
	p.expected[f.Digest] = false
	page, _, err := f.Open()
	if err != nil {
		return alarm(publog.AlarmAltered, "manifest page %s: %v", f.Digest, err)
	}
	p.expectBelow(page)
	return nil
}

// expectBelow expects the pages that page refers to. One that cannot be read,
// of a later format for instance, is what its primary published all the same:
// whoever opens the manifest says so.
func (p pageCheck) expectBelow(page []byte) {
	children, err := bundle.PageChildren(page)
	if err != nil {
		return
	}
	for _, d := range children {
		if _, ok := p.expected[d]; !ok {
			p.expected[d] = true
		}
	}
}

// Blobs asks for files of versions and calls fn with each as it arrives, from
// this goroutine: one frame for each position, in the order asked. What the
// frames hold is for the caller to check ([bundle.Frame.Open], and the digest
// that stands in the manifest). More frames than were asked for are ENDLESS,
// fewer are of [bundle.KindUnavailable]: what came can be kept. An error of fn
// ends the call.
func (c *Client) Blobs(ctx context.Context, wants []BlobWant, fn func(bundle.Frame) error) error {
	left := 0
	for _, w := range wants {
		left += len(w.Positions)
	}
	if left == 0 {
		return nil
	}
	body, err := encodeBlobWants(wants)
	if err != nil {
		return err
	}
	err = c.frames(ctx, call{endpoint: "blobs", method: http.MethodPost, body: body}, func(f bundle.Frame) error {
		if left == 0 {
			return alarm(publog.AlarmEndless, "the peer sends more files than were asked for")
		}
		left--
		return fn(f)
	})
	if err == nil && left > 0 {
		return interrupted(ctx, io.ErrUnexpectedEOF)
	}
	return err
}

// frames sends a request and hands over the frames of its answer.
func (c *Client) frames(ctx context.Context, q call, fn func(bundle.Frame) error) error {
	resp, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if t := resp.Header.Get("Content-Type"); t != bundle.FramesType {
		return alarm(publog.AlarmAltered, "the answer to %s is of type %q", q.endpoint, t)
	}
	r := bundle.NewFrameReader(bufio.NewReaderSize(resp.Body, frameBuffer))
	for {
		f, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case bundle.IsKind(err, bundle.KindInvalid):
			return alarm(publog.AlarmAltered, "%v", err)
		case err != nil:
			return interrupted(ctx, err)
		}
		if err := fn(f); err != nil {
			return err
		}
	}
}

// File opens one file of a version from offset on, whatever its size; size is
// that of the whole file. The empty path stands for the manifest's root page.
// The caller closes the reader, which ends where the file should; one that ends
// early fails with [io.ErrUnexpectedEOF], and can be resumed where it broke off.
func (c *Client) File(ctx context.Context, ref bundle.VersionRef, path string, offset int64) (r io.ReadCloser, size int64, err error) {
	q := call{endpoint: "file", method: http.MethodGet, query: url.Values{
		"bundle": {ref.Bundle.String()}, "version": {strconv.FormatUint(ref.Number, 10)},
	}}
	if path != "" {
		q.query.Set("path", path)
	}
	if offset > 0 {
		q.header = map[string]string{"Range": "bytes=" + strconv.FormatInt(offset, 10) + "-"}
	}
	resp, err := c.do(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	size, err = wholeSize(resp, offset)
	if err != nil {
		resp.Body.Close()
		return nil, 0, err
	}
	return &fileReader{body: resp.Body, left: size - offset}, size, nil
}

// wholeSize reads the size of the whole file and checks that the answer is the
// range from offset to its end.
func wholeSize(resp *http.Response, offset int64) (int64, error) {
	size := offset + resp.ContentLength
	want := ""
	if offset > 0 {
		want = contentRange(offset, size)
	}
	if resp.ContentLength < 0 || size < offset || resp.Header.Get("Content-Range") != want || (resp.StatusCode == http.StatusPartialContent) != (offset > 0) {
		return 0, alarm(publog.AlarmAltered, "asked for a file from byte %d, the peer answers %s with the range %q of %d bytes",
			offset, resp.Status, resp.Header.Get("Content-Range"), resp.ContentLength)
	}
	return size, nil
}

func contentRange(offset, size int64) string {
	return "bytes " + strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(size-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// fileReader makes a short answer an error.
type fileReader struct {
	body io.ReadCloser
	left int64
}

func (r *fileReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *fileReader) Close() error { return r.body.Close() }
