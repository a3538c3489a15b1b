package syndication

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

const (
	rootBatch = 256  // manifests looked at together
	blobBatch = 4096 // files whose places are looked up together
)

// errNotGranted is the same for what is not granted and what is not there.
func errNotGranted(ref bundle.VersionRef) error {
	return bundle.Errorf(bundle.KindNotFound, "version %d of bundle %s is not here, or not granted to you", ref.Number, ref.Bundle)
}

// granted returns the manifest of a version that the sight shows.
func granted(v *catalog.View, sight *access.Sight, ref bundle.VersionRef) (bundle.Digest, error) {
	shown, err := sight.Version(ref)
	if err != nil {
		return bundle.Digest{}, err
	}
	if !shown {
		return bundle.Digest{}, errNotGranted(ref)
	}
	version, err := v.Version(ref)
	return version.Manifest, err
}

// sighted calls fn with the sight of the asking peer.
func (s *Server) sighted(x *exchange, fn func(v *catalog.View, sight *access.Sight) error) error {
	return s.cfg.Catalog.View(x.r.Context(), func(v *catalog.View) error {
		peer, err := v.Peer(x.peer)
		if err != nil {
			return err
		}
		return fn(v, access.Visible(v, peer))
	})
}

// frameWriter writes frames as the answer. The head of the answer waits for the
// first of them, so that what fails before it is answered as an error.
type frameWriter struct {
	x   *exchange
	buf *bufio.Writer
	tmp []byte
}

func newFrameWriter(x *exchange) *frameWriter {
	return &frameWriter{x: x, buf: bufio.NewWriterSize(x, frameBuffer)}
}

func (w *frameWriter) frame(f bundle.Frame) error {
	if w.x.status == 0 {
		w.x.begin(http.StatusOK, bundle.FramesType)
	}
	w.tmp = f.AppendTo(w.tmp[:0])
	_, err := w.buf.Write(w.tmp)
	return err
}

// end completes the answer.
func (w *frameWriter) end() error {
	if w.x.status == 0 {
		w.x.begin(http.StatusOK, bundle.FramesType)
	}
	return w.buf.Flush()
}

// pageTree is a manifest that is wanted, and one that need not be sent.
type pageTree struct {
	root  bundle.Digest
	have  bundle.Digest // zero for none
	below bool          // the root itself is not wanted
}

// manifests streams manifest pages.
func (s *Server) manifests(x *exchange) error {
	wants, err := decodeManifestWants(x.body)
	if err != nil {
		return err
	}
	trees := make([]pageTree, len(wants))
	err = s.sighted(x, func(v *catalog.View, sight *access.Sight) error {
		for i, want := range wants {
			trees[i].below = want.below
			if trees[i].root, err = granted(v, sight, want.ref); err != nil {
				return err
			}
			if want.have == 0 {
				continue
			}
			trees[i].have, err = granted(v, sight, bundle.VersionRef{Bundle: want.ref.Bundle, Number: want.have})
			if err != nil && !bundle.IsKind(err, bundle.KindNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	w := pageWalk{server: s, out: newFrameWriter(x), done: make(map[bundle.Digest]bool)}
	for len(trees) > 0 {
		n := min(len(trees), rootBatch)
		if err := w.trees(x.r.Context(), trees[:n]); err != nil {
			return fmt.Errorf("send manifests: %w", err)
		}
		trees = trees[n:]
	}
	return w.out.end()
}

// pageWalk sends each page once, parents before children.
type pageWalk struct {
	server *Server
	out    *frameWriter
	done   map[bundle.Digest]bool // sent, or not to be sent
}

// trees sends the pages of some manifests, level by level.
func (w *pageWalk) trees(ctx context.Context, trees []pageTree) error {
	var roots []bundle.Digest
	from := make(map[bundle.Digest]pageTree)
	for _, t := range trees {
		if t.have == t.root || w.done[t.root] {
			continue
		}
		w.done[t.root] = true
		from[t.root] = t
		roots = append(roots, t.root)
	}
	var level []bundle.Digest
	err := w.pages(ctx, roots, from, func(root bundle.Digest, children []bundle.Digest) error {
		if have := from[root].have; len(children) > 0 && !have.IsZero() {
			if err := w.skip(ctx, have); err != nil {
				return err
			}
		}
		level = append(level, children...)
		return nil
	})
	for err == nil && len(level) > 0 {
		var next, send []bundle.Digest
		for _, d := range level {
			if !w.done[d] {
				w.done[d] = true
				send = append(send, d)
			}
		}
		err = w.pages(ctx, send, nil, func(_ bundle.Digest, children []bundle.Digest) error {
			next = append(next, children...)
			return nil
		})
		level = next
	}
	return err
}

// skip marks the pages of a manifest that need not be sent.
func (w *pageWalk) skip(ctx context.Context, have bundle.Digest) error {
	fetch := w.server.cfg.Contents.Fetch
	m, err := bundle.Open(ctx, have, fetch)
	if err != nil {
		return err
	}
	pages, err := m.Pages(ctx, fetch)
	for _, d := range pages {
		w.done[d] = true
	}
	return err
}

// pages sends pages and tells fn the children of each. roots are told apart
// from other pages by being keys of the map.
func (w *pageWalk) pages(ctx context.Context, ds []bundle.Digest, roots map[bundle.Digest]pageTree, fn func(d bundle.Digest, children []bundle.Digest) error) error {
	located, err := w.server.cfg.Contents.Locate(ctx, ds)
	if err != nil {
		return err
	}
	framed := located[:0:0]
	for i, l := range located {
		t, root := roots[ds[i]]
		switch {
		case root && t.below:
			err = w.children(ctx, l.Digest, fn)
		case root && l.Size > bundle.MaxFrameBlob: // it is fetched as a file
		default:
			framed = append(framed, l)
		}
		if err != nil {
			return err
		}
	}
	return w.server.cfg.Store.ReadFrames(ctx, framed, func(f bundle.Frame) error {
		page, _, err := f.Open()
		if err != nil {
			return err
		}
		if err := w.out.frame(f); err != nil {
			return err
		}
		children, err := bundle.PageChildren(page)
		if err != nil {
			return err
		}
		return fn(f.Digest, children)
	})
}

// children tells fn the children of a page that is not sent.
func (w *pageWalk) children(ctx context.Context, d bundle.Digest, fn func(bundle.Digest, []bundle.Digest) error) error {
	pages, err := w.server.cfg.Contents.Fetch(ctx, []bundle.Digest{d})
	if err != nil {
		return err
	}
	children, err := bundle.PageChildren(pages[0])
	if err != nil {
		return err
	}
	return fn(d, children)
}

// blobs streams files of versions, as they lie in the packs.
func (s *Server) blobs(x *exchange) error {
	wants, err := decodeBlobWants(x.body)
	if err != nil {
		return err
	}
	manifests := make([]bundle.Digest, len(wants))
	err = s.sighted(x, func(v *catalog.View, sight *access.Sight) error {
		for i, want := range wants {
			if manifests[i], err = granted(v, sight, want.Ref); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	ctx := x.r.Context()
	out := newFrameWriter(x)
	var batch []bundle.Digest
	for i, want := range wants {
		files, err := s.pick(ctx, manifests[i], want)
		if err != nil {
			return err
		}
		if batch = append(batch, files...); len(batch) < blobBatch && i < len(wants)-1 {
			continue
		}
		located, err := s.cfg.Contents.Locate(ctx, batch)
		if err != nil {
			return fmt.Errorf("send files: %w", err)
		}
		if err := s.cfg.Store.ReadFrames(ctx, located, out.frame); err != nil {
			return fmt.Errorf("send files: %w", err)
		}
		batch = batch[:0]
	}
	return out.end()
}

// errPicked ends the walk of a manifest early.
var errPicked = errors.New("all files were found")

// pick returns the digests of the wanted files of a manifest.
func (s *Server) pick(ctx context.Context, manifest bundle.Digest, want BlobWant) ([]bundle.Digest, error) {
	m, err := bundle.Open(ctx, manifest, s.cfg.Contents.Fetch)
	if err != nil {
		return nil, err
	}
	positions, at := want.Positions, 0
	ds := make([]bundle.Digest, 0, len(positions))
	err = m.Walk(ctx, s.cfg.Contents.Fetch, func(f bundle.File) error {
		if at == positions[0] {
			if f.Size > bundle.MaxFrameBlob {
				return bundle.Errorf(bundle.KindInvalid,
					"file %d of version %d of bundle %s has %d bytes: fetch it as a file", at, want.Ref.Number, want.Ref.Bundle, f.Size)
			}
			ds = append(ds, f.Digest)
			if positions = positions[1:]; len(positions) == 0 {
				return errPicked
			}
		}
		at++
		return nil
	})
	if errors.Is(err, errPicked) {
		err = nil
	}
	if err == nil && len(positions) > 0 {
		err = bundle.Errorf(bundle.KindInvalid, "version %d of bundle %s has %d files, there is no number %d", want.Ref.Number, want.Ref.Bundle, at, positions[0])
	}
	return ds, err
}

// file sends one file of a version, or what is left of it from an offset.
func (s *Server) file(x *exchange) error {
	ref, path, offset, err := parseFileRequest(x.r)
	if err != nil {
		return err
	}
	var manifest bundle.Digest
	err = s.sighted(x, func(v *catalog.View, sight *access.Sight) (err error) {
		manifest, err = granted(v, sight, ref)
		return err
	})
	if err != nil {
		return err
	}
	ctx := x.r.Context()
	digest := manifest
	if path != "" {
		m, err := bundle.Open(ctx, manifest, s.cfg.Contents.Fetch)
		if err != nil {
			return err
		}
		f, ok, err := m.Lookup(ctx, s.cfg.Contents.Fetch, path)
		if err != nil {
			return err
		}
		if !ok {
			return bundle.Errorf(bundle.KindNotFound, "version %d of bundle %s has no file %q", ref.Number, ref.Bundle, path)
		}
		digest = f.Digest
	}
	r, blob, err := s.cfg.Contents.Open(ctx, digest, offset, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	return sendFile(x, r, offset, blob.Size)
}

func sendFile(x *exchange, r io.Reader, offset, size int64) error {
	status := http.StatusOK
	if offset > 0 {
		if offset >= size {
			return bundle.Errorf(bundle.KindInvalid, "the file has %d bytes, there is nothing from %d on", size, offset)
		}
		status = http.StatusPartialContent
		x.w.Header().Set("Content-Range", contentRange(offset, size))
	}
	x.w.Header().Set("Content-Length", strconv.FormatInt(size-offset, 10))
	x.begin(status, "application/octet-stream")
	_, err := io.CopyBuffer(struct{ io.Writer }{x}, r, make([]byte, frameBuffer))
	return err
}

// parseFileRequest reads the query and the one form of range that is served:
// from an offset to the end.
func parseFileRequest(r *http.Request) (ref bundle.VersionRef, path string, offset int64, err error) {
	q := r.URL.Query()
	if ref.Bundle, err = bundle.ParseID(q.Get("bundle")); err != nil {
		return ref, "", 0, err
	}
	if ref.Number, err = strconv.ParseUint(q.Get("version"), 10, 63); err != nil || ref.Number == 0 {
		return ref, "", 0, bundle.Errorf(bundle.KindInvalid, "%q is no version number", q.Get("version"))
	}
	if h := r.Header.Get("Range"); h != "" {
		text, from := strings.CutPrefix(h, "bytes=")
		text, open := strings.CutSuffix(text, "-")
		if offset, err = strconv.ParseInt(text, 10, 64); err != nil || !from || !open || offset <= 0 {
			return ref, "", 0, bundle.Errorf(bundle.KindInvalid, "range %q: only bytes=N- with N above 0 is served", h)
		}
	}
	return ref, q.Get("path"), offset, nil
}
