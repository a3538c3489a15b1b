package blockstored

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/primary"
)

// port is where this node meets the others of its instance, and how it proves
// to be one of them. Where the operator does not issue their certificates: every
// node can open the instance's authority, so each issues its own certificate, keeps the key in memory, and makes both anew at a
// start and when a third of the certificate's life is left.
type port struct {
	listener  net.Listener
	advertise string
	node      string // this node's id
	now       func() time.Time

	authority *cluster.Authority
	own       *cluster.TLS // with the operator's certificates; nil: the authority's
	joining   bool         // this node is not known to be up with the others yet

	mu   sync.Mutex
	cert *tls.Certificate
}

// openPort binds the listener for other nodes, if there can be any, and asks
// them to let this one in if it is to join.
func (i *Instance) openPort(ctx context.Context) error {
	id, err := i.folder.nodeID(i.cfg.Cluster.Node)
	if err != nil {
		return err
	}
	if !i.cfg.shared() || i.cfg.Cluster.Listen == "" {
		if _, pending, err := i.folder.welcome(); err != nil || pending {
			return pick(err, bundle.Errorf(bundle.KindInvalid, "this node has begun to join an instance: set storage.driver: s3 and cluster.listen as it was then"))
		}
		return nil
	}
	ln, err := listen(ctx, "cluster.listen", i.cfg.Cluster.Listen)
	if err != nil {
		return err
	}
	i.onClose(func() error { _ = ln.Close(); return nil }) // in case no node took it over
	p := &port{listener: ln, advertise: i.cfg.Cluster.Advertise, node: id, now: i.now}
	if p.advertise == "" {
		p.advertise = ln.Addr().String()
		if err := cluster.CheckAddress(p.advertise); err != nil {
			return invalid("cluster.advertise", "say where the other nodes reach this one: %w", err)
		}
	}
	i.port, i.addresses.Cluster = p, p.advertise
	return i.join(ctx)
}

// openNode starts this node, makes the instance on its first start, and builds
// what acts on it.
func (i *Instance) openNode(ctx context.Context) error {
	if i.port != nil && i.port.authority == nil {
		if err := i.openAuthority(ctx); err != nil {
			return err
		}
	}
	if p := i.port; p != nil {
		var err error
		if p.own, err = i.ownTLS(p.authority.Instance(), p.node); err != nil {
			return err
		}
	}
	if err := i.startNode(ctx, i.port); err != nil {
		return err
	}
	i.onClose(func() error { return i.node.Close() })
	if i.port != nil && i.port.joining { // which may take long: who asks is told
		i.doors.shut(i.joining(time.Now()))
		if err := i.bind(ctx); err != nil {
			return err
		}
		i.listeners.start()
	}
	if err := i.arrive(ctx); err != nil {
		return err
	}
	if err := i.folder.markInitialized(); err != nil {
		return err
	}
	i.primary = primary.New(primary.Config{
		Proposer: i.node, Catalog: i.catalog, Store: i.store, Contents: i.contents,
		Now: i.now, Logger: i.log, Metrics: i.metrics,
	})
	return nil
}

// arrive brings the node to where it can serve: a new one waits until it has
// what the others have, and one that decides alone makes what is missing of the
// instance. One of several starts from what it has, also while the others are
// down.
func (i *Instance) arrive(ctx context.Context) error {
	switch {
	case i.port != nil && i.port.joining:
		if err := i.catchUp(ctx); err != nil {
			return err
		}
	case !i.several():
		if err := i.node.WaitLeader(ctx); err != nil {
			return err
		}
		if err := i.openIdentity(ctx); err != nil {
			return err
		}
		i.claimed.Store(true)
		return i.claim(ctx)
	case i.port == nil:
		return bundle.Errorf(bundle.KindInvalid, "this node is one of several, which share a bucket and reach each other: "+
			"it needs storage.driver: s3 and cluster.listen")
	}
	if err := i.loadIdentity(ctx); err != nil {
		return err
	}
	return i.checkClaim(ctx)
}

// startNode starts this node, on p or, if that is nil, without a way to others.
func (i *Instance) startNode(ctx context.Context, p *port) (err error) {
	id, err := i.folder.nodeID(i.cfg.Cluster.Node)
	if err != nil {
		return err
	}
	version, _, _ := buildInfo()
	cfg := cluster.Config{
		ID: id, Dir: i.folder.join("raft"), Catalog: i.catalog, Bootstrap: p == nil || !p.joining,
		Logger: i.log, Now: i.now, OnFatal: i.fatal, Metrics: i.metrics, Version: version,
		MaxStaleness: i.cfg.Cluster.MaxStaleness, DiskStall: i.cfg.Cluster.DiskStall, RemoveDeadAfter: i.cfg.Cluster.RemoveDeadAfter,
	}
	if p != nil {
		cfg.Listener, cfg.Advertise, cfg.TLS, cfg.Welcome = p.listener, p.advertise, p.tls(), i.welcome
	}
	i.node, err = cluster.Open(ctx, cfg)
	return err
}

// several reports whether the instance has further nodes. A node that was
// removed may be left with the others only, or with one.
func (i *Instance) several() bool {
	s := i.node.Stats()
	return slices.ContainsFunc(s.Members, func(m cluster.Member) bool { return m.ID != s.ID })
}

// openAuthority loads the authority of the instance's nodes. Where there is
// none, this node is the only one, and makes it, and the instance if need be,
// before it listens.
func (i *Instance) openAuthority(ctx context.Context) error {
	sealed, err := i.secret(ctx, access.SecretClusterAuthority)
	if bundle.IsKind(err, bundle.KindNotFound) {
		if err := i.makeAuthority(ctx); err != nil {
			return err
		}
		sealed, err = i.secret(ctx, access.SecretClusterAuthority)
	}
	if err != nil {
		return err
	}
	i.port.authority, err = openAuthority(i.sealer, sealed)
	return err
}

func (i *Instance) makeAuthority(ctx context.Context) (err error) {
	if err := i.startNode(ctx, nil); err != nil {
		return err
	}
	defer func() {
		if closeErr := i.node.Close(); err == nil {
			err = closeErr
		}
	}()
	if i.several() {
		return bundle.Errorf(bundle.KindCorrupt, "this node is one of several, but its catalog has no %s: restore its data folder, or let it join anew with an empty one", access.SecretClusterAuthority)
	}
	if err := i.node.WaitLeader(ctx); err != nil {
		return err
	}
	if err := i.openIdentity(ctx); err != nil {
		return err
	}
	authority, err := cluster.NewAuthority(i.ID(), i.now())
	if err != nil {
		return err
	}
	cert, key, err := authority.Marshal()
	if err != nil {
		return err
	}
	joinKey := make([]byte, 32)
	rand.Read(joinKey) // never fails: crypto/rand
	text := pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: key})...)
	// The authority last: where it is, the key is.
	for _, s := range []struct {
		name  string
		value []byte
	}{{access.SecretClusterJoinKey, joinKey}, {access.SecretClusterAuthority, text}} {
		if err := apply(ctx, i.node, i.now(), catalog.PutSecret{Name: s.name, Sealed: i.sealer.Seal(s.name, s.value)}); err != nil {
			return err
		}
	}
	return nil
}

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// openAuthority reads the sealed authority: its certificate and its key in PEM.
func openAuthority(sealer *access.Sealer, sealed []byte) (*cluster.Authority, error) {
	text, err := sealer.Open(access.SecretClusterAuthority, sealed)
	if err != nil {
		return nil, err
	}
	cert, rest := pem.Decode(text)
	if cert == nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the secret %s is not in PEM", access.SecretClusterAuthority)
	}
	key, _ := pem.Decode(rest)
	if key == nil || cert.Type != pemCertificate || key.Type != pemKey {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the secret %s is not a certificate and its key", access.SecretClusterAuthority)
	}
	return cluster.ParseAuthority(cert.Bytes, key.Bytes)
}

// secret returns a sealed secret of the catalog, KindNotFound if there is none.
func (i *Instance) secret(ctx context.Context, name string) (sealed []byte, err error) {
	err = i.catalog.View(ctx, func(v *catalog.View) error {
		sealed, err = v.Secret(name)
		return err
	})
	return sealed, err
}

// tls is how this node and the others prove who they are.
func (p *port) tls() *cluster.TLS {
	if p.own != nil {
		return p.own
	}
	return &cluster.TLS{
		Instance:    p.authority.Instance(),
		Certificate: p.certificate,
		Roots:       func() (*x509.CertPool, error) { return p.authority.Pool(), nil },
	}
}

// certificate returns this node's certificate, a new one if a third of the life
// of the last one is left, and the authority's behind it.
func (p *port) certificate() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.cert != nil && now.Before(p.cert.Leaf.NotAfter.Add(-cluster.CertificateLife/3)) {
		return p.cert, nil
	}
	key, request, err := cluster.NewRequest(p.node)
	if err != nil {
		return nil, err
	}
	der, err := p.authority.Issue(p.node, request, now)
	if err != nil {
		return nil, err
	}
	cert, err := cluster.KeyPair(der, key)
	if err != nil {
		return nil, err
	}
	ca, _, err := p.authority.Marshal()
	if err != nil {
		return nil, err
	}
	cert.Certificate = append(cert.Certificate, ca)
	p.cert = cert
	return cert, nil
}

// pick returns err, or other if that is nil.
func pick(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
