package replica

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/syndication"
)

// Proposer brings a command into the cluster's log.
type Proposer interface {
	// Propose returns the result of the applied command, a refusal being
	// Result.Err, or an error if it is not known whether it was applied.
	Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error)
}

// PeerClient asks one peer; *[syndication.Client] is one. It is used by several
// goroutines at a time, and not after Close.
type PeerClient interface {
	Descriptor(ctx context.Context) ([]byte, error)
	Poll(ctx context.Context, req syndication.PollRequest) (*syndication.PollAnswer, error)
	Records(ctx context.Context, req syndication.RecordsRequest) (*syndication.RecordsAnswer, error)
	Manifests(ctx context.Context, wants []syndication.ManifestWant, fn func(bundle.Frame) error) error
	Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error
	File(ctx context.Context, ref bundle.VersionRef, path string, offset int64) (r io.ReadCloser, size int64, err error)
	Close()
}

// Config says what a [Replica] works with. Proposer, Catalog, Store, Contents
// and Connect are required.
type Config struct {
	Proposer Proposer // for what operators decide; see [Replica.Run] for the rest
	Catalog  *catalog.DB
	Store    *storage.Store
	Contents *storage.Contents // of Store, located by Catalog

	// Connect makes the client of a peer. It is called again when the peer's
	// addresses or descriptor changed. The client tells observe of each finished
	// exchange; the replica closes it.
	Connect func(peer catalog.Peer, observe func(syndication.Transfer)) (PeerClient, error)

	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Logger takes what happens to peers and bundles; nil for none.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *metrics.Metrics

	PollWait    time.Duration // how long a poll waits for news; 0 for syndication.MaxWait
	FreezeAfter time.Duration // age of a reachable peer's checkpoint that is FREEZE; 0 for 15 minutes
	MaxSkew     time.Duration // how far a peer's clock may be ahead; 0 for 5 minutes

	// RetryAfter is the first pause before a bundle that was set aside is tried
	// again; it doubles with each attempt, up to an hour. 0 for 30 s.
	RetryAfter time.Duration

	// Pause waits between attempts to reach a peer; nil for a timer.
	Pause func(ctx context.Context, d time.Duration) error
}

const (
	firstPause = time.Second
	maxPause   = time.Minute
	maxRetry   = time.Hour

	// lookEvery is the least time between two looks at the list of peers, so
	// that a busy catalog is not read at each of its batches.
	lookEvery = 50 * time.Millisecond
)

// Replica follows peers.
type Replica struct {
	cfg Config

	mu        sync.Mutex
	running   bool
	followers map[bundle.ID]*follower
}

// New returns a replica of cfg. It starts nothing: see [Replica.Run].
func New(cfg Config) *Replica {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.PollWait == 0 {
		cfg.PollWait = syndication.MaxWait
	}
	if cfg.RetryAfter == 0 {
		cfg.RetryAfter = 30 * time.Second
	}
	if cfg.Pause == nil {
		cfg.Pause = pause
	}
	return &Replica{cfg: cfg, followers: make(map[bundle.ID]*follower)}
}

// Run follows every peer that is subscribed to until ctx ends, and returns nil
// then, when all that it started has ended. It runs on the leader: ctx ends when
// leadership is lost, and what it decides goes through leader, which proposes
// for that stretch of leadership only. It may be run again, but not twice at a
// time.
func (r *Replica) Run(ctx context.Context, leader Proposer) error {
	if err := r.begin(); err != nil {
		return err
	}
	removeHook := r.cfg.Metrics.OnScrape(r.observe)
	var wg sync.WaitGroup
	stops := make(map[bundle.ID]context.CancelFunc)
	defer func() {
		for _, stop := range stops {
			stop()
		}
		wg.Wait()
		removeHook()
		r.end()
	}()
	for {
		changed := r.cfg.Catalog.Changed()
		peers, err := r.peers(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil { // whoever is followed is followed on
			r.cfg.Logger.Error("peers: the catalog cannot be read; trying again", "error", err)
			if pause(ctx, firstPause) != nil {
				return nil
			}
			continue
		}
		here := make(map[bundle.ID]bool, len(peers))
		for _, p := range peers {
			here[p.ID] = true
			f, known := r.see(p, leader)
			if known {
				f.refresh(p)
				continue
			}
			fctx, stop := context.WithCancel(ctx)
			stops[p.ID] = stop
			wg.Go(func() { f.run(fctx) })
		}
		for id, stop := range stops {
			if !here[id] {
				stop()
				delete(stops, id)
				r.forget(id)
			}
		}
		if !r.sleep(ctx, changed) {
			return nil
		}
	}
}

// sleep waits for the catalog to change, and a moment longer for what comes
// with it. It reports false when ctx ended.
func (r *Replica) sleep(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	}
	return pause(ctx, lookEvery) == nil
}

func (r *Replica) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return bundle.Errorf(bundle.KindConflict, "replica: Run is running already")
	}
	r.running = true
	return nil
}

func (r *Replica) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
	for _, f := range r.followers {
		r.cfg.Metrics.ForgetPeer(f.name) // another node reports on it from now on
	}
	clear(r.followers)
}

// see returns the follower of a peer, and whether it was there already.
func (r *Replica) see(p catalog.Peer, leader Proposer) (f *follower, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, known = r.followers[p.ID]; !known {
		cfg := r.cfg
		cfg.Proposer = leader
		f = newFollower(cfg, p)
		r.followers[p.ID] = f
	}
	return f, known
}

func (r *Replica) forget(id bundle.ID) {
	r.mu.Lock()
	f := r.followers[id]
	delete(r.followers, id)
	r.mu.Unlock()
	if f != nil {
		r.cfg.Metrics.ForgetPeer(f.name)
	}
}

func (r *Replica) follower(id bundle.ID) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.followers[id]
}

func (r *Replica) peers(ctx context.Context) (peers []catalog.Peer, err error) {
	err = r.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		peers, err = v.Peers()
		return err
	})
	return peers, err
}

// Release has a bundle that was set aside tried again at once. For what was
// held back as a question, such as a withdrawal of too many bundles together,
// that is the answer: go on. KindNotFound if the bundle is not set aside.
func (r *Replica) Release(ctx context.Context, peer, id bundle.ID) error {
	var parked []catalog.ParkedBundle
	err := r.cfg.Catalog.View(ctx, func(v *catalog.View) (err error) {
		parked, err = v.Parked(peer)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range parked {
		if p.Bundle != id {
			continue
		}
		err := r.cfg.apply(ctx, catalog.Park{
			Peer: peer, Bundle: id, Reason: p.Reason, Detail: p.Detail, Index: p.Index, RetryAt: r.cfg.Now().UnixMicro(),
		})
		if f := r.follower(peer); err == nil && f != nil {
			f.poke()
		}
		return err
	}
	return bundle.Errorf(bundle.KindNotFound, "bundle %s of peer %s is not set aside: there is nothing to release", id, peer)
}

// AcceptRecovery goes on from the log of a peer that was recovered and lost
// history, as it was when it raised ROLLBACK for that: what is here stays, also
// what the peer lost, and its log is read again from its start. A peer without
// such an alarm is left alone. The alarm itself stands until it is cleared.
func (r *Replica) AcceptRecovery(ctx context.Context, id bundle.ID) error {
	var peer catalog.Peer
	err := r.cfg.Catalog.View(ctx, func(v *catalog.View) (err error) {
		peer, err = v.Peer(id)
		return err
	})
	if err != nil {
		return err
	}
	note, c, ok, err := recoveredTo(peer)
	if err != nil || !ok {
		return err
	}
	return r.cfg.apply(ctx, catalog.Intake{
		Peer: id, Note: note, Generation: c.Generation, Size: c.Size, Root: bundle.Digest(c.Root), Issued: c.Issued,
		ExpectCursor: peer.Cursor, Cursor: 0, GrantRevision: peer.SeenGrantRevision,
	})
}

// apply proposes body and makes an error of its refusal.
func (c *Config) apply(ctx context.Context, body catalog.Body) error {
	result, err := c.Proposer.Propose(ctx, catalog.NewCommand(c.Now(), body))
	if err != nil {
		return err
	}
	if result.Err != nil {
		return result.Err
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// backOff returns the pause after a number of failures in a row, with jitter so
// that subscribers do not come back all at once.
func backOff(failures int) time.Duration {
	d := min(firstPause<<min(failures-1, 10), maxPause)
	return d/2 + rand.N(d/2)
}

// retryIn returns the pause before a bundle is tried again.
func (c *Config) retryIn(attempts int64) time.Duration {
	return min(c.RetryAfter<<min(attempts, 12), max(maxRetry, c.RetryAfter))
}
