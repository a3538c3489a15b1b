package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/storagetest"
)

// countGets returns a driver that counts Gets, and the counter.
func countGets(d storage.Driver) (storage.Driver, func() int) {
	var mu sync.Mutex
	gets := 0
	counted := storagetest.Faulty(d, func(op storagetest.Op, _ string, _ int) storagetest.Fault {
		if op == storagetest.OpGet {
			mu.Lock()
			gets++
			mu.Unlock()
		}
		return storagetest.Fault{}
	})
	return counted, func() int {
		mu.Lock()
		defer mu.Unlock()
		return gets
	}
}

func TestOpenReadsAnyRange(t *testing.T) {
	s, _ := open(t, openDir(t))
	for _, blob := range [][]byte{text(1, 10_000), noise(2, 300<<10), {}} {
		l := put(t, s, blob)
		size := int64(len(blob))
		for _, c := range [][2]int64{{0, -1}, {0, size}, {0, 0}, {0, 1}, {size / 2, 7}, {size / 3, -1}, {size, -1}, {size, 5}, {size + 9, -1}, {5, 1 << 40}} {
			from := min(c[0], size)
			to := size
			if c[1] >= 0 {
				to = min(from+c[1], size)
			}
			if got := readRange(t, s, l, c[0], c[1]); !bytes.Equal(got, blob[from:to]) {
				t.Errorf("%d bytes, range %v: %d bytes, want %d", size, c, len(got), to-from)
			}
		}
		for _, c := range [][2]int64{{-1, 1}, {0, -2}} {
			_, err := s.Open(t.Context(), l.Blob, l.Location, c[0], c[1])
			wantKind(t, "an impossible range", err, bundle.KindInvalid)
		}
	}
}

func TestManySmallBlobsCostFewGets(t *testing.T) {
	d, gets := countGets(openDir(t))
	s, _ := open(t, d)
	blobs := sample(10_000)
	ls := putFrames(t, s, blobs)
	large := noise(1, 300<<10)
	blobs, ls = append(blobs, large), append(ls, put(t, s, large))
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(ls), func(i, j int) {
		blobs[i], blobs[j] = blobs[j], blobs[i]
		ls[i], ls[j] = ls[j], ls[i]
	})
	wantBlobs(t, s, ls, blobs)
	if n := gets(); n > 20 {
		t.Errorf("%d Gets for %d blobs", n, len(ls))
	}
}

func TestFramesComeInTheOrderAsked(t *testing.T) {
	d, gets := countGets(openDir(t))
	s, _ := open(t, d)
	blobs := sample(9000)
	for i := range 60 {
		blobs = append(blobs, noise(i, bundle.MaxFrameBlob)) // several windows
	}
	ls := putFrames(t, s, blobs)
	order := rand.New(rand.NewPCG(3, 4)).Perm(len(ls))
	order = append(order, order[0]) // one twice
	asked := make([]storage.Located, len(order))
	for i, n := range order {
		asked[i] = ls[n]
	}
	i := 0
	err := s.ReadFrames(t.Context(), asked, func(f bundle.Frame) error {
		want := bundle.MakeFrame(blobs[order[i]])
		if f.Digest != want.Digest || f.Codec != want.Codec || !bytes.Equal(f.Payload, want.Payload) {
			t.Fatalf("frame %d is not the one asked for", i)
		}
		i++
		return nil
	})
	if err != nil || i != len(asked) {
		t.Fatalf("%d of %d frames, %v", i, len(asked), err)
	}
	if n := gets(); n > 400 {
		t.Errorf("%d Gets for %d frames", n, len(asked))
	}
}

func TestBulkReadsOfNothing(t *testing.T) {
	s, _ := open(t, openDir(t))
	if err := s.ReadMany(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	if err := s.ReadFrames(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	if ls, err := s.PutFrames(t.Context(), nil); err != nil || len(ls) != 0 {
		t.Error(ls, err)
	}
}

func TestBulkReadsEndWithTheCallbacksError(t *testing.T) {
	s, _ := open(t, openDir(t))
	ls := putFrames(t, s, sample(9000))
	stop := errors.New("enough")
	n := 0
	if err := s.ReadMany(t.Context(), ls, func(int, []byte) error { n++; return stop }); !errors.Is(err, stop) || n == 0 {
		t.Errorf("ReadMany: %v after %d", err, n)
	}
	n = 0
	if err := s.ReadFrames(t.Context(), ls, func(bundle.Frame) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("ReadFrames: %v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.ReadMany(ctx, ls, func(int, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadMany: %v", err)
	}
	if err := s.ReadFrames(ctx, ls, func(bundle.Frame) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadFrames: %v", err)
	}
}

func TestALargeBlobDoesNotTravelInAFrame(t *testing.T) {
	s, _ := open(t, openDir(t))
	l := put(t, s, noise(1, 300<<10))
	err := s.ReadFrames(t.Context(), []storage.Located{l}, func(bundle.Frame) error { return nil })
	wantKind(t, "ReadFrames", err, bundle.KindInvalid)
}

// readEvery reads l in each way the store has and returns the errors.
func readEvery(t *testing.T, s *storage.Store, l storage.Located) map[string]error {
	t.Helper()
	errs := map[string]error{}
	_, errs["Read"] = s.Read(t.Context(), l)
	errs["ReadMany"] = s.ReadMany(t.Context(), []storage.Located{l}, func(int, []byte) error { return nil })
	if l.Packed() {
		errs["ReadFrames"] = s.ReadFrames(t.Context(), []storage.Located{l}, func(bundle.Frame) error { return nil })
	}
	return errs
}

func TestDamageIsFoundWhereverABlobIsRead(t *testing.T) {
	inner := openDir(t)
	healthy, _ := open(t, inner)
	for _, c := range []struct {
		name  string
		fault storagetest.Fault
	}{{"flipped bit", storagetest.Fault{Flip: true}}, {"short object", storagetest.Fault{Short: true}}} {
		d := storagetest.Faulty(inner, func(op storagetest.Op, _ string, _ int) storagetest.Fault {
			if op == storagetest.OpRead {
				return c.fault
			}
			return storagetest.Fault{}
		})
		s, _ := open(t, d)
		for _, blob := range [][]byte{[]byte("raw"), text(1, 5000), noise(2, 300<<10)} {
			for way, err := range readEvery(t, s, put(t, healthy, blob)) {
				wantKind(t, c.name+": "+way, err, bundle.KindCorrupt)
			}
		}
	}
}

func TestAMissingObjectIsDamageNotAbsence(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	for _, blob := range [][]byte{text(1, 5000), noise(2, 300<<10)} {
		l := put(t, s, blob)
		if err := d.Delete(t.Context(), storage.KeyOf(l.Location)); err != nil {
			t.Fatal(err)
		}
		for way, err := range readEvery(t, s, l) {
			wantKind(t, way, err, bundle.KindCorrupt)
		}
		_, err := s.Open(t.Context(), l.Blob, l.Location, 0, -1)
		wantKind(t, "Open", err, bundle.KindCorrupt)
	}
}

func TestAShortObjectIsAnErrorToAStream(t *testing.T) {
	inner := openDir(t)
	d := storagetest.Faulty(inner, func(op storagetest.Op, _ string, n int) storagetest.Fault {
		return storagetest.Fault{Short: op == storagetest.OpRead && n == 1}
	})
	s, _ := open(t, d)
	l := put(t, s, noise(2, 3<<20))
	r, err := s.Open(t.Context(), l.Blob, l.Location, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	wantKind(t, "reading", err, bundle.KindCorrupt)
}

func TestImpossibleLocationsAreDamage(t *testing.T) {
	s, _ := open(t, openDir(t))
	good := put(t, s, text(1, 5000))
	for _, change := range []func(*storage.Located){
		func(l *storage.Located) { l.Length = 1 << 40 },
		func(l *storage.Located) { l.Length = -1 },
		func(l *storage.Located) { l.Offset = 1 << 50 },
		func(l *storage.Located) { l.Offset++ },
		func(l *storage.Located) { l.Size++ },
		func(l *storage.Located) { l.Codec = 9 },
		func(l *storage.Located) { l.Codec = bundle.CodecRaw },
	} {
		l := good
		change(&l)
		for way, err := range readEvery(t, s, l) {
			wantKind(t, way, err, bundle.KindCorrupt)
		}
	}
}

func TestSmallBlobsAreServedFromTheCache(t *testing.T) {
	d, gets := countGets(openDir(t))
	s := storage.New(storage.Config{Driver: d, CacheBytes: 16 << 10})
	defer s.Close()
	blobs := sample(100)
	ls := putFrames(t, s, blobs) // a bulk write does not fill the cache
	for range 3 {
		for i := range 5 {
			if got, err := s.Read(t.Context(), ls[i]); err != nil || !bytes.Equal(got, blobs[i]) {
				t.Fatal(err)
			}
		}
	}
	if n := gets(); n != 5 {
		t.Errorf("%d Gets for 5 blobs read thrice", n)
	}
	for _, l := range ls { // pushes them out: more than the cache holds
		if _, err := s.Read(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	before := gets()
	if _, err := s.Read(t.Context(), ls[0]); err != nil || gets() != before+1 {
		t.Errorf("the cache is not bounded: %v", err)
	}
	fresh := []byte("just written")
	l := put(t, s, fresh)
	fresh[0] = 'J' // the cache keeps its own copy
	before = gets()
	if got, err := s.Read(t.Context(), l); err != nil || string(got) != "just written" || gets() != before {
		t.Errorf("a blob just put: %q, %v", got, err)
	}
}
