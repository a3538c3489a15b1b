package blockstored

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/replica"
	"github.com/blockstored/blockstored/rest"
	"github.com/blockstored/blockstored/syndication"
)

// openFacing builds the rooms that face peers and the host, binds the
// listeners, starts what a leader does, and last of all serves.
func (i *Instance) openFacing(ctx context.Context) error {
	i.server = syndication.NewServer(syndication.ServerConfig{
		Catalog: i.catalog, Contents: i.contents, Store: i.store, Proposer: i.node,
		Now: i.now, Logger: i.log, Observe: i.observeServed,
	})
	i.peering = syndication.NewPeering(syndication.PeeringConfig{
		Proposer: i.node, Identity: i.identity.Load, Now: i.now, AllowInsecure: i.cfg.Peer.AllowInsecure,
	})
	i.replica = replica.New(replica.Config{
		Proposer: i.node, Catalog: i.catalog, Store: i.store, Contents: i.contents, Connect: i.connect,
		Now: i.now, Logger: i.log, Metrics: i.metrics,
		PollWait: i.cfg.Peer.PollWait, FreezeAfter: i.cfg.Peer.FreezeAfter,
	})
	i.openTokens()
	api, err := i.newAPI(ctx)
	if err != nil {
		return err
	}
	i.api = api
	i.observe()
	err = i.bind(ctx)
	i.onClose(func() error { i.server.Close(); return nil }) // first of all: polls that wait hold the listeners up
	if err != nil {
		return err
	}
	if !i.several() {
		if err := i.describe(ctx, i.node); err != nil {
			return err
		}
	}
	i.lead()
	i.doors.open(i.api.Handler(), i.api.AdminHandler(), i.server.Handler())
	i.listeners.start()
	return nil
}

// bind opens the listeners, unless they are open. Either way they close before
// everything that is open by now.
func (i *Instance) bind(ctx context.Context) error {
	i.onClose(func() error { i.listeners.close(closeGrace); return nil })
	if i.listeners != nil {
		return nil
	}
	i.listeners = &servers{log: i.log, failed: i.fatal}
	return i.listen(ctx, i.listeners)
}

// listen opens each listener that the configuration names.
func (i *Instance) listen(ctx context.Context, s *servers) (err error) {
	if ln := i.cfg.Listener; ln != nil || i.cfg.Listen != "" {
		if ln == nil {
			if ln, err = listen(ctx, "listen", i.cfg.Listen); err != nil {
				return err
			}
		}
		ln, scheme, err := i.withTLS(ln, "tls_cert", i.cfg.TLSCert, i.cfg.TLSKey)
		if err != nil {
			return err
		}
		if addr := ln.Addr(); addr.Network() == "unix" { // a host's own
			i.addresses.Socket = addr.String()
		} else {
			i.addresses.API = listenerURL(scheme, ln)
		}
		s.add(ln, hostServer(i.doors.through(&i.doors.host)))
	}
	if i.cfg.Socket.Path != "" {
		ln, remove, err := listenSocket(ctx, i.cfg.Socket)
		if err != nil {
			return err
		}
		i.addresses.Socket = i.cfg.Socket.Path
		s.add(ln, hostServer(i.doors.through(&i.doors.host)))
		s.cleanup = append(s.cleanup, remove) // after add's, so that it is closed by then
	}
	if i.cfg.Peer.Listen != "" {
		ln, err := listen(ctx, "peer.listen", i.cfg.Peer.Listen)
		if err != nil {
			return err
		}
		ln, scheme, err := i.withTLS(ln, "peer.tls_cert", i.cfg.Peer.TLSCert, i.cfg.Peer.TLSKey)
		if err != nil {
			return err
		}
		i.addresses.Peer = listenerURL(scheme, ln)
		s.add(ln, syndication.NewHTTPServer(i.doors.through(&i.doors.peer)))
	}
	ln, cleanup, err := listenAdmin(ctx, i.cfg)
	if err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, cleanup)
	s.add(ln, hostServer(i.doors.through(&i.doors.admin)))
	return nil
}

// openTokens starts noting when tokens are used. It ends before this node does.
func (i *Instance) openTokens() {
	i.tokens = access.NewTokens(access.TokensConfig{Catalog: i.catalog, Proposer: i.node, Now: i.now, Logger: i.log})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { i.tokens.Run(ctx) })
	i.onClose(func() error {
		stop()
		running.Wait()
		return nil
	})
}

// newAPI builds the REST API over the rooms.
func (i *Instance) newAPI(ctx context.Context) (*rest.API, error) {
	var key []byte
	err := i.catalog.View(ctx, func(v *catalog.View) error {
		sealed, err := v.Secret(access.SecretURLKey)
		if err != nil {
			return err
		}
		key, err = i.sealer.Open(access.SecretURLKey, sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	signer, err := access.NewURLSigner(key, i.cfg.Files.URLExpiry)
	if err != nil {
		return nil, err
	}
	proxies, err := i.cfg.trustedProxies()
	if err != nil {
		return nil, err
	}
	version, revision, _ := buildInfo()
	cfg := rest.Config{
		Primary: i.primary, Proposer: i.node, Catalog: i.catalog, Contents: i.contents, URLSigner: signer, Tokens: i.tokens,
		Now: i.now, Logger: i.log, Metrics: i.metrics, PublicURL: i.cfg.PublicURL,
		FilesURL: i.cfg.Files.URL, CORSOrigins: i.cfg.Files.CORSOrigins, FilesCSP: i.cfg.Files.CSP, TrustedProxies: proxies,
		MaxBody: i.cfg.Limits.MaxBody, MaxUploads: int(i.cfg.Limits.MaxUploads), MaxList: i.cfg.Limits.MaxList,
		RequestsPerSecond: int(i.cfg.Limits.RequestsPerSecond), Burst: int(i.cfg.Limits.Burst), IdleTimeout: i.cfg.Limits.IdleTimeout,
		Version: version, Revision: revision,
		Read: i.read, Current: i.current, Unready: i.unready, Nodes: nodes{i}, Peering: peering{i}, SyncStatus: i.replica.Status, Release: i.replica.Release, ClusterStatus: i.clusterStatus,
	}
	if i.cfg.Gatherer != nil {
		cfg.MetricsHandler = promhttp.HandlerFor(i.cfg.Gatherer, promhttp.HandlerOpts{})
	}
	return rest.New(cfg)
}

// connect makes the client of a peer for the replica.
func (i *Instance) connect(peer catalog.Peer, observe func(syndication.Transfer)) (replica.PeerClient, error) {
	return syndication.NewClient(syndication.ClientConfig{
		Identity: i.identity.Load(), Peer: peer.ID, Addresses: peer.Addresses,
		AllowInsecure: i.cfg.Peer.AllowInsecure, Now: i.now, Observe: observe,
	})
}

// observeServed counts a peer's request that this node answered.
func (i *Instance) observeServed(s syndication.Served) {
	peer := "unknown"
	if s.Peer != (bundle.ID{}) {
		peer = s.Peer.String()
	}
	i.metrics.PeerBytes(peer, metrics.Sent, s.Sent)
	i.metrics.Request("/peer/v1/"+s.Endpoint, s.Status, s.Took)
}
