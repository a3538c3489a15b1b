package storage

import (
	"context"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// Locator knows where blobs lie: the catalog. Locate answers in the order
// asked and with KindBlobGone if any of them is not located.
type Locator interface {
	Locate(ctx context.Context, ds []bundle.Digest) ([]Located, error)
}

// Contents reads blobs by digest alone: a store and the locator that goes with
// it. It is safe for concurrent use and holds nothing that needs closing.
type Contents struct {
	store   *Store
	locator Locator
}

// NewContents returns the contents of s as located by l.
func NewContents(s *Store, l Locator) *Contents { return &Contents{store: s, locator: l} }

// Fetch returns the bytes of small blobs in the order asked, each verified
// against its digest. It is a [bundle.Fetch]: manifests are read through it.
func (c *Contents) Fetch(ctx context.Context, ds []bundle.Digest) ([][]byte, error) {
	ls, err := c.locator.Locate(ctx, ds)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(ls))
	err = c.store.ReadMany(ctx, ls, func(i int, blob []byte) error {
		out[i] = blob
		return nil
	})
	return out, err
}

// Open opens length bytes of one blob from offset, -1 for all that follow. The
// caller closes the reader.
func (c *Contents) Open(ctx context.Context, d bundle.Digest, offset, length int64) (io.ReadCloser, bundle.Blob, error) {
	ls, err := c.locator.Locate(ctx, []bundle.Digest{d})
	if err != nil {
		return nil, bundle.Blob{}, err
	}
	r, err := c.OpenLocated(ctx, ls[0], offset, length)
	return r, ls[0].Blob, err
}

// OpenLocated is Open for a blob whose place Locate has just returned.
func (c *Contents) OpenLocated(ctx context.Context, l Located, offset, length int64) (io.ReadCloser, error) {
	return c.store.Open(ctx, l.Blob, l.Location, offset, length)
}

// Locate returns where blobs lie, in the order asked.
func (c *Contents) Locate(ctx context.Context, ds []bundle.Digest) ([]Located, error) {
	return c.locator.Locate(ctx, ds)
}
