package storage

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

const (
	defaultCacheBytes = 64 << 20
	freeSpaceMaxAge   = time.Second
)

// Config says what a [Store] is made of.
type Config struct {
	// Driver keeps the objects. The store never closes it. Required.
	Driver Driver
	// Observer is told what is written and read; nil for nobody.
	Observer Observer
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Logger takes what has no caller to return to; nil for none.
	Logger *slog.Logger
	// MinFree is the space in bytes that writes leave free, where the driver
	// knows its free space. 0 for no such limit.
	MinFree int64
	// CacheBytes bounds the cache of small blobs; 0 for 64 MiB, negative for
	// no cache.
	CacheBytes int64
}

// Observer counts what a store does; *metrics.Metrics is one. Its methods are
// called from many goroutines and must not block.
type Observer interface {
	// ObjectWritten reports one durable object of size bytes that took d to
	// write, the sender's pace included; kind is "pack" or "blob".
	ObjectWritten(kind string, size int64, d time.Duration)
	// StorageRead reports n bytes fetched from the driver.
	StorageRead(n int64)
}

type noObserver struct{}

func (noObserver) ObjectWritten(string, int64, time.Duration) {}
func (noObserver) StorageRead(int64)                          {}

// Store keeps blobs on a driver. All methods are safe for concurrent use.
//
// A Put that returned nil is durable; its caller may then name the blob in a
// command. A Put that failed or was cancelled may have left an object behind
// that nothing names, which garbage collection finds; storing the same bytes
// again is always right.
type Store struct {
	driver   Driver
	observer Observer
	now      func() time.Time
	log      *slog.Logger
	minFree  int64
	cache    *blobCache
	packs    *packQueue
	claim    claimState

	freeMu sync.Mutex
	free   int64
	freeAt time.Time
}

// New returns a store over cfg.Driver. It starts no goroutine until the first
// Put. Whoever calls New calls [Store.Close], after the last Put has returned if
// none is to fail, and closes the driver after that.
func New(cfg Config) *Store {
	s := &Store{
		driver:   cfg.Driver,
		observer: cfg.Observer,
		now:      cfg.Now,
		log:      cfg.Logger,
		minFree:  cfg.MinFree,
	}
	if s.observer == nil {
		s.observer = noObserver{}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	s.cache = newBlobCache(cfg.CacheBytes)
	s.packs = newPackQueue(s.writePack)
	return s
}

// Close makes the store refuse further Puts, cancels the packs in progress, whose
// Puts fail with KindUnavailable or the driver's error, and returns when every
// goroutine of the store has ended. A large blob on its way is refused at the
// latest when it would become visible. Readers handed out stay usable until the
// driver is closed.
func (s *Store) Close() error {
	s.packs.close()
	return nil
}

// refusal returns why nothing can be stored now, whatever its size.
func (s *Store) refusal() error {
	if err := s.packs.refusal(); err != nil {
		return err
	}
	return s.claim.refusal()
}

// writable returns why size more bytes cannot be stored now, nil if they can.
func (s *Store) writable(ctx context.Context, size int64) error {
	if err := s.refusal(); err != nil {
		return err
	}
	if s.minFree <= 0 {
		return nil
	}
	free, err := s.freeSpace(ctx)
	if err != nil {
		return err
	}
	if free >= 0 && free-max(size, 0) < s.minFree {
		return bundle.Errorf(bundle.KindNoSpace,
			"storage has %d MiB free and must keep %d MiB (min_free): free some space or lower the limit",
			free>>20, s.minFree>>20)
	}
	return nil
}

// freeSpace returns the driver's free space, at most freeSpaceMaxAge old.
func (s *Store) freeSpace(ctx context.Context) (int64, error) {
	s.freeMu.Lock()
	defer s.freeMu.Unlock()
	now := s.now()
	if age := now.Sub(s.freeAt); !s.freeAt.IsZero() && age >= 0 && age < freeSpaceMaxAge {
		return s.free, nil
	}
	free, err := s.driver.Free(ctx)
	if err != nil {
		return 0, err
	}
	s.free, s.freeAt = free, now
	return free, nil
}
