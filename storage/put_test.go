package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/storagetest"
)

func TestBlobsOfEverySizeComeBack(t *testing.T) {
	s, _ := open(t, openDir(t))
	for _, size := range []int{0, 1, 63, 64, 1000, bundle.MaxFrameBlob - 1, bundle.MaxFrameBlob, bundle.MaxFrameBlob + 1, 3 << 20} {
		for _, blob := range [][]byte{text(size, size), noise(size, size)} {
			l := put(t, s, blob)
			if want := size <= bundle.MaxFrameBlob; l.Packed() != want {
				t.Errorf("%d bytes: packed %v", size, l.Packed())
			}
			streamed, err := s.PutStream(t.Context(), iotest.HalfReader(bytes.NewReader(blob)), &l.Digest, -1)
			if err != nil || streamed.Blob != l.Blob {
				t.Fatalf("PutStream of %d bytes: %+v, %v", size, streamed, err)
			}
			for _, l := range []storage.Located{l, streamed} {
				got, err := s.Read(t.Context(), l)
				if err != nil || !bytes.Equal(got, blob) {
					t.Fatalf("Read of %d bytes: %d bytes, %v", size, len(got), err)
				}
			}
		}
	}
}

func TestBlobsThatArriveWhileAPackIsWrittenShareTheNext(t *testing.T) {
	gate, begun := make(chan struct{}), make(chan struct{})
	d := storagetest.Faulty(openDir(t), func(op storagetest.Op, _ string, n int) storagetest.Fault {
		if op == storagetest.OpCommit && n == 0 {
			close(begun)
			return storagetest.Fault{Wait: gate}
		}
		return storagetest.Fault{}
	})
	s, c := open(t, d)
	var wg sync.WaitGroup
	wg.Go(func() { put(t, s, []byte("the first goes alone")) })
	<-begun
	const n = 50
	for i := range n {
		wg.Go(func() { put(t, s, fmt.Appendf(nil, "follower %d", i/2)) }) // every blob twice
	}
	waitUntil(t, func() bool { return storage.Queued(s) == n })
	close(gate)
	wg.Wait()
	if c.packs() != 2 {
		t.Errorf("%d packs, want one for the first blob and one for all that came meanwhile", c.packs())
	}
}

// waitUntil yields until cond holds; the test's own deadline bounds it.
func waitUntil(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the awaited state did not come")
		}
	}
}

func TestManyBlobsAreCutIntoSeveralPacks(t *testing.T) {
	s, c := open(t, openDir(t))
	blobs := make([][]byte, 200) // 50 MiB
	for i := range blobs {
		blobs[i] = noise(i, bundle.MaxFrameBlob)
	}
	ls := putFrames(t, s, blobs)
	if c.packs() != 4 {
		t.Errorf("50 MiB in %d packs, want 4", c.packs())
	}
	wantBlobs(t, s, ls, blobs)
}

func TestEqualBlobsOfOneBatchAreStoredOnce(t *testing.T) {
	s, _ := open(t, openDir(t))
	ls := putFrames(t, s, [][]byte{[]byte("same"), []byte("other"), []byte("same")})
	if ls[0] != ls[2] || ls[0].Location == ls[1].Location {
		t.Errorf("locations: %+v", ls)
	}
}

func TestFramesAreKeptAsTheyAre(t *testing.T) {
	s, _ := open(t, openDir(t))
	raw := text(1, 5000) // would compress
	f := bundle.Frame{Digest: bundle.DigestOf(raw), Codec: bundle.CodecRaw, Size: 5000, Payload: raw}
	ls, err := s.PutFrames(t.Context(), []bundle.Frame{f})
	if err != nil {
		t.Fatal(err)
	}
	if ls[0].Codec != bundle.CodecRaw || ls[0].Length != 5000 {
		t.Errorf("stored as %+v", ls[0].Location)
	}
}

func TestAFrameThatLiesFailsTheCallAndStoresNothing(t *testing.T) {
	s, c := open(t, openDir(t))
	fs := frames(sample(10))
	fs[7].Payload = bytes.Clone(fs[7].Payload)
	fs[7].Payload[0] ^= 1
	_, err := s.PutFrames(t.Context(), fs)
	wantKind(t, "PutFrames", err, bundle.KindCorrupt)
	if c.packs() != 0 {
		t.Error("a pack was written")
	}
}

func TestAStreamWithAnotherDigestIsCorruptAndStoresNothing(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	want := bundle.DigestOf([]byte("what was promised"))
	for _, size := range []int{10, 1 << 20} {
		_, err := s.PutStream(t.Context(), bytes.NewReader(noise(size, size)), &want, int64(size))
		wantKind(t, fmt.Sprintf("%d bytes", size), err, bundle.KindCorrupt)
	}
	wantNoObjects(t, d)
}

func TestAStreamThatBreaksOffStoresNothing(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	cut := errors.New("the line was cut")
	for _, size := range []int{0, 10, 1 << 20} {
		r := io.MultiReader(bytes.NewReader(noise(size, size)), iotest.ErrReader(cut))
		if _, err := s.PutStream(t.Context(), r, nil, 5<<20); !errors.Is(err, cut) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	wantNoObjects(t, d)
}

func wantNoObjects(t *testing.T, d storage.Driver) {
	t.Helper()
	err := d.List(t.Context(), "", func(o storage.ObjectInfo) error {
		t.Errorf("object %s of %d bytes", o.Key, o.Size)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAFailedPackFailsItsCallersAndARetryWorks(t *testing.T) {
	for _, op := range []storagetest.Op{storagetest.OpCreate, storagetest.OpWrite, storagetest.OpCommit} {
		inner := openDir(t)
		fail := bundle.Errorf(bundle.KindNoSpace, "disk full")
		d := storagetest.Faulty(inner, func(at storagetest.Op, _ string, n int) storagetest.Fault {
			if at == op && n == 0 {
				return storagetest.Fault{Err: fail}
			}
			return storagetest.Fault{}
		})
		s, _ := open(t, d)
		blobs := sample(20)
		_, err := s.PutFrames(t.Context(), frames(blobs))
		wantKind(t, "PutFrames", err, bundle.KindNoSpace)
		if !errors.Is(err, fail) {
			t.Errorf("the cause is lost: %v", err)
		}
		wantNoObjects(t, inner)
		wantBlobs(t, s, putFrames(t, s, blobs), blobs)
	}
}

func TestALostAnswerToACommitIsHealedByARetry(t *testing.T) {
	d := storagetest.Faulty(openDir(t), func(op storagetest.Op, _ string, n int) storagetest.Fault {
		if op == storagetest.OpCommit && n == 0 {
			return storagetest.Fault{Err: bundle.Errorf(bundle.KindUnavailable, "timeout"), After: true}
		}
		return storagetest.Fault{}
	})
	s, _ := open(t, d)
	blob := noise(1, 1<<20)
	_, err := s.Put(t.Context(), blob)
	wantKind(t, "first Put", err, bundle.KindUnavailable)
	l := put(t, s, blob)
	if got, err := s.Read(t.Context(), l); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("Read: %v", err)
	}
}

func TestACallerThatGivesUpDoesNotSpoilTheOthers(t *testing.T) {
	gate, begun := make(chan struct{}), make(chan struct{})
	d := storagetest.Faulty(openDir(t), func(op storagetest.Op, _ string, n int) storagetest.Fault {
		if op == storagetest.OpCommit && n == 0 {
			close(begun)
			return storagetest.Fault{Wait: gate}
		}
		return storagetest.Fault{}
	})
	s, _ := open(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := s.Put(ctx, []byte("impatient, being written")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled Put: %v", err)
		}
	})
	<-begun
	wg.Go(func() {
		if _, err := s.Put(ctx, []byte("impatient, queued")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled Put: %v", err)
		}
	})
	wg.Go(func() { put(t, s, []byte("patient")) })
	waitUntil(t, func() bool { return storage.Queued(s) == 2 })
	cancel()
	close(gate)
	wg.Wait()
}

func TestCloseEndsPutsInProgressAndRefusesNewOnes(t *testing.T) {
	begun := make(chan struct{})
	d := storagetest.Faulty(openDir(t), func(op storagetest.Op, _ string, n int) storagetest.Fault {
		if op == storagetest.OpCommit {
			close(begun)
			return storagetest.Fault{Wait: make(chan struct{})} // hangs until cancelled
		}
		return storagetest.Fault{}
	})
	s := storage.New(storage.Config{Driver: d})
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), fmt.Appendf(nil, "%d", i)); err == nil {
				t.Error("a Put that was not written succeeded")
			}
		})
	}
	<-begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	_, err := s.Put(t.Context(), []byte("late"))
	wantKind(t, "Put after Close", err, bundle.KindUnavailable)
}

func TestPutsStopBelowMinFree(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	d := &meteredDriver{Driver: openDir(t), free: 100 << 20}
	s := storage.New(storage.Config{Driver: d, MinFree: 10 << 20, Now: func() time.Time { return now }})
	defer s.Close()
	put(t, s, []byte("room enough"))
	put(t, s, []byte("still"))
	if d.asked != 1 {
		t.Errorf("the free space was asked for %d times within a second", d.asked)
	}
	_, err := s.PutStream(t.Context(), bytes.NewReader(nil), nil, 95<<20)
	wantKind(t, "a stream said to be too large", err, bundle.KindNoSpace)
	d.free = 9 << 20
	now = now.Add(time.Second)
	_, err = s.Put(t.Context(), []byte("too late"))
	wantKind(t, "Put", err, bundle.KindNoSpace)
	_, err = s.PutFrames(t.Context(), frames(sample(1)))
	wantKind(t, "PutFrames", err, bundle.KindNoSpace)
	d.free = -1
	now = now.Add(time.Second)
	put(t, s, []byte("unknown free space is no reason to refuse"))
}

type meteredDriver struct {
	storage.Driver
	free  int64
	asked int
}

func (d *meteredDriver) Free(context.Context) (int64, error) {
	d.asked++
	return d.free, nil
}

// zeros yields n zero bytes.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.n))
	clear(p[:n])
	z.n -= int64(n)
	return n, nil
}

func TestALargeBlobIsNeverWhollyInMemory(t *testing.T) {
	size := int64(256 << 20)
	if testing.Short() {
		size = 64 << 20
	}
	s, _ := open(t, openDir(t))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l, err := s.PutStream(t.Context(), &zeros{n: size}, nil, -1)
	if err != nil || l.Size != size || l.Packed() {
		t.Fatalf("PutStream: %+v, %v", l, err)
	}
	r, err := s.Open(t.Context(), l.Blob, l.Location, 1, -1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 256<<10))
	if err := errors.Join(err, r.Close()); err != nil || n != size-1 {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d bytes were allocated to move %d in and out", used, size)
	}
}

func TestALargeBlobIsRefusedOnceTheStoreIsClosed(t *testing.T) {
	ctx := context.Background()
	s, _ := open(t, openDir(t))
	large := bytes.Repeat([]byte("large"), bundle.MaxFrameBlob)
	closing := readFunc(func(p []byte) (int, error) {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return 0, io.EOF
	})
	for _, c := range []struct {
		name string
		r    io.Reader
	}{
		{"on its way", io.MultiReader(bytes.NewReader(large), closing)},
		{"after", bytes.NewReader(large)},
	} {
		if _, err := s.PutStream(ctx, c.r, nil, -1); !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
