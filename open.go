package blockstored

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/primary"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/dir"
	"github.com/blockstored/blockstored/storage/s3"
	"github.com/blockstored/blockstored/syndication"
)

func (i *Instance) openFolder(context.Context) error {
	f, err := openFolder(i.cfg.Data)
	if err != nil {
		return err
	}
	i.folder = f
	i.onClose(f.close)
	if err := os.MkdirAll(f.join("tmp"), 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	done, err := Initialized(i.cfg.Data)
	if err != nil {
		return err
	}
	if !done && i.cfg.Cluster.Join != "" {
		return nil // openPort asks for the key
	}
	key := f.join(access.KeyFile)
	i.sealer, err = access.LoadSealer(key)
	if bundle.IsKind(err, bundle.KindNotFound) && !done { // a first start, or one that a crash cut short
		i.sealer, err = access.CreateSealer(key)
	}
	return err
}

func (i *Instance) openMetrics(context.Context) (err error) {
	if i.metrics, err = metrics.New(i.cfg.Registerer); err != nil {
		return err
	}
	i.onClose(func() error { i.metrics.Close(); return nil })
	i.metrics.SetBuildInfo(buildInfo())
	return nil
}

func (i *Instance) openCatalog(ctx context.Context) (err error) {
	i.catalog, err = catalog.Open(ctx, i.folder.join("catalog"), catalog.Options{Logger: i.log})
	if err != nil {
		return err
	}
	i.onClose(i.catalog.Close)
	return nil
}

func (i *Instance) openStorage(ctx context.Context) error {
	driver, err := i.openDriver(ctx)
	if err != nil {
		return err
	}
	i.onClose(driver.Close)
	i.store = storage.New(storage.Config{
		Driver: driver, Observer: i.metrics, Now: i.now, Logger: i.log,
		MinFree: i.cfg.Storage.MinFree, CacheBytes: i.cfg.Storage.Cache,
	})
	i.onClose(i.store.Close)
	i.contents = storage.NewContents(i.store, i.catalog)
	return nil
}

func (i *Instance) openDriver(ctx context.Context) (storage.Driver, error) {
	c := i.cfg.Storage
	if c.Driver == "dir" {
		path := c.Dir.Path
		if path == "" {
			path = i.folder.join("store")
		}
		return dir.Open(path)
	}
	return s3.Open(ctx, s3.Config{
		Endpoint: c.S3.Endpoint, Bucket: c.S3.Bucket, Prefix: c.S3.Prefix, Region: c.S3.Region,
		AccessKeyID: c.S3.AccessKeyID, SecretAccessKey: c.S3.SecretAccessKey,
		PathStyle: c.S3.PathStyle, CreateBucket: c.S3.CreateBucket,
		TempDir: i.folder.join("tmp"), Logger: i.log, Now: i.now,
	})
}

// openIdentity loads the instance's keys, making them on the first start.
func (i *Instance) openIdentity(ctx context.Context) error {
	err := i.loadIdentity(ctx)
	if !bundle.IsKind(err, bundle.KindNotFound) {
		return err
	}
	init, err := syndication.NewIdentity(i.sealer, syndication.IdentityParams{Name: i.cfg.Name, Now: i.now()})
	if err != nil {
		return err
	}
	if err := apply(ctx, i.node, i.now(), init); err != nil {
		return err
	}
	return i.loadIdentity(ctx)
}

func (i *Instance) loadIdentity(ctx context.Context) error {
	return i.catalog.View(ctx, func(v *catalog.View) error {
		identity, err := syndication.LoadIdentity(v, i.sealer)
		if err == nil {
			i.identity.Store(identity)
		}
		return err
	})
}

// claim makes sure that no other instance writes to the same storage. Only a
// leader does it.
func (i *Instance) claim(ctx context.Context) error {
	c, err := i.claimOf(ctx)
	if err != nil {
		return err
	}
	return i.store.Claim(ctx, c)
}

// claimOf is who claims the storage.
func (i *Instance) claimOf(ctx context.Context) (storage.ClaimConfig, error) {
	var row catalog.Instance
	err := i.catalog.View(ctx, func(v *catalog.View) (err error) {
		row, err = v.Instance()
		return err
	})
	return storage.ClaimConfig{Instance: i.ID(), Generation: row.Generation, Name: row.Name}, err
}

// describe publishes the display name and the peer listener's addresses if
// they changed since the last start. Where there are several nodes, the leader
// publishes what its configuration says and leaves alone what it leaves open: a
// node that joined knows neither.
func (i *Instance) describe(ctx context.Context, to primary.Proposer) error {
	name, endpoints := i.cfg.Name, i.endpoints()
	if i.several() {
		now := i.identity.Load().Descriptor()
		if name == DefaultConfig("").Name {
			name = now.Name
		}
		if len(i.cfg.Peer.Addresses) == 0 {
			endpoints = now.Endpoints
		}
	}
	update, changed, err := i.identity.Load().Describe(name, endpoints, i.now())
	if err != nil || !changed {
		return err
	}
	if err := apply(ctx, to, i.now(), update); err != nil {
		return err
	}
	return i.loadIdentity(ctx)
}

// endpoints are the URLs peers are told.
func (i *Instance) endpoints() []string {
	if len(i.cfg.Peer.Addresses) > 0 {
		return i.cfg.Peer.Addresses
	}
	if i.addresses.Peer == "" {
		return nil
	}
	return []string{i.addresses.Peer}
}

// apply proposes body and turns a refusal into an error.
func apply(ctx context.Context, to primary.Proposer, now time.Time, body catalog.Body) error {
	result, err := to.Propose(ctx, catalog.NewCommand(now, body))
	if err != nil {
		return err
	}
	if result.Err != nil {
		return result.Err
	}
	return nil
}

// listenerURL returns the URL of a listener for people on this machine: an address
// that listens everywhere is shown as loopback.
func listenerURL(scheme string, ln net.Listener) string {
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return scheme + "://" + ln.Addr().String()
	}
	if ip := net.ParseIP(strings.TrimSuffix(host, "%")); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
