package storage

import (
	"context"
	"io"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Driver keeps whole objects under keys: a folder ([storage/dir]) or a bucket
// ([storage/s3]). It knows nothing of packs, blobs or the catalog.
//
// Every method may be called from many goroutines. A method that returns nil
// has made its effect durable: it survives a crash of this machine. Errors
// carry a kind: KindNotFound for an absent key, KindConflict where a condition
// did not hold, KindNoSpace for a full disk, KindUnavailable for a failure that
// a retry may cure (the driver has already retried what is safe within ctx),
// KindCorrupt for bytes that fail a checksum. Drivers pass
// [storage/storagetest]'s suite, which is the contract in full.
//
// Keys are slash-separated, ASCII letters, digits, '.', '-' and '/', without
// empty or dot segments; they lead with digest digits so that no prefix is hot.
type Driver interface {
	// Create begins an object of a content not yet known. sizeHint is the
	// expected size in bytes, -1 if unknown. Nothing is visible before Commit.
	Create(ctx context.Context, sizeHint int64) (Upload, error)

	// Get opens length bytes of the object from offset; length -1 reads to its
	// end. Reading past the end is a short read, not an error. The caller
	// closes the reader; cancelling ctx makes reads fail.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)

	// Stat describes the object.
	Stat(ctx context.Context, key string) (ObjectInfo, error)

	// Delete removes the object. An absent key is not an error.
	Delete(ctx context.Context, key string) error

	// List calls fn for every object whose key starts with prefix, in key
	// order, until fn returns an error, which List returns. It is for checks,
	// repair and garbage collection, never for a request's path.
	List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error

	// ReadSmall returns the whole of a small mutable object (at most 64 KiB)
	// and the tag of the state read, for a later WriteSmall.
	ReadSmall(ctx context.Context, key string) (body []byte, tag string, err error)

	// WriteSmall replaces the object if its state still has the given tag, ""
	// meaning that it must not exist, and returns the new tag. KindConflict if
	// it has another.
	WriteSmall(ctx context.Context, key string, body []byte, tag string) (newTag string, err error)

	// Free returns the bytes that can still be written, -1 if unknown.
	Free(ctx context.Context) (int64, error)

	// Close releases what the driver holds. No method may be called after it.
	Close() error
}

// Upload is one object being written. It is used by one goroutine. Exactly one
// of Commit and Abort ends it; Abort after Commit does nothing, so it can be
// deferred.
type Upload interface {
	// Write appends to the object. It holds at most a few MiB in memory.
	io.Writer

	// Commit makes the bytes durable under key and only then visible. digest is
	// the SHA-256 of all bytes written; a driver checks it or has the store
	// check it. Keys name content: if the key exists with the same size, that
	// is success and nothing is overwritten; with another size KindConflict.
	Commit(ctx context.Context, key string, digest bundle.Digest) error

	// Abort forgets the bytes.
	Abort() error
}

// ObjectInfo describes one object.
type ObjectInfo struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}
