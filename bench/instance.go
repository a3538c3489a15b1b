package main

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/blockstored/blockstored/bench/site"
)

// instance is a running site, and what a host needs to use it.
type instance struct {
	*site.Site
	api        *site.API
	collection string
	edits      *edits // the run's
}

// open starts a site of a new name; closeSites ends it.
func (b *bench) open(ctx context.Context, name, driver string) (*instance, error) {
	if driver == "dir" {
		return b.openOn(ctx, name, site.Store{})
	}
	store, err := b.buckets.store(name)
	if err != nil {
		return nil, err
	}
	return b.openOn(ctx, name, store)
}

func (b *bench) openOn(ctx context.Context, name string, store site.Store) (*instance, error) {
	s, err := site.New(ctx, site.Config{Program: b.program, Dir: filepath.Join(b.dir, name), Name: name, Store: store})
	if err != nil {
		return nil, err
	}
	i := &instance{Site: s, edits: &b.edits}
	b.opened = append(b.opened, i)
	if _, err := s.Start(ctx); err != nil {
		return nil, err
	}
	if i.api, err = s.API(ctx); err != nil {
		return nil, err
	}
	i.collection, err = s.CreateCollection(ctx, "bench")
	return i, err
}

// courses makes bundles of so many files each.
func (i *instance) courses(ctx context.Context, n, files int) ([]*course, error) {
	all := make([]*course, n)
	err := atOnce(n, func(k int) (err error) {
		all[k], err = newCourse(ctx, i.api, i.collection, uint64(k*100_000+files), files)
		return err
	})
	return all, err
}

// atOnce calls f with 0 to n-1, 32 at a time, and returns an error of one of
// the calls if any failed; after that it starts no more.
func atOnce(n int, f func(int) error) error {
	var (
		mu    sync.Mutex
		next  int
		first error
		work  sync.WaitGroup
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && first == nil
	}
	for range min(n, 32) {
		work.Go(func() {
			for {
				k, ok := take()
				if !ok {
					return
				}
				if err := f(k); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	return first
}
