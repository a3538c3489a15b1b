package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

func testCommit(t *testing.T, d storage.Driver) {
	body := pattern(100_000)
	before := time.Now()
	put(t, d, "ab/cdef.blob", body)
	wantBody(t, d, "ab/cdef.blob", body)
	info, err := d.Stat(t.Context(), "ab/cdef.blob")
	if err != nil {
		t.Fatal(err)
	}
	if info.Key != "ab/cdef.blob" || info.Size != int64(len(body)) {
		t.Errorf("Stat: %+v", info)
	}
	if age := before.Sub(info.Modified); age > time.Hour || age < -time.Hour {
		t.Errorf("Stat: modified %v, written at %v", info.Modified, before)
	}
}

func testEmpty(t *testing.T, d storage.Driver) {
	put(t, d, "aa/empty", nil)
	wantBody(t, d, "aa/empty", nil)
	if info, err := d.Stat(t.Context(), "aa/empty"); err != nil || info.Size != 0 {
		t.Errorf("Stat: %+v, %v", info, err)
	}
}

func testInvisible(t *testing.T, d storage.Driver) {
	body := pattern(1000)
	u, err := d.Create(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	if n, err := u.Write(body); n != len(body) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	wantNothing(t, d)
	wantAbsent(t, d, "aa/x")
	if err := u.Commit(t.Context(), "aa/x", bundle.DigestOf(body)); err != nil {
		t.Fatal(err)
	}
	wantBody(t, d, "aa/x", body)
}

func testAbort(t *testing.T, d storage.Driver) {
	for _, size := range []int{0, 1000, 12 << 20} {
		u, err := d.Create(t.Context(), -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(pattern(size)); err != nil {
			t.Fatal(err)
		}
		if err := u.Abort(); err != nil {
			t.Errorf("Abort after %d bytes: %v", size, err)
		}
	}
	wantNothing(t, d)
}

func testAbortAfterCommit(t *testing.T, d storage.Driver) {
	body := []byte("kept")
	u, err := d.Create(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context(), "aa/kept", bundle.DigestOf(body)); err != nil {
		t.Fatal(err)
	}
	if err := u.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	wantBody(t, d, "aa/kept", body)
}

func testCreateOnly(t *testing.T, d storage.Driver) {
	put(t, d, "aa/x", []byte("first."))
	put(t, d, "aa/x", []byte("first."))
	put(t, d, "aa/x", []byte("second"))
	wantBody(t, d, "aa/x", []byte("first."))
	if got := keys(t, d, ""); !slices.Equal(got, []string{"aa/x"}) {
		t.Errorf("List: %q", got)
	}
}

func testSizeConflict(t *testing.T, d storage.Driver) {
	put(t, d, "aa/x", []byte("first"))
	other := []byte("longer than the first")
	err := tryPut(t.Context(), d, "aa/x", other, bundle.DigestOf(other))
	wantKind(t, "second commit", err, bundle.KindConflict)
	wantBody(t, d, "aa/x", []byte("first"))
}

func testConcurrentCommit(t *testing.T, d storage.Driver) {
	body := pattern(50_000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := tryPut(t.Context(), d, "aa/same", body, bundle.DigestOf(body)); err != nil {
				t.Errorf("same key: %v", err)
			}
		})
	}
	for i := range 8 {
		wg.Go(func() {
			if err := tryPut(t.Context(), d, fmt.Sprintf("bb/%d", i), body, bundle.DigestOf(body)); err != nil {
				t.Errorf("own key: %v", err)
			}
		})
	}
	wg.Wait()
	wantBody(t, d, "aa/same", body)
	if got := keys(t, d, ""); len(got) != 9 {
		t.Errorf("List: %q, want 9 keys", got)
	}
}

func testWrongDigest(t *testing.T, d storage.Driver) {
	for _, body := range [][]byte{{}, []byte("content")} {
		err := tryPut(t.Context(), d, "aa/x", body, bundle.DigestOf([]byte("other content")))
		wantKind(t, "commit", err, bundle.KindCorrupt)
		wantAbsent(t, d, "aa/x")
	}
	wantNothing(t, d)
}

func testSizeHint(t *testing.T, d storage.Driver) {
	body := pattern(70_000)
	for i, hint := range []int64{-1, 0, 1, int64(len(body)), 30 << 20} {
		u, err := d.Create(t.Context(), hint)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Abort()
		for chunk := range slices.Chunk(body, 999) {
			if _, err := u.Write(chunk); err != nil {
				t.Fatalf("hint %d: %v", hint, err)
			}
		}
		key := fmt.Sprintf("aa/%d", i)
		if err := u.Commit(t.Context(), key, bundle.DigestOf(body)); err != nil {
			t.Fatalf("hint %d: %v", hint, err)
		}
		wantBody(t, d, key, body)
	}
}

func testRanges(t *testing.T, d storage.Driver) {
	body := pattern(10_000)
	size := int64(len(body))
	put(t, d, "aa/x", body)
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, -1, 0, size},
		{0, size, 0, size},
		{0, 1, 0, 1},
		{1, 1, 1, 2},
		{4000, 3000, 4000, 7000},
		{9999, 1, 9999, size},
		{9999, -1, 9999, size},
		{0, 0, 0, 0},
		{500, 0, 500, 500},
		{9000, 5000, 9000, size}, // past the end: short, no error
		{size, 10, size, size},
		{size, -1, size, size},
		{size + 50, 10, size, size},
		{size + 50, -1, size, size},
	} {
		got, err := get(t.Context(), d, "aa/x", c.offset, c.length)
		if err != nil || !bytes.Equal(got, body[c.from:c.to]) {
			t.Errorf("Get(%d, %d): %d bytes, %v; want [%d:%d]", c.offset, c.length, len(got), err, c.from, c.to)
		}
	}
	for _, c := range [][2]int64{{-1, 5}, {0, -2}} {
		_, err := get(t.Context(), d, "aa/x", c[0], c[1])
		wantKind(t, fmt.Sprintf("Get(%d, %d)", c[0], c[1]), err, bundle.KindInvalid)
	}
}

func testAbsent(t *testing.T, d storage.Driver) {
	ctx := t.Context()
	put(t, d, "aa/there", []byte("x"))
	for _, key := range []string{"aa/absent", "bb/absent", "absent", "aa/there/below"} {
		_, err := d.Get(ctx, key, 0, -1)
		wantKind(t, "Get "+key, err, bundle.KindNotFound)
		_, err = d.Get(ctx, key, 5, 10)
		wantKind(t, "Get of a range of "+key, err, bundle.KindNotFound)
		wantAbsent(t, d, key)
		_, _, err = d.ReadSmall(ctx, key)
		wantKind(t, "ReadSmall "+key, err, bundle.KindNotFound)
	}
}

func testFolder(t *testing.T, d storage.Driver) {
	put(t, d, "aa/x", []byte("x"))
	wantAbsent(t, d, "aa")
	_, err := d.Get(t.Context(), "aa", 0, -1)
	wantKind(t, "Get aa", err, bundle.KindNotFound)
	if err := d.Delete(t.Context(), "aa"); err != nil {
		t.Errorf("Delete of what is no object: %v", err)
	}
	wantBody(t, d, "aa/x", []byte("x"))
}

func testInvalidKeys(t *testing.T, d storage.Driver) {
	ctx := t.Context()
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "../a", ".hidden", "a/.b",
		"a b", "a\\b", "a\x00b", "ä", "a_b", "a?b", "a\nb", string(bytes.Repeat([]byte("k"), storage.MaxKey+1)),
	} {
		what := fmt.Sprintf("key %q: ", key)
		wantKind(t, what+"Commit", tryPut(ctx, d, key, []byte("x"), bundle.DigestOf([]byte("x"))), bundle.KindInvalid)
		_, err := d.Get(ctx, key, 0, -1)
		wantKind(t, what+"Get", err, bundle.KindInvalid)
		_, err = d.Stat(ctx, key)
		wantKind(t, what+"Stat", err, bundle.KindInvalid)
		wantKind(t, what+"Delete", d.Delete(ctx, key), bundle.KindInvalid)
		_, _, err = d.ReadSmall(ctx, key)
		wantKind(t, what+"ReadSmall", err, bundle.KindInvalid)
		_, err = d.WriteSmall(ctx, key, []byte("x"), "")
		wantKind(t, what+"WriteSmall", err, bundle.KindInvalid)
	}
	wantNothing(t, d)
}

func testDelete(t *testing.T, d storage.Driver) {
	put(t, d, "aa/x", []byte("x"))
	put(t, d, "aa/y", []byte("y"))
	for range 2 {
		if err := d.Delete(t.Context(), "aa/x"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantAbsent(t, d, "aa/x")
	}
	if err := d.Delete(t.Context(), "zz/never"); err != nil {
		t.Errorf("Delete of a key that never was: %v", err)
	}
	wantBody(t, d, "aa/y", []byte("y"))
	put(t, d, "aa/x", []byte("other"))
	wantBody(t, d, "aa/x", []byte("other"))
}

func testList(t *testing.T, d storage.Driver) {
	// In key order '-' < '.' < '/' < digits < letters, also across folders.
	want := []string{"aa-x", "aa.y", "aa/1", "aa/1.b", "aa/b-c", "aa/b/c", "aa/b0", "aa0", "ab/0", "b"}
	for i := range want {
		put(t, d, want[(i*7)%len(want)], pattern(i*7%len(want)))
	}
	if got := keys(t, d, ""); !slices.Equal(got, want) {
		t.Fatalf("List:\n got %q\nwant %q", got, want)
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"aa", want[:8]}, {"aa/", want[2:7]}, {"aa/b", want[4:7]}, {"aa/b/", want[5:6]},
		{"ab/0", want[8:9]}, {"b", want[9:]}, {"c", nil}, {"aa/1.b.c", nil}, {"zz/", nil},
	} {
		if got := keys(t, d, c.prefix); !slices.Equal(got, c.want) {
			t.Errorf("List %q: %q, want %q", c.prefix, got, c.want)
		}
	}
	err := d.List(t.Context(), "", func(o storage.ObjectInfo) error {
		if i := slices.Index(want, o.Key); o.Size != int64(i) || o.Modified.IsZero() {
			t.Errorf("List: %+v, want size %d", o, i)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testListStops(t *testing.T, d storage.Driver) {
	for i := range 5 {
		put(t, d, fmt.Sprintf("a%d/x", i), []byte("x"))
	}
	stop, calls := errors.New("enough"), 0
	err := d.List(t.Context(), "", func(storage.ObjectInfo) error {
		if calls++; calls == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 2 {
		t.Errorf("List: %v after %d calls, want the callback's error after 2", err, calls)
	}
}

// bigSize is above every driver's threshold for uploads in parts.
const bigSize = 40 << 20

func testBig(t *testing.T, d storage.Driver) {
	chunk := pattern(1 << 20)
	u, err := d.Create(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	h := bundle.NewHasher()
	for i := range bigSize / len(chunk) {
		chunk[0] = byte(i)
		h.Write(chunk)
		if _, err := u.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Commit(t.Context(), "bi/g", h.Blob().Digest); err != nil {
		t.Fatal(err)
	}
	r, err := d.Get(t.Context(), "bi/g", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	back := bundle.NewHasher()
	if _, err := io.Copy(back, r); err != nil {
		t.Fatal(err)
	}
	if back.Blob() != h.Blob() {
		t.Fatalf("read back %+v, wrote %+v", back.Blob(), h.Blob())
	}
	got, err := get(t.Context(), d, "bi/g", 33<<20, 3)
	if err != nil || len(got) != 3 || got[0] != 33 || got[1] != chunk[1] {
		t.Errorf("range at 33 MiB: %v, %v", got, err)
	}
	if info, err := d.Stat(t.Context(), "bi/g"); err != nil || info.Size != bigSize {
		t.Errorf("Stat: %+v, %v", info, err)
	}
}

func testBigWrongDigest(t *testing.T, d storage.Driver) {
	err := tryPut(t.Context(), d, "bi/g", pattern(bigSize), bundle.DigestOf([]byte("other")))
	wantKind(t, "commit", err, bundle.KindCorrupt)
	wantNothing(t, d)
}

func testCancelled(t *testing.T, d storage.Driver) {
	body := pattern(16 << 20)
	put(t, d, "aa/x", body)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	u, err := d.Create(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(body[:1000]); err != nil {
		t.Fatal(err)
	}
	r, err := d.Get(ctx, "aa/x", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, r); err == nil {
		t.Errorf("a read after cancel went on for %d bytes to the end", n)
	}
	r.Close()
	wantCancelled := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", what, err)
		}
	}
	wantCancelled("Commit", u.Commit(ctx, "aa/y", bundle.DigestOf(body[:1000])))
	if err := u.Abort(); err != nil {
		t.Errorf("Abort: %v", err)
	}
	_, err = d.Get(ctx, "aa/x", 0, -1)
	wantCancelled("Get", err)
	_, err = d.Stat(ctx, "aa/x")
	wantCancelled("Stat", err)
	wantCancelled("Delete", d.Delete(ctx, "aa/x"))
	wantCancelled("List", d.List(ctx, "", func(storage.ObjectInfo) error { return nil }))
	_, _, err = d.ReadSmall(ctx, "aa/x")
	wantCancelled("ReadSmall", err)
	_, err = d.WriteSmall(ctx, "aa/z", []byte("z"), "")
	wantCancelled("WriteSmall", err)
	if got := keys(t, d, ""); !slices.Equal(got, []string{"aa/x"}) {
		t.Errorf("List: %q, want only aa/x", got)
	}
}

func testFree(t *testing.T, d storage.Driver) {
	free, err := d.Free(t.Context())
	if err != nil || free < -1 || free == 0 {
		t.Errorf("Free: %d, %v", free, err)
	}
}
