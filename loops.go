package blockstored

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/syndication"
)

const (
	claimEvery = time.Minute
	claimRetry = 5 * time.Second
	purgeEvery = 5 * time.Second
	purgeLimit = 1000 // rows a command, so that no batch holds up others for long
)

// lead starts the work that only a leader does. Each piece runs under a context
// that ends with leadership, and proposes through this node in this term or not
// at all; closing the node joins them all.
func (i *Instance) lead() {
	i.node.WhileLeader(func(ctx context.Context, l cluster.Leader) {
		err := syndication.RunPublisher(ctx, syndication.PublisherConfig{
			Catalog: i.catalog, Proposer: l, Now: i.now, Logger: i.log,
			Identity: i.identity.Load,
		})
		i.ended(ctx, "publisher", err)
	})
	i.node.WhileLeader(func(ctx context.Context, l cluster.Leader) { i.ended(ctx, "replica", i.replica.Run(ctx, l)) })
	i.node.WhileLeader(i.takeOver)
	i.node.WhileLeader(i.purge)
}

// takeOver makes what the leader before held this one's: what the instance says
// of itself, and the storage, whose claim it then renews.
func (i *Instance) takeOver(ctx context.Context, l cluster.Leader) {
	retry := time.NewTicker(claimRetry)
	defer retry.Stop()
	for {
		err := i.inherit(ctx, l)
		if err == nil {
			break
		}
		if storage.GenerationLost(err) {
			i.node.Quit(err)
			return
		}
		if ctx.Err() == nil {
			i.log.Warn("leading, but not all is taken over yet; trying again in a moment", "error", err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return
		}
	}
	if err := i.store.RunClaim(ctx, claimEvery); err != nil {
		i.node.Quit(err) // the instance goes on elsewhere
	}
}

func (i *Instance) inherit(ctx context.Context, l cluster.Leader) error {
	if i.claimed.Swap(false) {
		return nil // Open did it all
	}
	if err := i.loadIdentity(ctx); err != nil {
		return err
	}
	if err := i.claim(ctx); err != nil {
		return err
	}
	return i.describe(ctx, l)
}

// ended reports leader's work that stopped while this node still leads.
func (i *Instance) ended(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		i.log.Error("work of the leader ended", "what", what, "error", err)
	}
}

// purge removes, in small batches, rows that no query can see any more. While
// there are none it proposes nothing.
func (i *Instance) purge(ctx context.Context, l cluster.Leader) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := i.purgeAll(ctx, l); err != nil && ctx.Err() == nil {
			i.log.Warn("purge: trying again in a moment", "error", err)
		}
	}
}

// purgeAll goes on until a command removed less than it might have: however
// fast rows come, they do not pile up.
func (i *Instance) purgeAll(ctx context.Context, l cluster.Leader) error {
	var due bool
	err := i.catalog.View(ctx, func(v *catalog.View) (err error) {
		due, err = v.Purgeable(i.now().UnixMicro())
		return err
	})
	if err != nil || !due {
		return err
	}
	for {
		result, err := l.Propose(ctx, catalog.NewCommand(i.now(), catalog.Purge{Limit: purgeLimit}))
		switch {
		case err != nil:
			return err
		case result.Err != nil:
			return result.Err
		case result.Number < purgeLimit:
			return nil
		}
	}
}

// observe fills the gauges that describe a state when they are scraped.
func (i *Instance) observe() {
	if i.cfg.Registerer == nil {
		return
	}
	remove := i.metrics.OnScrape(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if size, err := i.catalog.Size(); err == nil {
			i.metrics.SetCatalogSize(size)
		}
		err := i.catalog.View(ctx, func(v *catalog.View) error {
			counts, err := v.Counts()
			if err != nil {
				return err
			}
			i.metrics.SetLogRecords(counts.Records)
			for _, state := range []string{"own", "copy", "held", "parked", "withdrawn"} {
				i.metrics.SetBundles(state, counts.Bundles[state])
			}
			return nil
		})
		i.metrics.SetReady(err == nil && len(i.unready()) == 0)
		if err != nil {
			i.log.Warn("metrics: counts", "error", err)
		}
	})
	i.onClose(func() error { remove(); return nil })
}

// buildInfo returns the version, the revision and the Go version of this build.
func buildInfo() (version, revision, goversion string) {
	version, revision = "devel", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return version, revision, runtime.Version()
}
