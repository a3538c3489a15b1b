package storage_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openDir returns a driver over a fresh folder.
func openDir(t *testing.T) storage.Driver {
	t.Helper()
	d, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// open returns a store over d without a cache, so that reads reach the driver,
// and what it counted.
func open(t *testing.T, d storage.Driver) (*storage.Store, *counts) {
	t.Helper()
	c := &counts{objects: map[string]int{}, written: map[string]int64{}}
	s := storage.New(storage.Config{Driver: d, Observer: c, CacheBytes: -1})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

var _ storage.Observer = (*metrics.Metrics)(nil)

type counts struct {
	mu      sync.Mutex
	objects map[string]int
	written map[string]int64
	read    int64
}

func (c *counts) ObjectWritten(kind string, n int64, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[kind]++
	c.written[kind] += n
}

func (c *counts) StorageRead(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += n
}

func (c *counts) packs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects["pack"]
}

func put(t *testing.T, s *storage.Store, blob []byte) storage.Located {
	t.Helper()
	l, err := s.Put(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	if l.Blob != bundle.BlobOf(blob) {
		t.Fatalf("Put of %d bytes: %+v", len(blob), l.Blob)
	}
	return l
}

func wantKind(t *testing.T, what string, err error, kind bundle.Kind) {
	t.Helper()
	if !bundle.IsKind(err, kind) {
		t.Errorf("%s: %v (%v), want kind %v", what, err, bundle.KindOf(err), kind)
	}
}

func readRange(t *testing.T, s *storage.Store, l storage.Located, offset, length int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), l.Blob, l.Location, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text returns compressible bytes, noise incompressible ones, both chosen by
// seed.
func text(seed, n int) []byte {
	s := fmt.Sprintf("<problem display_name=\"question %d\"><p>What is %d?</p></problem>\n", seed, seed*7)
	return []byte(strings.Repeat(s, n/len(s)+1)[:n])
}

func noise(seed, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// sample returns n blobs of mixed sizes and kinds, all different.
func sample(n int) [][]byte {
	blobs := make([][]byte, n)
	for i := range blobs {
		switch i % 5 {
		case 0:
			blobs[i] = noise(i, 100+i)
		case 1:
			blobs[i] = fmt.Appendf(nil, "%d", i)
		default:
			blobs[i] = text(i, 300+i%6000)
		}
	}
	return blobs
}

func frames(blobs [][]byte) []bundle.Frame {
	out := make([]bundle.Frame, len(blobs))
	for i, b := range blobs {
		out[i] = bundle.MakeFrame(b)
	}
	return out
}

func putFrames(t *testing.T, s *storage.Store, blobs [][]byte) []storage.Located {
	t.Helper()
	ls, err := s.PutFrames(t.Context(), frames(blobs))
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range ls {
		if l.Blob != bundle.BlobOf(blobs[i]) || !l.Packed() {
			t.Fatalf("blob %d lies at %+v", i, l)
		}
	}
	return ls
}

func wantBlobs(t *testing.T, s *storage.Store, ls []storage.Located, blobs [][]byte) {
	t.Helper()
	seen := make([]int, len(ls))
	err := s.ReadMany(t.Context(), ls, func(i int, blob []byte) error {
		seen[i]++
		if !bytes.Equal(blob, blobs[i]) {
			t.Errorf("blob %d differs", i)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("blob %d was handed out %d times", i, n)
		}
	}
}
