package primary

import (
	"context"
	"log/slog"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/storage"
)

// Proposer puts commands into the cluster's log.
//
// Propose returns when the command's effect, or its refusal, can be seen in the
// catalog of this process. A refusal is in Result.Err, not in err. An err with
// the field outcome=unknown means that the command may or may not take effect
// later; proposing the same command again is then right, since its request id
// makes it happen once. Propose has done that itself for as long as a new leader
// may take. After any other err it has no effect. Propose is called from many
// goroutines.
type Proposer interface {
	Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error)
}

// Metrics is told what happened. Its methods are called from many goroutines.
type Metrics interface {
	// Commit reports one version made, and the time from the call to its
	// durable answer.
	Commit(took time.Duration)
}

// Config says what a [Primary] works on. Proposer, Catalog, Store and Contents
// are required.
type Config struct {
	Proposer Proposer
	Catalog  *catalog.DB
	Store    *storage.Store
	Contents *storage.Contents // over Store and Catalog
	Now      func() time.Time  // the clock; nil for time.Now
	Logger   *slog.Logger      // nil for none
	Metrics  Metrics           // nil for none
}

// Primary is the writing side of an instance. Its methods may be called from
// many goroutines; their errors carry a [bundle.Kind], and what they return is
// what the catalog holds afterwards.
type Primary struct {
	proposer Proposer
	catalog  *catalog.DB
	store    *storage.Store
	contents *storage.Contents
	now      func() time.Time
	log      *slog.Logger
	metrics  Metrics

	pages     *weighted[bundle.Digest, []byte]
	manifests *weighted[bundle.Digest, *bundle.Manifest]
	listings  *weighted[bundle.Digest, listing]

	drafts  gate // one change of a draft at a time, by draft
	commits gate // one commit at a time, by bundle
}

// Bounds of the caches, some tens of MiB together: bytes of pages, items of root
// pages, and listed files, of which one costs about 150 bytes.
const (
	cachedPageBytes      = 16 << 20
	cachedManifestWeight = 100_000
	cachedFiles          = 100_000
)

// New returns a Primary over cfg. It starts no goroutine and needs no closing:
// whoever opened the proposer, the catalog and the store stops using the Primary
// first and closes them afterwards.
func New(cfg Config) *Primary {
	p := &Primary{
		proposer:  cfg.Proposer,
		catalog:   cfg.Catalog,
		store:     cfg.Store,
		contents:  cfg.Contents,
		now:       cfg.Now,
		log:       cfg.Logger,
		metrics:   cfg.Metrics,
		pages:     newWeighted[bundle.Digest](cachedPageBytes, func(b []byte) int { return len(b) + 200 }),
		manifests: newWeighted[bundle.Digest](cachedManifestWeight, manifestWeight),
		listings:  newWeighted[bundle.Digest](cachedFiles, func(l listing) int { return len(l) + 10 }),
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.metrics == nil {
		p.metrics = noMetrics{}
	}
	return p
}

// manifestWeight counts what a root page refers to. Its files are not counted:
// a root holds so few items of its own that the constant covers them.
func manifestWeight(m *bundle.Manifest) int {
	w := 100
	for _, l := range m.Links() {
		w += 1 + len(l.Indirect)
	}
	return w
}

type noMetrics struct{}

func (noMetrics) Commit(time.Duration) {}
