package rest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
)

// FramesType is the media type of a stream of frames (see bundle.Frame) that
// follow each other without gaps.
const FramesType = "application/vnd.blockstored.frames"

// maxDigests bounds the question which blobs are missing.
const maxDigests = 100_000

// A bulk upload is stored batch by batch, each one object and one command: the
// next is read while one is stored.
const (
	batchBytes  = 16 << 20
	batchFrames = 3000
)

// missingBlobs answers which of some blobs an uploader has to send.
func missingBlobs(x *exchange) error {
	var in struct {
		Digests []bundle.Digest `json:"digests"`
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	if len(in.Digests) > maxDigests {
		return bundle.Errorf(bundle.KindTooLarge, "Ask for at most %d digests at once.", maxDigests)
	}
	missing, err := x.cfg.Primary.MissingBlobs(x.r.Context(), in.Digests)
	if err != nil {
		return err
	}
	b := append(appendKey([]byte("{"), "missing"), '[')
	seen := make(map[bundle.Digest]bool, len(missing))
	for _, d := range missing {
		if seen[d] {
			continue
		}
		if seen[d] = true; len(seen) > 1 {
			b = append(b, ',')
		}
		b = appendString(b, d.String())
	}
	return x.json(http.StatusOK, append(b, "]}"...))
}

// uploadFrames stores small blobs in bulk.
func uploadFrames(x *exchange) error {
	if media, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); media != FramesType {
		return refuse(bundle.KindInvalid, http.StatusUnsupportedMediaType,
			`Unsupported media type "`+x.r.Header.Get("Content-Type")+`" in request.`)
	}
	select {
	case x.uploads <- struct{}{}:
		defer func() { <-x.uploads }()
	case <-x.r.Context().Done():
		return x.r.Context().Err()
	}
	stored, err := x.storeFrames()
	if err != nil {
		return uploadError(err)
	}
	x.moved()
	return x.json(http.StatusOK, append(appendInt(appendKey([]byte("{"), "stored"), stored), '}'))
}

func (x *exchange) storeFrames() (stored int64, err error) {
	g, ctx := errgroup.WithContext(x.r.Context())
	batches := make(chan []bundle.Frame)
	g.Go(func() error {
		for frames := range batches {
			if _, err := x.cfg.Primary.StoreFrames(ctx, frames); err != nil {
				return err
			}
		}
		return nil
	})
	frames := bundle.NewFrameReader(bufio.NewReaderSize(x.upload(), 64<<10))
	for err == nil {
		var batch []bundle.Frame
		batch, err = nextBatch(frames)
		if len(batch) == 0 {
			continue
		}
		select {
		case batches <- batch:
			stored += int64(len(batch))
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	close(batches)
	if failed := g.Wait(); failed != nil {
		return 0, failed
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return stored, err
}

// nextBatch reads frames for one object. With an error the frames before it are
// a batch still.
func nextBatch(r *bundle.FrameReader) (batch []bundle.Frame, err error) {
	for size := 0; size < batchBytes && len(batch) < batchFrames; {
		f, err := r.Next()
		if err != nil {
			return batch, err
		}
		size += f.EncodedLen()
		batch = append(batch, f)
	}
	return batch, nil
}

// uploadBlob stores one blob of any size.
func uploadBlob(x *exchange) error {
	d, err := bundle.ParseDigest(x.r.PathValue("digest"))
	if err != nil {
		return refuse(bundle.KindInvalid, http.StatusBadRequest, "A blob is named by its SHA-256, 64 hexadecimal digits.")
	}
	l, err := x.cfg.Primary.StoreBlob(x.r.Context(), x.upload(), d, x.r.ContentLength)
	if err != nil {
		return uploadError(err)
	}
	b := appendText([]byte("{"), "digest", l.Digest.String())
	b = appendText(b, "hash_digest", l.Hash.String())
	b = appendInt(appendKey(b, "size"), l.Size)
	return x.changed(append(b, '}'))
}

// decode reads a body of JSON into v; an unknown key is an error, since no old
// client sends any.
func (x *exchange) decode(v any) error {
	parsed, err := x.body()
	if err != nil {
		return err
	}
	if parsed.json == nil {
		parsed.json = []byte("{}")
	}
	if err := strictly(parsed.json, v); err != nil {
		return bundle.Errorf(bundle.KindInvalid, "The body is not as it should be: %w.", err)
	}
	return nil
}

func strictly(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
