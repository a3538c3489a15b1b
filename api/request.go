package api

import (
	"context"
	"strings"
	"unicode"

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
// implement [Store]. A key that is too long, or that no header can carry because
// of a control character, is [bundle.KindInvalid].
func IdempotencyKey(ctx context.Context) (string, error) {
	key, _ := ctx.Value(idempotencyKey{}).(string)
	if len(key) > MaxIdempotencyKey {
		return "", bundle.Errorf(bundle.KindInvalid, "Idempotency-Key has more than %d characters.", MaxIdempotencyKey)
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return "", bundle.Errorf(bundle.KindInvalid, "Idempotency-Key has a control character: give it printable ones.")
	}
	return key, nil
}

// Level is how current a read is.
type Level string

// The levels of reads.
const (
	// Consistent shows every change that was acknowledged before, by whatever
	// node of the instance. Without a leader it shows what the node has. It is
	// the default.
	Consistent Level = "consistent"
	// Local shows what the node has, without asking any other.
	Local Level = "local"
	// Strong is Consistent, and fails where that would show what may be old.
	Strong Level = "strong"
)

type levelKey struct{}

// WithLevel makes the reads of a [Store] with the returned context be of that
// level; an unknown one is [bundle.KindInvalid] there.
func WithLevel(ctx context.Context, level Level) context.Context {
	return context.WithValue(ctx, levelKey{}, level)
}

// LevelOf returns the level of a context, Consistent if it has none: for those
// who implement [Store].
func LevelOf(ctx context.Context) Level {
	if level, ok := ctx.Value(levelKey{}).(Level); ok {
		return level
	}
	return Consistent
}
