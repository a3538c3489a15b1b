package rest

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/primary"
	"github.com/blockstored/blockstored/replica"
	"github.com/blockstored/blockstored/storage"
)

// Config says what an [API] faces. The first five are required.
//
// The http.Server around the handlers sets ReadHeaderTimeout and IdleTimeout,
// and neither ReadTimeout nor WriteTimeout: a 10 GiB upload may take hours. The
// handlers cut off a body or an answer that does not move for Config.IdleTimeout.
type Config struct {
	Primary   *primary.Primary
	Proposer  primary.Proposer // for what operators change
	Catalog   *catalog.DB
	Contents  *storage.Contents
	URLSigner *access.URLSigner

	// Tokens says whose token a request carries; nil: those of Catalog, whose use
	// is noted nowhere.
	Tokens *access.Tokens

	Now     func() time.Time // the clock; nil for time.Now
	Logger  *slog.Logger     // nil for none
	Metrics *metrics.Metrics // nil for none

	// MetricsHandler answers /metrics; nil: 404.
	MetricsHandler http.Handler
	// PublicURL begins absolute URLs, without a slash at the end; "": the
	// request's scheme and Host.
	PublicURL string
	// FilesURL, where it is set, begins the URLs of files instead. Files then
	// have an origin of their own, and are served without a sandbox to who asks
	// for them by its host.
	FilesURL string
	// TrustedProxies may say in X-Forwarded-Proto and X-Forwarded-Host what the
	// client asked for.
	TrustedProxies []netip.Prefix
	// CORSOrigins may read files from scripts; "*" for all.
	CORSOrigins []string
	// MaxBody bounds JSON and form bodies in bytes; 0 for 256 MiB. Uploads of
	// files are not bounded by it.
	MaxBody int64
	// MaxUploads is how many uploads of more than 256 KiB, or of a size that is
	// not announced, are taken in at once; 0 for 32. Further ones wait a moment
	// and are then refused (503). One of frames holds two batches of 16 MiB in
	// memory, one of a file less.
	MaxUploads int
	// RequestsPerSecond bounds the requests of each token (429), after a Burst
	// of as many as that at once; 0 for no bound, and for a Burst of twice as
	// many as in a second.
	RequestsPerSecond int
	Burst             int
	// MaxList is how many rows a list without a limit may go over; 0 for
	// 100 000. A longer one is refused (400).
	MaxList int64
	// FilesCSP is the Content-Security-Policy of files; "" for "sandbox", or
	// none on the host of FilesURL.
	FilesCSP string
	// IdleTimeout ends a request whose body or answer does not move; 0 for a
	// minute.
	IdleTimeout time.Duration
	// Version and Revision name the running program.
	Version, Revision string

	// Read waits until a read of the catalog meets level ("", consistent,
	// local, strong) and returns the index that it shows at least; stale says
	// that a consistent read could not be had. KindInvalid for another level.
	// Nil: the catalog as it is.
	Read func(ctx context.Context, level string) (index uint64, stale bool, err error)
	// Current waits until a change can be decided on what the catalog shows, and
	// returns the index that it shows at least: a change that is refused for what
	// an old state shows would be refused for good. Nil: as Read.
	Current func(ctx context.Context) (index uint64, err error)
	// Unready returns why this node should get no requests beside a catalog that
	// does not answer, without waiting for anything; nil: nothing else counts.
	Unready func() []Reason

	// Peering makes and takes invitations; nil: the routes answer 503.
	Peering Peering
	// Nodes invites, removes and promotes the instance's nodes; nil: 503.
	Nodes Nodes
	// Release has a bundle that was set aside tried again at once; nil: 503.
	Release func(ctx context.Context, peer, bundle bundle.ID) error
	// SyncStatus and ClusterStatus describe the state of this process; nil:
	// their routes answer 503.
	SyncStatus    func(ctx context.Context) ([]replica.PeerStatus, error)
	ClusterStatus func(ctx context.Context) (ClusterStatus, error)
}

const (
	defaultMaxBody     = 256 << 20
	defaultMaxUploads  = 32
	defaultMaxList     = 100_000
	defaultIdleTimeout = time.Minute
)

// API is the REST API of one instance. It starts no goroutine that outlives a
// request and needs no closing: whoever serves its handlers stops doing so
// before closing what Config names.
type API struct {
	cfg     Config
	log     *slog.Logger
	uploads chan struct{} // one slot for each upload in progress
	pace    *pace         // of tokens; nil for none

	uploadWait time.Duration
}

// New returns the API that cfg describes. The error is of KindInvalid.
func New(cfg Config) (*API, error) {
	if cfg.Primary == nil || cfg.Proposer == nil || cfg.Catalog == nil || cfg.Contents == nil || cfg.URLSigner == nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "rest: Primary, Proposer, Catalog, Contents and URLSigner are required")
	}
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	cfg.FilesURL = strings.TrimRight(cfg.FilesURL, "/")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Tokens == nil {
		cfg.Tokens = access.NewTokens(access.TokensConfig{Catalog: cfg.Catalog, Now: cfg.Now})
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = defaultMaxBody
	}
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = defaultIdleTimeout
	}
	if cfg.MaxUploads <= 0 {
		cfg.MaxUploads = defaultMaxUploads
	}
	if cfg.MaxList <= 0 {
		cfg.MaxList = defaultMaxList
	}
	pace, err := newPace(cfg.RequestsPerSecond, cfg.Burst)
	if err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, log: cfg.Logger, uploads: make(chan struct{}, cfg.MaxUploads), pace: pace, uploadWait: uploadWait}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a, nil
}

// Handler returns the host application's API. It asks for a token on every path
// but those that say how the process is, and signed URLs of files.
func (a *API) Handler() http.Handler { return a.mux(false) }

// AdminHandler returns the same for a listener that only operators reach: no
// token is asked for, and whoever calls is an operator.
func (a *API) AdminHandler() http.Handler { return a.mux(true) }

func (a *API) mux(trusted bool) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range a.routes() {
		mux.Handle(rt.pattern, a.handler(rt, trusted))
	}
	nowhere := a.handler(&route{pattern: "/"}, trusted)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unclean(r.URL.EscapedPath()) {
			nowhere.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unclean reports whether a path has a segment that is empty, "." or "..".
// [http.ServeMux] would redirect to another path, and a client that follows would
// store a file under a name that it did not give.
func unclean(path string) bool {
	for _, bad := range []string{"//", "/./", "/../"} {
		if strings.Contains(path, bad) {
			return true
		}
	}
	return strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..")
}
