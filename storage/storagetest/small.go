package storagetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

func testSmall(t *testing.T, d storage.Driver) {
	ctx, key := t.Context(), "claim.json"
	one, err := d.WriteSmall(ctx, key, []byte("one"), "")
	if err != nil || one == "" {
		t.Fatalf("create: tag %q, %v", one, err)
	}
	body, tag, err := d.ReadSmall(ctx, key)
	if err != nil || string(body) != "one" || tag != one {
		t.Fatalf("ReadSmall: %q, tag %q, %v; want tag %q", body, tag, err, one)
	}
	two, err := d.WriteSmall(ctx, key, []byte("number two"), one)
	if err != nil || two == one || two == "" {
		t.Fatalf("replace: tag %q after %q, %v", two, one, err)
	}
	body, tag, err = d.ReadSmall(ctx, key)
	if err != nil || string(body) != "number two" || tag != two {
		t.Fatalf("ReadSmall: %q, tag %q, %v; want tag %q", body, tag, err, two)
	}
	if got := keys(t, d, ""); !slices.Equal(got, []string{key}) {
		t.Errorf("List: %q, want the small object", got)
	}
	if err := d.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteSmall(ctx, key, bytes.Repeat([]byte("x"), storage.MaxSmall), ""); err != nil {
		t.Errorf("create after delete, of the largest size: %v", err)
	}
	wantBody(t, d, key, bytes.Repeat([]byte("x"), storage.MaxSmall))
}

func testSmallStale(t *testing.T, d storage.Driver) {
	ctx, key := t.Context(), "aa/claim"
	_, err := d.WriteSmall(ctx, key, []byte("x"), `"made-up"`)
	wantKind(t, "replace of an absent object", err, bundle.KindConflict)
	wantAbsent(t, d, key)
	one, err := d.WriteSmall(ctx, key, []byte("one"), "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := d.WriteSmall(ctx, key, []byte("two"), one)
	if err != nil {
		t.Fatal(err)
	}
	for _, stale := range []string{"", one} {
		_, err = d.WriteSmall(ctx, key, []byte("late"), stale)
		wantKind(t, fmt.Sprintf("write with tag %q", stale), err, bundle.KindConflict)
	}
	body, tag, err := d.ReadSmall(ctx, key)
	if err != nil || string(body) != "two" || tag != two {
		t.Errorf("ReadSmall: %q, tag %q, %v; want the second write", body, tag, err)
	}
}

func testSmallRace(t *testing.T, d storage.Driver) {
	ctx, key, tag := t.Context(), "claim.json", ""
	for round := range 5 {
		const writers = 8
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := map[string]string{} // body → tag
		for i := range writers {
			wg.Go(func() {
				body := fmt.Sprintf("round %d writer %d", round, i)
				newTag, err := d.WriteSmall(ctx, key, []byte(body), tag)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won[body] = newTag
				} else if !bundle.IsKind(err, bundle.KindConflict) {
					t.Errorf("loser got %v, want a conflict", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d of %d writers with one tag won, want 1", round, len(won), writers)
		}
		body, now, err := d.ReadSmall(ctx, key)
		if err != nil || won[string(body)] != now {
			t.Fatalf("round %d: read %q with tag %q, %v; winner %v", round, body, now, err, won)
		}
		tag = now
	}
}

func testSmallTooLarge(t *testing.T, d storage.Driver) {
	_, err := d.WriteSmall(t.Context(), "aa/claim", make([]byte, storage.MaxSmall+1), "")
	wantKind(t, "WriteSmall", err, bundle.KindTooLarge)
	wantNothing(t, d)
	put(t, d, "aa/large", make([]byte, storage.MaxSmall+1))
	_, _, err = d.ReadSmall(t.Context(), "aa/large")
	wantKind(t, "ReadSmall", err, bundle.KindTooLarge)
}
