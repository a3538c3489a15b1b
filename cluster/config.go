package cluster

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
)

// StateMachine is the catalog as the cluster sees it; [catalog.DB] is the one
// in use. Apply, SetConfiguration and Install are never called at the same
// time, and nor are two of Receive; the others may run beside them.
type StateMachine interface {
	// Apply applies entries in one transaction that also records the last
	// one's index and term. Results are in order; a refusal is a result. An
	// error is a fault of the disk or the database after which nothing may be
	// applied any more.
	Apply(entries []catalog.Entry) ([]catalog.Result, error)
	// SetConfiguration records conf, opaque to the catalog, with index and
	// term as the applied position, in one transaction.
	SetConfiguration(index, term uint64, conf []byte) error
	// Applied returns the position of the last applied entry, zeros if none.
	Applied() (index, term uint64, err error)
	// Configuration returns what SetConfiguration recorded last, and its index.
	Configuration() (index uint64, conf []byte, err error)
	// Levels returns the level in force, up to which commands may be proposed,
	// and the highest that this program understands. Both only rise.
	Levels() (inForce, highest uint64)
	// Sync makes everything applied before the call survive a loss of power.
	Sync() error
	// Size returns the bytes that the state takes on disk, which a copy takes
	// again at most.
	Size() (int64, error)
	// Copy writes a consistent copy of the state to a new file at path: at some
	// position that is not before the applied position when Copy was called,
	// which the copy contains. Apply goes on meanwhile. It tells progress the
	// bytes written and those that there will be.
	Copy(ctx context.Context, path string, progress func(done, total int64)) error
	// Receive reads a file that Copy wrote from r to its end, checks it, makes it
	// durable, returns its applied position and keeps it for Install, in the
	// place of one that was kept before. After an error nothing is kept. The
	// state stays what it is, and Apply goes on meanwhile.
	Receive(ctx context.Context, r io.Reader) (index, term uint64, err error)
	// Discard removes what Receive kept, if there is something.
	Discard() error
	// Install replaces the state by what Receive kept; after an error or a crash
	// at any moment the old state or the whole new one is there. If it cannot
	// tell which, all calls after it fail, and the node stops. It takes no longer
	// for a large state.
	Install(ctx context.Context) error
}

var _ StateMachine = (*catalog.DB)(nil)

// Config says how to open a node. ID, Dir and Catalog are required.
type Config struct {
	// ID is the node's name and incarnation ("n1-7f3a…"). A node whose disk
	// was lost or copied comes back with a new one.
	ID string
	// Dir is the folder for raft.db and for copies that are sent; Open makes it.
	// It should be on the disk of the catalog.
	// One running node has it locked.
	Dir string
	// Catalog is the state machine. The caller opens it before the node and
	// closes it after.
	Catalog StateMachine
	// Bootstrap makes this node, when it has no state yet, the only voter of a
	// new cluster. Without it an empty node waits to be added by a leader.
	Bootstrap bool

	// Listener accepts the other nodes; the node closes it. Nil opens no port:
	// the node can be the only one of its cluster.
	Listener net.Listener
	// Advertise is the address the others dial; by default the Listener's.
	Advertise string
	// TLS is how nodes prove who they are. Without it only a Listener on
	// loopback is taken.
	TLS *TLS
	// Welcome, if not nil, is asked for a node that wants to join (see
	// [AskToJoin]): it checks the token and whatever else the node says, and
	// returns what the node needs. The node is then made a member. Only with TLS.
	Welcome func(ctx context.Context, who Newcomer) (Welcome, error)
	// Version names the running program to the other nodes.
	Version string
	// Dial makes the connections to other nodes; by default that of
	// [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// OnFatal is called at most once, on a goroutine of its own, after the
	// catalog or the log failed and the node stopped taking part. It must not call Close
	// and wait for it; tell the owner of the node to do that.
	OnFatal func(error)
	// Logger receives the node's and Raft's lines; nil discards them.
	Logger *slog.Logger
	// Now is the clock for measurements and the age of log entries; nil means
	// time.Now. Nothing that is replicated depends on it.
	Now func() time.Time
	// Metrics may be nil.
	Metrics *metrics.Metrics

	// HeartbeatTimeout (1 s) is how long a follower waits for its leader
	// before it calls an election, ElectionTimeout (1 s) how long a candidate
	// waits for votes, LeaderLease (500 ms, at most HeartbeatTimeout) how long
	// a leader goes on without hearing from a quorum. A node that is the only
	// voter waits for none of them.
	HeartbeatTimeout, ElectionTimeout, LeaderLease time.Duration
	// RPCTimeout (10 s) bounds one exchange with another node, and how long
	// nothing may move of a copy of the catalog, which may take as long as it
	// needs.
	RPCTimeout time.Duration
	// MaxStaleness, if not 0, is how long after the last word of a leader this
	// node goes on answering reads that ask nobody.
	MaxStaleness time.Duration
	// BehindLimit (5 s) is for how long a node may lack something that its leader
	// has committed before it should get no requests, see [Node.Unready].
	BehindLimit time.Duration
	// DiskStall (2 s) is how long one write to the log may take before a leader
	// makes room for another. Of a node that is the only voter it is logged.
	DiskStall time.Duration
	// RemoveDeadAfter, if not 0, is how long a member may not answer the leader
	// before the leader removes it. A voter is removed only if three are left and
	// most of those answer.
	RemoveDeadAfter time.Duration
	// LogWrite, if not nil, carries out each write to raft.db, which it may
	// delay or fail: a seam for tests of slow and broken disks.
	LogWrite func(write func() error) error
	// Retention says how much of the log stays for nodes that were away.
	Retention Retention
}

// Retention bounds the log that is kept behind the applied position, so that a
// node that was restarted catches up from entries and needs no whole copy.
type Retention struct {
	// Soft is the size in bytes below which nothing is dropped (64 MiB).
	Soft int64
	// Age keeps younger entries beyond Soft (30 minutes).
	Age time.Duration
	// Hard is the size in bytes above which entries of any age go (512 MiB).
	Hard int64
	// Check is the time between two looks (1 minute).
	Check time.Duration
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.ID == "":
		return c, bundle.Errorf(bundle.KindInvalid, "cluster: a node needs an id")
	case c.Dir == "":
		return c, bundle.Errorf(bundle.KindInvalid, "cluster: a node needs a folder")
	case c.Catalog == nil:
		return c, bundle.Errorf(bundle.KindInvalid, "cluster: a node needs a catalog")
	}
	if _, err := parseNode(c.ID); err != nil {
		return c, err
	}
	if c.Listener != nil && c.TLS == nil && !onLoopback(c.Listener.Addr()) {
		return c, bundle.Errorf(bundle.KindInvalid,
			"cluster: %s is reachable by others, so nodes must prove who they are: give the node a certificate, or listen on loopback", c.Listener.Addr())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnFatal == nil {
		c.OnFatal = func(error) {}
	}
	orDefault(&c.HeartbeatTimeout, time.Second)
	orDefault(&c.ElectionTimeout, max(time.Second, c.HeartbeatTimeout))
	orDefault(&c.LeaderLease, min(500*time.Millisecond, c.HeartbeatTimeout))
	orDefault(&c.RPCTimeout, 10*time.Second)
	orDefault(&c.BehindLimit, 5*time.Second)
	orDefault(&c.DiskStall, 2*time.Second)
	orDefault(&c.Retention.Soft, 64<<20)
	orDefault(&c.Retention.Age, 30*time.Minute)
	orDefault(&c.Retention.Hard, 512<<20)
	orDefault(&c.Retention.Check, time.Minute)
	return c, nil
}

func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
