package blockstored

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/primary"
	"github.com/blockstored/blockstored/replica"
	"github.com/blockstored/blockstored/rest"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/syndication"
)

// closeGrace is how long Close lets requests in progress finish.
const closeGrace = 10 * time.Second

// Instance is one running node of an instance, and its host's [api.Store]. Its
// methods may be called from any goroutine. Calls of the Store come from the host
// itself and are trusted: they need no token, and the limits that config.go sets
// for requests do not hold for them. The host ends them before Close.
type Instance struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	closers []func() error // in the order things were opened; Close runs them backwards

	folder   *folder
	sealer   *access.Sealer
	metrics  *metrics.Metrics
	catalog  *catalog.DB
	store    *storage.Store
	contents *storage.Contents
	port     *port // for other nodes; nil: this one stays alone
	node     *cluster.Node

	identity atomic.Pointer[syndication.Identity] // the current one
	claimed  atomic.Bool                          // the storage, for the next stretch of leadership

	tokens  *access.Tokens
	peering *syndication.Peering
	server  *syndication.Server
	primary *primary.Primary
	replica *replica.Replica
	api     *rest.API

	doors     doors
	listeners *servers // nil before they are bound
	addresses Addresses
	fatalOnce sync.Once
	closeOnce sync.Once
	closeErr  error
}

// Open opens the instance that cfg describes, making it if the data folder is
// empty, or a node of the one that Config.Cluster.Join names, and returns when
// this node is ready to serve. It listens where cfg says,
// and on the operators' socket in the data folder.
//
// The caller ends it with [Instance.Close]. ctx bounds the opening only. An
// error of KindConflict means that another process uses the folder or another
// instance the storage; the text says what to do.
func Open(ctx context.Context, cfg Config) (_ *Instance, err error) {
	defer func() {
		if err != nil && cfg.Listener != nil {
			_ = cfg.Listener.Close() // nothing was accepted
		}
	}()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	i := newInstance(cfg)
	for _, step := range []func(context.Context) error{
		i.openFolder, i.recovered, i.openPort, i.openMetrics, i.openCatalog, i.openStorage, i.openNode, i.openFacing,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, i.Close())
		}
	}
	i.log.Info("instance is open", "instance", i.ID(), "name", cfg.Name, "api", i.addresses.API,
		"socket", i.addresses.Socket, "peer", i.addresses.Peer, "cluster", i.addresses.Cluster)
	return i, nil
}

func newInstance(cfg Config) *Instance {
	i := &Instance{cfg: cfg, log: cfg.Logger, now: cfg.Now}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	if i.now == nil {
		i.now = time.Now
	}
	return i
}

// Init makes the data folder and the instance in it, and closes it again. A
// folder that already holds one is refused with KindConflict. It listens nowhere
// and leaves a Listener alone.
func Init(ctx context.Context, cfg Config) error {
	if done, err := Initialized(cfg.Data); err != nil || done {
		if done {
			err = bundle.Errorf(bundle.KindConflict, "%s already holds an instance: serve it, or give another data folder", cfg.Data)
		}
		return err
	}
	cfg.Listen, cfg.Listener, cfg.Socket.Path, cfg.Peer.Listen = "", nil, "", ""
	cfg.Cluster.Listen, cfg.Cluster.Join = "", ""
	i, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	return i.Close()
}

// ID returns the instance's permanent id.
func (i *Instance) ID() bundle.ID { return i.identity.Load().ID() }

// Addresses returns where this node listens.
func (i *Instance) Addresses() Addresses { return i.addresses }

// Handler returns the REST API for the host's own server, to be mounted at its
// root or, by [http.StripPrefix], below any path: URLs in answers then begin with
// that path, unless Config.PublicURL says what they begin with. It asks for a
// token on every path but those that show nothing of the store, and signed URLs
// of files.
func (i *Instance) Handler() http.Handler { return i.api.Handler() }

// PeerHandler returns what other instances talk to, /peer/v1 and nothing else,
// for a host that serves it itself.
func (i *Instance) PeerHandler() http.Handler { return i.server.Handler() }

// Close stops listening (call [Instance.Leave] first where other nodes can take
// over), lets requests in progress finish for up to ten
// seconds, ends the work of a leader, and closes everything in the reverse
// order of opening. It returns when every goroutine of the instance has ended.
// Calling it again returns the first result.
func (i *Instance) Close() error {
	i.closeOnce.Do(func() {
		var errs []error
		for k := len(i.closers) - 1; k >= 0; k-- {
			errs = append(errs, i.closers[k]())
		}
		i.closeErr = errors.Join(errs...)
	})
	return i.closeErr
}

func (i *Instance) onClose(f func() error) { i.closers = append(i.closers, f) }

// fatal tells the host, once, that this node must not go on.
func (i *Instance) fatal(err error) {
	i.fatalOnce.Do(func() {
		i.log.Error("this node stops", "error", err)
		if i.cfg.OnFatal != nil {
			i.cfg.OnFatal(err)
		}
	})
}
