package storage

import (
	"bytes"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/blockstored/blockstored/bundle"
)

// blobCache keeps the small blobs used last, up to a number of bytes. A blob
// is added only after its digest was verified. The slices it hands out are
// shared and must not be changed.
type blobCache struct {
	mu   sync.Mutex
	lru  *simplelru.LRU[bundle.Digest, []byte]
	max  int64
	size int64
}

// entryOverhead is about what an entry costs beside its bytes.
const entryOverhead = 200

func newBlobCache(maxBytes int64) *blobCache {
	c := &blobCache{max: maxBytes}
	entries := max(1, int(maxBytes/entryOverhead)) // the bytes bound it first
	lru, err := simplelru.NewLRU(entries, func(_ bundle.Digest, blob []byte) {
		c.size -= int64(len(blob)) + entryOverhead
	})
	if err != nil {
		panic(err) // only for a size below one
	}
	c.lru = lru
	return c
}

func (c *blobCache) get(d bundle.Digest) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(d)
}

// add keeps a copy of blob, which may be part of a larger buffer.
func (c *blobCache) add(d bundle.Digest, blob []byte) {
	cost := int64(len(blob)) + entryOverhead
	if cost > c.max || len(blob) > bundle.MaxFrameBlob {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lru.Contains(d) {
		return
	}
	c.size += cost
	c.lru.Add(d, bytes.Clone(blob))
	for c.size > c.max {
		c.lru.RemoveOldest()
	}
}
