package clustertest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
)

// Node is one machine of the cluster, running or not. It keeps its name in all
// its lives, its address until it moves, and its id until it loses its disk.
type Node struct {
	Name string

	c     *Cluster
	first bool
	skew  atomic.Int64

	mu          sync.Mutex
	slot        int // of its address in the network
	port        *port
	folder      *folder
	incarnation int
	live        *cluster.Node // nil while the node is down
	db          *catalog.DB
	disk        *Disk // of this or the last life
}

// ID returns the node's name and incarnation.
func (n *Node) ID() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.id()
}

func (n *Node) id() string { return fmt.Sprintf("%s-%d", n.Name, n.incarnation+1) }

// Address is where the node listens.
func (n *Node) Address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.port.Addr().String()
}

// Move gives the node another address, as of its next start. It must be down.
func (n *Node) Move() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live != nil {
		n.c.t.Fatalf("%s runs", n.Name)
	}
	n.slot, n.port = n.c.network.listen()
}

// Live returns the running node, nil while it is down.
func (n *Node) Live() *cluster.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live
}

// Disk returns what the node writes through; it is another one after each start.
func (n *Node) Disk() *Disk {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.disk
}

// SetClock sets the node's clock apart from the machine's.
func (n *Node) SetClock(ahead time.Duration) { n.skew.Store(int64(ahead)) }

// Clock returns how far the node's clock is ahead of the machine's.
func (n *Node) Clock() time.Duration { return time.Duration(n.skew.Load()) }

func (n *Node) now() time.Time { return time.Now().Add(time.Duration(n.skew.Load())) }

// Start starts the node if it is down.
func (n *Node) Start() {
	n.c.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live != nil {
		return
	}
	// A node outlives the contexts of the calls that start it.
	ctx := context.Background()
	var err error
	slot := n.slot
	n.disk = newDisk()
	if n.db, err = catalog.Open(ctx, n.folder.join("catalog"), catalog.Options{}); err != nil {
		n.c.t.Fatalf("catalog of %s: %v", n.Name, err)
	}
	config := cluster.Config{
		ID: n.id(), Dir: n.folder.join("raft"), Catalog: diskCatalog{n.db, n.disk}, LogWrite: n.disk.write,
		Bootstrap: n.first && n.incarnation == 0, Listener: n.port.up(), Now: n.now, Logger: logger(n.c.t, n.Name),
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return n.c.network.dial(ctx, slot, address)
		},
		OnFatal:          n.fatal(n.disk),
		HeartbeatTimeout: 500 * time.Millisecond, ElectionTimeout: 500 * time.Millisecond,
		LeaderLease: 300 * time.Millisecond, RPCTimeout: 2 * time.Second,
	}
	if n.c.authority != nil {
		config.TLS = n.c.certify(config.ID, n.now)
	}
	if n.c.options.Configure != nil {
		n.c.options.Configure(n, &config)
	}
	if n.live, err = cluster.Open(ctx, config); err != nil {
		n.db.Close()
		n.c.t.Fatalf("start %s: %v", n.Name, err)
	}
}

func (n *Node) fatal(disk *Disk) func(error) {
	return func(err error) {
		disk.mu.Lock()
		killed := disk.failure != nil
		disk.mu.Unlock()
		if !killed && !n.c.options.MayFail {
			n.c.t.Errorf("%s reports a fault: %v", n.Name, err)
		}
	}
}

// Stop closes the node as a program does that is told to end.
func (n *Node) Stop() {
	n.c.t.Helper()
	if err := n.end(); err != nil {
		n.c.t.Errorf("stop %s: %v", n.Name, err)
	}
}

func (n *Node) end() error {
	n.mu.Lock()
	live, db := n.live, n.db
	n.live = nil
	n.mu.Unlock()
	if live == nil {
		return nil
	}
	err := live.Close()
	if dbErr := db.Close(); err == nil {
		err = dbErr
	}
	return err
}

// Kill stops the node between two writes, as kill -9 would: it says nothing to
// the others, hands nothing over, and what it finds at the next start is its
// folder of this moment.
func (n *Node) Kill() {
	n.c.t.Helper()
	disk := n.Disk()
	disk.Freeze()
	slot := n.place()
	n.c.network.silence(slot)
	n.mu.Lock()
	n.folder = n.folder.crashed()
	n.mu.Unlock()
	disk.Fail(errKilled)
	_ = n.end() // nothing of it matters any more
	n.c.network.resume(slot)
}

// LoseDisk makes the next start that of a new incarnation with nothing on its
// disk. The node must be down.
func (n *Node) LoseDisk() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live != nil {
		n.c.t.Fatalf("%s runs", n.Name)
	}
	n.incarnation++
	n.folder = newFolder(n.c.t)
}

// Put writes a value through this node.
func (n *Node) Put(ctx context.Context, key, value string) error {
	_, err := n.Propose(ctx, catalog.NewCommand(n.now(), catalog.PutSecret{Name: key, Sealed: []byte(value)}))
	return err
}

// Propose sends a command through this node, and returns a refusal as an error.
func (n *Node) Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	live := n.Live()
	if live == nil {
		return catalog.Result{}, bundle.Errorf(bundle.KindUnavailable, "%s is down", n.Name)
	}
	r, err := live.Propose(ctx, cmd)
	if err == nil && r.Err != nil {
		err = r.Err
	}
	return r, err
}

// MustPut is Put that goes on, with the same request, while there is no leader,
// and fails the test when it is refused or that lasts.
func (n *Node) MustPut(key, value string) {
	n.c.t.Helper()
	ctx, cancel := context.WithTimeout(n.c.t.Context(), patience)
	defer cancel()
	cmd := catalog.NewCommand(n.now(), catalog.PutSecret{Name: key, Sealed: []byte(value)})
	for {
		_, err := n.Propose(ctx, cmd)
		if err == nil {
			return
		}
		if ctx.Err() != nil || n.Live() == nil || !bundle.IsKind(err, bundle.KindUnavailable) {
			n.c.t.Fatalf("put %s=%s through %s: %v", key, value, n.Name, err)
		}
	}
}

// Get reads a value through this node, "" if there is none.
func (n *Node) Get(ctx context.Context, level cluster.Level, key string) (value string, stale bool, err error) {
	n.mu.Lock()
	live, db := n.live, n.db
	n.mu.Unlock()
	if live == nil {
		return "", false, bundle.Errorf(bundle.KindUnavailable, "%s is down", n.Name)
	}
	if _, stale, err = live.ReadBarrier(ctx, level); err != nil {
		return "", false, err
	}
	err = db.View(ctx, func(v *catalog.View) error {
		sealed, err := v.Secret(key)
		value = string(sealed)
		return err
	})
	if bundle.IsKind(err, bundle.KindNotFound) {
		err = nil
	}
	return value, stale, err
}

// Dump returns the digest of the catalog's logical content.
func (n *Node) Dump() (d bundle.Digest, err error) {
	n.mu.Lock()
	db := n.db
	n.mu.Unlock()
	err = db.View(context.Background(), func(v *catalog.View) error {
		d, err = v.DumpDigest()
		return err
	})
	return d, err
}

// place is the node's number in the network.
func (n *Node) place() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.slot
}

// voters is how many nodes vote as far as this one knows.
func (n *Node) voters() (count int) {
	for _, m := range n.Live().Stats().Members {
		if m.Voter {
			count++
		}
	}
	return count
}

func logger(t testing.TB, name string) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name(), "node", name)
}
