package storagetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

// Run holds a driver against the contract of [storage.Driver]. open returns a
// driver over an empty store of its own; Run closes it. Nothing the suite does
// is slow on a local disk or a local server.
func Run(t *testing.T, open func(t *testing.T) storage.Driver) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, d storage.Driver)
	}{
		{"commit makes bytes readable and described", testCommit},
		{"empty object", testEmpty},
		{"nothing is visible before commit", testInvisible},
		{"abort leaves nothing", testAbort},
		{"abort after commit does nothing", testAbortAfterCommit},
		{"create only: same key and size keeps the first bytes", testCreateOnly},
		{"create only: another size is a conflict", testSizeConflict},
		{"create only: of many writers all succeed with one object", testConcurrentCommit},
		{"wrong digest is corrupt and stores nothing", testWrongDigest},
		{"wrong size hint does no harm", testSizeHint},
		{"ranges", testRanges},
		{"absent keys", testAbsent},
		{"a folder of keys is no object", testFolder},
		{"invalid keys are refused", testInvalidKeys},
		{"delete", testDelete},
		{"list in key order by prefix", testList},
		{"list stops early", testListStops},
		{"small object: read, create, replace", testSmall},
		{"small object: stale tags conflict", testSmallStale},
		{"small object: of many writers one wins", testSmallRace},
		{"small object: too large is refused", testSmallTooLarge},
		{"big object by stream", testBig},
		{"big object with a wrong digest stores nothing", testBigWrongDigest},
		{"cancelled contexts", testCancelled},
		{"free space", testFree},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			c.test(t, d)
		})
	}
}

// put commits body under key.
func put(t *testing.T, d storage.Driver, key string, body []byte) {
	t.Helper()
	if err := tryPut(t.Context(), d, key, body, bundle.DigestOf(body)); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func tryPut(ctx context.Context, d storage.Driver, key string, body []byte, digest bundle.Digest) error {
	u, err := d.Create(ctx, int64(len(body)))
	if err != nil {
		return err
	}
	if _, err := u.Write(body); err != nil {
		return errors.Join(err, u.Abort())
	}
	if err := u.Commit(ctx, key, digest); err != nil {
		return errors.Join(err, u.Abort())
	}
	return u.Abort()
}

func get(ctx context.Context, d storage.Driver, key string, offset, length int64) ([]byte, error) {
	r, err := d.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func wantBody(t *testing.T, d storage.Driver, key string, want []byte) {
	t.Helper()
	got, err := get(t.Context(), d, key, 0, -1)
	if err != nil {
		t.Fatalf("Get %s: %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Get %s: %d bytes that differ from the %d written", key, len(got), len(want))
	}
}

func wantKind(t *testing.T, what string, err error, kind bundle.Kind) {
	t.Helper()
	if !bundle.IsKind(err, kind) {
		t.Fatalf("%s: error %v (%v), want kind %v", what, err, bundle.KindOf(err), kind)
	}
}

func wantAbsent(t *testing.T, d storage.Driver, key string) {
	t.Helper()
	_, err := d.Stat(t.Context(), key)
	wantKind(t, "Stat "+key, err, bundle.KindNotFound)
}

func wantNothing(t *testing.T, d storage.Driver) {
	t.Helper()
	if got := keys(t, d, ""); len(got) > 0 {
		t.Fatalf("List: %q, want nothing", got)
	}
}

func keys(t *testing.T, d storage.Driver, prefix string) []string {
	t.Helper()
	var got []string
	err := d.List(t.Context(), prefix, func(o storage.ObjectInfo) error {
		got = append(got, o.Key)
		return nil
	})
	if err != nil {
		t.Fatalf("List %q: %v", prefix, err)
	}
	return got
}

// pattern returns n bytes in which every range is recognisable by its offset.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(uint32(i) * 2654435761 >> 13)
	}
	return b
}
