package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	// coarse and fine are the pauses between two looks at a site: the looks
	// cost it little beside a pull, and an edit is seen at once.
	coarse = 25 * time.Millisecond
	fine   = 2 * time.Millisecond
	// converge is how long south may take to show what north published.
	converge = 5 * time.Minute
)

// measurement is a run in progress.
type measurement struct {
	pair        *site.Pair
	client      *site.Proxy // between the command line and north
	source, dir string
	bundle      string
	result      *result
}

// counts are all counters at one moment.
type counts struct {
	client, peer, store site.Wire
	north, south        float64 // objects written
}

func (m *measurement) counts(ctx context.Context) (counts, error) {
	c := counts{client: m.client.Count(), peer: m.pair.Peer.Count(), store: m.pair.Buckets.Count()}
	for s, objects := range map[*site.Site]*float64{m.pair.North: &c.north, m.pair.South: &c.south} {
		metrics, err := s.Metrics(ctx)
		if err != nil {
			return c, err
		}
		*objects = metrics.Sum("objects_written_total")
	}
	return c, nil
}

// publish publishes the source and waits until north and south show version;
// disturb, if not nil, runs beside it.
func (m *measurement) publish(ctx context.Context, version int, every time.Duration, disturb func(context.Context) error) (phase, error) {
	var p phase
	before, err := m.counts(ctx)
	if err != nil {
		return p, err
	}
	began := time.Now()
	published, err := m.pair.North.Publish(ctx, m.source, m.pair.Collection, m.bundle, "source", m.client.URL())
	if err != nil {
		return p, err
	}
	acknowledged := time.Now()
	p.Publish = acknowledged.Sub(began).Seconds()
	p.SentFiles, p.SentBytes = published.SentFiles, published.SentBytes
	m.bundle = published.Bundle
	if published.Version != version {
		return p, fmt.Errorf("published version %d, expected %d", published.Version, version)
	}
	waiting, cancel := context.WithTimeout(ctx, converge)
	defer cancel()
	work, workCtx := errgroup.WithContext(waiting)
	if disturb != nil {
		work.Go(func() error { return disturb(workCtx) })
	}
	work.Go(func() error {
		api, err := m.pair.South.API(workCtx)
		if err != nil {
			return err
		}
		err = api.WaitVersion(workCtx, m.bundle, version, every)
		p.Visible = time.Since(acknowledged).Seconds()
		return err
	})
	if err := work.Wait(); err != nil {
		return p, err
	}
	after, err := m.counts(ctx)
	if err != nil {
		return p, err
	}
	p.Client, p.Peer = after.client.Since(before.client), after.peer.Since(before.peer)
	p.Store = after.store.Since(before.store)
	p.NorthObjects, p.SouthObjects = int(after.north-before.north), int(after.south-before.south)
	return p, nil
}

// first publishes everything and compares every file that arrived.
func (m *measurement) first(ctx context.Context, kills int) error {
	tree, size, err := site.ReadTree(m.source)
	if err != nil {
		return err
	}
	m.result.Files, m.result.Bytes = len(tree), size
	var disturb func(context.Context) error
	if kills > 0 {
		disturb = func(ctx context.Context) error { return m.kill(ctx, kills) }
	}
	if _, err := m.pair.South.API(ctx); err != nil { // the token, before the clock runs
		return err
	}
	if m.result.First, err = m.publish(ctx, 1, coarse, disturb); err != nil {
		return err
	}
	m.result.Kills = kills
	return m.compare(ctx, tree, 1, &m.result.First)
}

// kill ends south again and again while it pulls, evenly spread over the bytes
// that it has to receive: roughly those that the client sent.
func (m *measurement) kill(ctx context.Context, kills int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	whole := m.client.Count().Up
	start := m.pair.Peer.Count().Down
	for k := range kills {
		for m.pair.Peer.Count().Down-start < whole*int64(k+1)/int64(kills+1) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
		api, err := m.pair.South.API(ctx)
		if err != nil {
			return err
		}
		if n, err := api.Newest(ctx, m.bundle); err == nil && n > 0 {
			return fmt.Errorf("the pull was over before kill %d of %d", k+1, kills)
		}
		m.pair.South.Kill()
		if _, err := m.pair.South.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reference lets a third site pull the same, undisturbed.
func (m *measurement) reference(ctx context.Context, driver string) error {
	s, err := m.pair.Subscriber(ctx, "reference", driver)
	if err != nil {
		return err
	}
	before := m.pair.Peer.Count()
	err = s.Follow(ctx, m.pair.North)
	if err == nil {
		var api *site.API
		if api, err = s.API(ctx); err == nil {
			err = api.WaitVersion(ctx, m.bundle, 1, coarse)
		}
	}
	m.result.Undisturbed = m.pair.Peer.Count().Since(before)
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

// edit changes one file in the middle, publishes and compares again.
func (m *measurement) edit(ctx context.Context) error {
	tree, _, err := site.ReadTree(m.source)
	if err != nil {
		return err
	}
	paths := slices.Sorted(maps.Keys(tree))
	m.result.Edited = paths[len(paths)/2]
	for _, p := range paths[len(paths)/2:] { // one a person would edit
		if strings.HasSuffix(p, ".go") {
			m.result.Edited = p
			break
		}
	}
	name := filepath.Join(m.source, filepath.FromSlash(m.result.Edited))
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, append(content, "\n// Edited.\n"...), 0o600); err != nil {
		return err
	}
	m.result.EditedBytes = len(content) + len("\n// Edited.\n")
	if m.result.Edit, err = m.publish(ctx, 2, fine, nil); err != nil {
		return err
	}
	if tree, _, err = site.ReadTree(m.source); err != nil {
		return err
	}
	return m.compare(ctx, tree, 2, &m.result.Edit)
}

// compare downloads a version from south and holds it against tree.
func (m *measurement) compare(ctx context.Context, tree site.Tree, version int, p *phase) error {
	to := filepath.Join(m.dir, fmt.Sprintf("download-%d", version))
	began := time.Now()
	if err := m.pair.South.Download(ctx, m.bundle, version, to); err != nil {
		return err
	}
	p.Download = time.Since(began).Seconds()
	got, _, err := site.ReadTree(to)
	if err != nil {
		return err
	}
	if err := got.Compare(tree); err != nil {
		return fmt.Errorf("south's version %d against the source: %w", version, err)
	}
	m.result.Compared += len(got)
	return nil
}
