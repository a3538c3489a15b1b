package api

import (
	"context"

	"github.com/blockstored/blockstored/bundle"
)

// MaxIdempotencyKey is the length in bytes of the longest key.
const MaxIdempotencyKey = 255

type idempotencyKey struct{}

// WithIdempotencyKey gives the next changing call made with the returned context
// a key of the caller's choice, so that the same call made again with the same
// key within 24 hours has no second effect and gets the first answer: what to do
// when an answer was lost. One key belongs to one call of one method on one
// object. An empty key is none.
//
// Reads, lists, and the methods of [Blobs], which may be repeated anyway, do not
// look at it.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// IdempotencyKey returns the key of a context, "" if it has none: for those who
// implement [Store]. A key that is too long is [bundle.KindInvalid].
func IdempotencyKey(ctx context.Context) (string, error) {
	key, _ := ctx.Value(idempotencyKey{}).(string)
	if len(key) > MaxIdempotencyKey {
		return "", bundle.Errorf(bundle.KindInvalid, "Idempotency-Key has more than %d characters.", MaxIdempotencyKey)
	}
	return key, nil
}
