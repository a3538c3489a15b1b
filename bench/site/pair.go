package site

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Pair is two sites of which south follows everything of north, with what they
// say to each other passing a counting proxy.
type Pair struct {
	Program      Program
	North, South *Site
	Peer         *Proxy   // between south and north
	Buckets      *Buckets // of the sites that keep files in S3
	Collection   string   // of north, for what is published

	dir string
}

// PairConfig says how to open a pair.
type PairConfig struct {
	Program      Program
	Dir          string // an empty folder
	North, South string // storage: dir or s3
}

// OpenPair starts both sites and makes south follow north. The caller ends them
// with [Pair.Close].
func OpenPair(ctx context.Context, cfg PairConfig) (_ *Pair, err error) {
	p := &Pair{Program: cfg.Program, dir: cfg.Dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.Buckets, err = OpenBuckets(ctx, filepath.Join(cfg.Dir, "s3"), cfg.North, cfg.South); err != nil {
		return nil, err
	}
	peerListen, err := FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	if p.Peer, err = StartProxy(ctx, peerListen); err != nil {
		return nil, err
	}
	store, err := p.Buckets.Store(cfg.North, "north")
	if err != nil {
		return nil, err
	}
	p.North, err = Open(ctx, Config{
		Program: cfg.Program, Dir: filepath.Join(cfg.Dir, "north"), Name: "north",
		PeerListen: peerListen, PeerAddress: p.Peer.URL(), Store: store,
	})
	if err != nil {
		return nil, err
	}
	if p.South, err = p.Subscriber(ctx, "south", cfg.South); err != nil {
		return nil, err
	}
	if p.Collection, err = p.North.CreateCollection(ctx, "bench"); err != nil {
		return nil, err
	}
	return p, p.South.Follow(ctx, p.North)
}

// Subscriber starts one more site; the caller makes it follow north and closes
// it.
func (p *Pair) Subscriber(ctx context.Context, name, driver string) (*Site, error) {
	store, err := p.Buckets.Store(driver, name)
	if err != nil {
		return nil, err
	}
	return Open(ctx, Config{Program: p.Program, Dir: filepath.Join(p.dir, name), Name: name, Store: store})
}

// Open makes a site and starts it. The caller ends it with [Site.Close].
func Open(ctx context.Context, cfg Config) (*Site, error) {
	s, err := New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends both sites, the proxies and the S3 server.
func (p *Pair) Close() error {
	var errs []error
	for _, s := range []*Site{p.South, p.North} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if p.Peer != nil {
		errs = append(errs, p.Peer.Close())
	}
	if p.Buckets != nil {
		errs = append(errs, p.Buckets.Close())
	}
	return errors.Join(errs...)
}

// Durations are measured times, for their spread.
type Durations []time.Duration

// Spread returns the least, the middle and the greatest; zeros if there is none.
func (d Durations) Spread() (least, median, greatest time.Duration) {
	if len(d) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]
}

// String shows the spread in milliseconds.
func (d Durations) String() string {
	least, median, greatest := d.Spread()
	return fmt.Sprintf("min %d / median %d / max %d ms", least.Milliseconds(), median.Milliseconds(), greatest.Milliseconds())
}
