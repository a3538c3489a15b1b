package api_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

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
	for _, bad := range []string{strings.Repeat("k", api.MaxIdempotencyKey+1), "one\nother", "\x00", "\x7f"} {
		if _, err := api.IdempotencyKey(api.WithIdempotencyKey(ctx, bad)); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
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

func TestASizedReaderYieldsThatManyBytesOrFails(t *testing.T) {
	const text = "0123456789"
	readers := map[string]func(string) io.Reader{
		"whole":        func(s string) io.Reader { return strings.NewReader(s) },
		"byte by byte": func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
		"data and EOF": func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
	}
	for name, reader := range readers {
		for have := range len(text) + 1 {
			for size := -1; size <= len(text); size++ {
				got, err := io.ReadAll(api.Sized(reader(text[:have]), int64(size)))
				switch {
				case size == -1 || size == have:
					if err != nil || string(got) != text[:have] {
						t.Errorf("%s, %d of %d: %q, %v", name, have, size, got, err)
					}
				case !bundle.IsKind(err, bundle.KindInvalid) || size > 0 && len(got) == size:
					t.Errorf("%s, %d of %d: %q, %v", name, have, size, got, err)
				}
			}
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(api.Sized(iotest.ErrReader(broken), 3)); !errors.Is(err, broken) {
		t.Errorf("a failing reader: %v", err)
	}
	same := api.Sized(strings.NewReader(text), 3)
	for range 2 {
		if _, err := io.ReadAll(same); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("read again: %v", err)
		}
	}
}
