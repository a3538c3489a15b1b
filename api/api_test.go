package api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func TestAConflictIsFoundWithWhatCollidesAndItsKind(t *testing.T) {
	err := fmt.Errorf("publish: %w", api.NewConflictError("Both changed it.", []api.Conflict{
		{Path: "a/b", Kind: "changed"}, {Link: "l", Kind: "file_and_folder"},
	}))
	if !bundle.IsKind(err, bundle.KindConflict) || err.Error() != "publish: Both changed it." {
		t.Errorf("got %v of kind %v", err, bundle.KindOf(err))
	}
	c, ok := errors.AsType[*api.ConflictError](err)
	if !ok || fmt.Sprint(c.Conflicts) != "[a/b (changed) link l (file and folder)]" {
		t.Errorf("got %v", c)
	}
}

func TestAContextHasTheKeyGivenLast(t *testing.T) {
	ctx := t.Context()
	for _, want := range []string{"", "one", strings.Repeat("k", api.MaxIdempotencyKey), ""} {
		ctx = api.WithIdempotencyKey(ctx, want)
		if got, err := api.IdempotencyKey(ctx); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := api.IdempotencyKey(t.Context()); got != "" || err != nil {
		t.Errorf("a context without a key has %q, %v", got, err)
	}
	ctx = api.WithIdempotencyKey(ctx, strings.Repeat("k", api.MaxIdempotencyKey+1))
	if _, err := api.IdempotencyKey(ctx); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("a key that is too long: %v", err)
	}
}

func TestRangesOutsideOfAnyFileAreInvalid(t *testing.T) {
	for r, ok := range map[api.Range]bool{
		{}: true, {Offset: 3}: true, {Offset: 3, Length: 4}: true, {Offset: -1}: false, {Length: -1}: false,
	} {
		if err := r.Check(); (err == nil) != ok || err != nil && !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestTheNewestVersionIsTheLast(t *testing.T) {
	if n := (api.Bundle{Versions: []uint64{1, 2, 5}}).Newest(); n != 5 {
		t.Error(n)
	}
	if n := (api.Bundle{}).Newest(); n != 0 {
		t.Error(n)
	}
}
