package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// maxWhole is the largest blob that Read and ReadMany hold in memory.
const maxWhole = 8 << 20

// Open opens length bytes of a blob from offset, -1 for all that follow. A
// range that ends beyond the blob is cut to it. The caller closes the reader;
// cancelling ctx makes reads fail. The bytes of a packed blob are verified;
// those of an object of its own are not, as a range cannot be, but a short
// object is a read error of KindCorrupt.
func (s *Store) Open(ctx context.Context, b bundle.Blob, loc Location, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < -1 {
		return nil, bundle.Errorf(bundle.KindInvalid, "a range of %d bytes from %d is none", length, offset)
	}
	offset = min(offset, b.Size)
	if length < 0 || length > b.Size-offset {
		length = b.Size - offset
	}
	if loc.Packed() {
		blob, err := s.Read(ctx, Located{Blob: b, Location: loc})
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(blob[offset : offset+length])), nil
	}
	if length == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	return s.openObject(ctx, Located{Blob: b, Location: loc}, offset, length)
}

// openObject opens a range that lies wholly inside the blob's own object.
func (s *Store) openObject(ctx context.Context, l Located, offset, length int64) (io.ReadCloser, error) {
	key := KeyOf(l.Location)
	r, err := s.driver.Get(ctx, key, offset, length)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return nil, errMissing(l)
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", l.Digest, err)
	}
	return &exactReader{r: r, key: key, left: length, store: s}, nil
}

// exactReader makes a short object an error.
type exactReader struct {
	r     io.ReadCloser
	key   string
	left  int64
	store *Store
	read  int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	r.read += int64(n)
	switch {
	case r.left == 0:
		return n, nil // the next call says io.EOF
	case errors.Is(err, io.EOF):
		err = bundle.Errorf(bundle.KindCorrupt, "object %s is %d bytes shorter than the catalog says: restore it", r.key, r.left)
	}
	return n, err
}

func (r *exactReader) Close() error {
	r.store.observer.StorageRead(r.read)
	return r.r.Close()
}

// Read returns the bytes of a blob of at most 8 MiB, verified against its
// digest: KindCorrupt if they are not the blob's. Small blobs come from the
// cache where they are in it. The caller must not change what it gets.
func (s *Store) Read(ctx context.Context, l Located) ([]byte, error) {
	if blob, ok := s.cache.get(l.Digest); ok {
		return blob, nil
	}
	if !l.Packed() {
		return s.readWhole(ctx, l)
	}
	f, err := s.readFrame(ctx, l)
	if err != nil {
		return nil, err
	}
	blob, err := openFrame(l, f)
	if err != nil {
		return nil, err
	}
	s.cache.add(l.Digest, blob)
	return blob, nil
}

// readWhole reads a blob that is an object of its own.
func (s *Store) readWhole(ctx context.Context, l Located) ([]byte, error) {
	if l.Size < 0 || l.Size > maxWhole {
		return nil, bundle.Errorf(bundle.KindTooLarge, "blob %s of %d bytes is too large to be read at once: open it as a stream", l.Digest, l.Size)
	}
	blob, err := s.readRange(ctx, l, 0, l.Size)
	if err != nil {
		return nil, err
	}
	if bundle.DigestOf(blob) != l.Digest {
		return nil, errStored(l, nil)
	}
	return blob, nil
}

func (s *Store) readFrame(ctx context.Context, l Located) (bundle.Frame, error) {
	if err := checkPacked(l); err != nil {
		return bundle.Frame{}, err
	}
	payload, err := s.readRange(ctx, l, l.Offset, l.Length)
	if err != nil {
		return bundle.Frame{}, err
	}
	return bundle.Frame{Digest: l.Digest, Codec: l.Codec, Size: l.Size, Payload: payload}, nil
}

// checkPacked refuses a location that no pack can hold, before memory is
// spent on it.
func checkPacked(l Located) error {
	if l.Length < 0 || l.Length > bundle.MaxFrameBlob || l.Offset < 0 || l.Offset > maxPack {
		return bundle.Errorf(bundle.KindCorrupt, "blob %s: %d bytes at %d of %s is no location in a pack", l.Digest, l.Length, l.Offset, KeyOf(l.Location))
	}
	return nil
}

// readRange reads exactly length bytes of the object that holds l.
func (s *Store) readRange(ctx context.Context, l Located, offset, length int64) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	key := KeyOf(l.Location)
	r, err := s.driver.Get(ctx, key, offset, length)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return nil, errMissing(l)
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", l.Digest, err)
	}
	defer r.Close()
	buf := make([]byte, length)
	n, err := io.ReadFull(r, buf)
	s.observer.StorageRead(int64(n))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, bundle.Errorf(bundle.KindCorrupt, "object %s ends %d bytes early: restore it", key, length-int64(n))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return buf, nil
}

// openFrame verifies a frame read from where l says.
func openFrame(l Located, f bundle.Frame) ([]byte, error) {
	blob, _, err := f.Open()
	if err != nil {
		return nil, errStored(l, err)
	}
	return blob, nil
}

func errMissing(l Located) error {
	return bundle.Errorf(bundle.KindCorrupt,
		"blob %s should lie in %s, which is missing from storage: restore the object or store the blob again", l.Digest, KeyOf(l.Location))
}

// errStored says that the stored bytes are not the blob's, whatever kind the
// cause has: a location that fits no frame is damage as well.
func errStored(l Located, cause error) error {
	key := KeyOf(l.Location)
	if cause == nil {
		return bundle.Errorf(bundle.KindCorrupt, "the bytes of %s do not match its digest: restore the object", key)
	}
	return bundle.Errorf(bundle.KindCorrupt, "damaged bytes at %d of %s: restore the object: %w", l.Offset, key, cause)
}
