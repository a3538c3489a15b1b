package syndication

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// CheckpointEvery is how often a checkpoint is renewed while nothing is
// published, so that subscribers can tell a quiet log from a frozen one.
const CheckpointEvery = time.Minute

// A checkpoint takes the disk and the log as a commit does, so after one the
// publisher stands back for a few times as long as it took: while one version
// follows the other, checkpoints are a fifth of the work at most, and are shared
// by what is published meanwhile.
const (
	standBackFactor = 4
	standBackMax    = 100 * time.Millisecond
)

// lookEvery is how often the publisher looks at the clock.
const lookEvery = 5 * time.Second

// PublisherConfig says for what [RunPublisher] signs.
type PublisherConfig struct {
	Catalog  *catalog.DB
	Proposer Proposer
	Identity func() *Identity // the current one
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Tick makes the publisher look at the clock; nil for every 5 s.
	Tick <-chan time.Time
	// After is time.After but in tests; nil for that.
	After func(time.Duration) <-chan time.Time
	// Logger takes failures, which are tried again; nil for none.
	Logger *slog.Logger
}

// RunPublisher signs and proposes a checkpoint whenever the log has grown or
// the last checkpoint is a minute old, until ctx ends; it returns nil then. It
// runs on the leader: ctx ends when leadership is lost. Records that arrive
// while a checkpoint is on its way share the next one. A checkpoint is never
// older or smaller than the one before, whoever signed that: apply refuses it.
func RunPublisher(ctx context.Context, cfg PublisherConfig) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.After == nil {
		cfg.After = time.After
	}
	if cfg.Tick == nil {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		cfg.Tick = ticker.C
	}
	for {
		changed := cfg.Catalog.Changed()
		var rested <-chan time.Time
		began := cfg.Now()
		published, err := publish(ctx, cfg)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			cfg.Logger.Warn("checkpoint not published; trying again", "error", err)
			changed = nil // wait for the tick: what fails at once would fail in a loop
		case published:
			changed, rested = nil, cfg.After(standBack(cfg.Now().Sub(began))) // the log may have grown by then
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-rested:
		case <-cfg.Tick:
		}
	}
}

// standBack returns how long the publisher waits after a checkpoint that took so
// long.
func standBack(took time.Duration) time.Duration {
	return min(max(took, 0)*standBackFactor, standBackMax)
}

// publish proposes a checkpoint if one is due.
func publish(ctx context.Context, cfg PublisherConfig) (published bool, err error) {
	now := cfg.Now()
	var next publog.Checkpoint
	due := false
	err = cfg.Catalog.View(ctx, func(v *catalog.View) (err error) {
		next, due, err = nextCheckpoint(v, now)
		return err
	})
	if err != nil || !due {
		return false, err
	}
	note, err := cfg.Identity().signCheckpoint(next)
	if err != nil {
		return false, err
	}
	result, err := cfg.Proposer.Propose(ctx, catalog.NewCommand(now, catalog.Checkpoint{
		Note: note, Generation: next.Generation, Size: next.Size, Root: bundle.Digest(next.Root), Issued: next.Issued,
	}))
	if err != nil {
		return false, fmt.Errorf("propose a checkpoint of %d records: %w", next.Size, err)
	}
	if result.Err != nil {
		return false, fmt.Errorf("checkpoint of %d records: %w", next.Size, result.Err)
	}
	return true, nil
}

// nextCheckpoint returns the checkpoint to sign, and whether one is due.
func nextCheckpoint(v *catalog.View, now time.Time) (next publog.Checkpoint, due bool, err error) {
	instance, err := v.Instance()
	if err != nil {
		return next, false, err
	}
	last, err := v.Checkpoint()
	first := bundle.IsKind(err, bundle.KindNotFound)
	if err != nil && !first {
		return next, false, err
	}
	size, err := v.LogSize()
	if err != nil {
		return next, false, err
	}
	age := now.Sub(time.UnixMicro(last.Issued))
	due = first || size > last.Size || instance.Generation > last.Generation || age >= CheckpointEvery
	if !due {
		return next, false, nil
	}
	next = publog.Checkpoint{
		Instance: instance.ID, Generation: instance.Generation, Size: size, Root: tlog.Hash(last.Root),
		Issued: max(now.UnixMicro(), last.Issued+1),
	}
	if first || size != last.Size {
		next.Root, err = publog.Root(size, v.LogReader())
	}
	return next, true, err
}
