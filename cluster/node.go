package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/metrics"
)

// Node is one member of the cluster. Its methods may be called from any
// goroutine. A Node owns its goroutines, raft.db, the transport and the
// listener; the catalog stays the caller's.
type Node struct {
	id          raft.ServerID
	version     string
	logger      *slog.Logger
	metrics     *metrics.Metrics
	security    *TLS // nil: none
	now         clock
	rpcLimit    time.Duration
	patience    time.Duration // for a leader to be there
	askLimit    time.Duration // for a leader to answer a question
	maxStale    time.Duration // 0: any
	behindLimit time.Duration
	started     time.Time
	retention   Retention

	raft      *raft.Raft
	fsm       *fsm
	trail     *trail
	store     *disk
	logs      raft.LogStore // store behind a cache
	path      string        // of raft.db
	transport *transport
	outbox    *outbox
	inbox     *inbox
	copies    copies
	layer     streamLayer
	members   *members
	self      raft.ServerAddress

	peers      *peers
	server     *server // nil without a listener
	porter     *server // of newcomers; nil if nobody is let in
	leadership leadership
	removal    removal
	lag        lag                       // behind the leader
	leaving    atomic.Pointer[time.Time] // since when; nil: it stays
	joining    sync.Mutex                // one change of who may join at a time
	cutting    sync.Mutex                // the log is shortened once at a time
	raised     atomic.Uint64             // level that this leader has begun to put in force
	lease      lease
	promise    *promise
	questions  [2]questions[uint64] // to the leader, by whether a quorum must confirm
	rounds     questions[uint64]    // to the voters, see askVoters
	voters     voters
	flights    flights
	asking     context.Context // ends when no question is put and no copy moves any more
	stopAsking context.CancelFunc
	calls      callGroup // goroutines that wait for an answer of raft

	closing  chan struct{} // closed when Close begins
	faults   chan error    // the first fault of the catalog or the log
	notify   chan bool     // leadership gained or lost
	regained chan struct{} // a quorum confirmed this leader after its disk had stalled
	loops    sync.WaitGroup
	halt     func() error // stops raft, once
	close    func() error // the rest of Close, once
	unhook   func()       // ends measure
}

// Open starts a node and returns at once: use [Node.WaitLeader] to wait until
// it can serve. With ctx cancelled it returns without starting. The caller must
// Close the node before it closes the catalog. Errors have KindInvalid for a
// wrong Config, KindUnavailable if another process runs the node, and
// KindCorrupt if log and catalog do not belong together.
func Open(ctx context.Context, config Config) (*Node, error) {
	config, err := config.withDefaults()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if config.Listener != nil {
			err = errors.Join(err, config.Listener.Close())
		}
		return nil, err
	}
	n := &Node{
		id: raft.ServerID(config.ID), version: config.Version, logger: config.Logger, metrics: config.Metrics, security: config.TLS, now: config.Now,
		behindLimit: config.BehindLimit, started: time.Now(),
		rpcLimit: config.RPCTimeout, retention: config.Retention, maxStale: config.MaxStaleness,
		patience: 2 * (config.HeartbeatTimeout + config.ElectionTimeout), askLimit: config.HeartbeatTimeout,
		trail:    &trail{retention: config.Retention, full: make(chan struct{}, 1)},
		path:     filepath.Join(config.Dir, "raft.db"),
		closing:  make(chan struct{}),
		faults:   make(chan error, 1),
		notify:   make(chan bool, 8),
		regained: make(chan struct{}, 1),
	}
	n.leadership.changed = make(chan struct{})
	n.asking, n.stopAsking = context.WithCancel(context.Background())
	n.lease.length = config.HeartbeatTimeout / 4
	n.promise = newPromise(config.HeartbeatTimeout / 2)
	n.fsm = &fsm{
		catalog: config.Catalog, metrics: config.Metrics, logger: config.Logger, now: config.Now, trail: n.trail,
		moved:     make(chan struct{}),
		onFailure: func(err error) { n.faults <- err }, // called once; there is room for one
	}
	n.members = &members{id: n.id}
	n.layer = newStreamLayer(config.Listener, layerConfig{
		id: n.id, advertise: config.Advertise, security: config.TLS, dial: config.Dial, resolve: n.members.resolve,
		limit: config.RPCTimeout, now: config.Now, logger: config.Logger, welcoming: config.Welcome != nil,
	})
	n.self = raft.ServerAddress(n.layer.Addr().String())
	n.members.self = n.self
	if err := n.start(config); err != nil {
		return nil, errors.Join(err, n.layer.Close())
	}
	return n, nil
}

// start opens what is on disk and starts raft. After an error it has closed
// what it opened, except the listener.
func (n *Node) start(config Config) (err error) {
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := n.fsm.load(); err != nil {
		return err
	}
	transit, err := transitDir(config.Dir)
	if err != nil {
		return fmt.Errorf("prepare the folder for copies: %w", err)
	}
	n.copies.metrics = n.metrics
	n.outbox = &outbox{dir: transit, fsm: n.fsm, life: n.asking}
	n.inbox = &inbox{dir: transit, life: n.asking, copies: &n.copies, logger: n.logger, now: n.now}
	n.fsm.inbox = n.inbox
	snapshots := &snapshotStore{fsm: n.fsm, outbox: n.outbox}
	store, err := openStore(n.path)
	if err != nil {
		return err
	}
	n.store = newDisk(store, config.DiskStall, config.LogWrite, func(err error) { _ = n.fsm.fail(err) })
	n.store.voting = n.promise.keep
	n.store.applied = func() uint64 { return n.fsm.position().index }
	n.store.appended = n.metrics.LogAppend
	defer func() {
		if err != nil {
			err = errors.Join(err, n.store.Close())
		}
	}()
	for _, dir := range []string{config.Dir, filepath.Dir(filepath.Clean(config.Dir))} { // the files in it, and its own name
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("make the cluster's folder durable: %w", err)
		}
	}
	log, err := checkLog(store, n.path, n.fsm.position())
	if err != nil {
		return err
	}
	if err := log.dropReplaced(n.store, n.fsm.position()); err != nil {
		return err
	}
	n.trail.seed(log.first, log.last, n.logBytes())
	// An entry may have 512 KiB, so the cache can grow to 64 MiB.
	if n.logs, err = raft.NewLogCache(128, n.store); err != nil {
		return err
	}
	n.fsm.forget = func(last uint64) error {
		n.store.bound.Store(0) // a cut that waits is one of the log before
		return n.logs.DeleteRange(0, last)
	}
	conf := n.raftConfig(config)
	n.transport = &transport{node: n, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		// One exchange at a time with each follower: raft 1.8 never ends a pipeline
		// in which an answer tells of a newer term, and a request waits behind it.
		// While one is under way the next ones gather, so no less gets through.
		Stream: n.layer, MaxPool: 3, MaxRPCsInFlight: 1, Timeout: config.RPCTimeout, Logger: conf.Logger,
		ServerAddressProvider: n.members,
	})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.transport.Close())
		}
	}()
	if config.Bootstrap {
		if err := n.bootstrap(conf, n.logs, snapshots); err != nil {
			return err
		}
	}
	if err := n.startRaft(conf, snapshots); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	n.members.raft.Store(n.raft)
	n.run(config)
	return nil
}

// startRaft runs raft.NewRaft in a goroutine that the disk may end, see
// [disk.SetUint64].
func (n *Node) startRaft(conf *raft.Config, snapshots raft.SnapshotStore) (err error) {
	n.store.served.Store(true)
	started := make(chan struct{})
	go func() {
		defer close(started)
		n.raft, err = raft.NewRaft(conf, n.fsm, n.logs, n.store, snapshots, n.transport)
	}()
	<-started
	if n.raft == nil && err == nil {
		err = n.fsm.failed()
	}
	return err
}

func (n *Node) raftConfig(config Config) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = n.id
	c.Logger = raftLogger(config.Logger)
	c.HeartbeatTimeout = config.HeartbeatTimeout
	c.ElectionTimeout = config.ElectionTimeout
	c.LeaderLeaseTimeout = config.LeaderLease
	// How soon followers hear that an entry is committed when none follows it:
	// a write or a consistent read through a follower waits for that.
	c.CommitTimeout = 10 * time.Millisecond
	c.BatchApplyCh = true
	c.NotifyCh = n.notify
	c.NoSnapshotRestoreOnStart = true // the catalog is its own snapshot
	c.NoLegacyTelemetry = true
	c.ShutdownOnRemove = false // Close does it, in its order
	// The node decides itself when to snapshot and how much log to keep.
	c.SnapshotInterval = 1000 * time.Hour
	c.SnapshotThreshold = 1 << 62
	return c
}

func (n *Node) bootstrap(conf *raft.Config, logs raft.LogStore, snapshots raft.SnapshotStore) error {
	if err := n.forgetHalfBootstrap(); err != nil {
		return err
	}
	exists, err := raft.HasExistingState(logs, n.store, snapshots)
	if err != nil || exists {
		return err
	}
	err = raft.BootstrapCluster(conf, logs, n.store, snapshots, n.transport, raft.Configuration{
		Servers: []raft.Server{{Suffrage: raft.Voter, ID: n.id, Address: n.self}},
	})
	if err != nil {
		return fmt.Errorf("begin a new cluster: %w", err)
	}
	return nil
}

// forgetHalfBootstrap lets a node begin again that was killed while it began:
// BootstrapCluster records the first term before the first entry, and takes
// either for a cluster that exists.
func (n *Node) forgetHalfBootstrap() error {
	last, err := n.store.LastIndex()
	if err != nil || last > 0 || n.fsm.position().index > 0 {
		return err
	}
	if term, err := n.store.GetUint64([]byte(keyCurrentTerm)); err != nil || term != 1 {
		return nil // nothing recorded, or terms that were voted in
	}
	return n.store.SetUint64([]byte(keyCurrentTerm), 0)
}

// run starts the node's loops once raft runs.
func (n *Node) run(config Config) {
	n.halt = sync.OnceValue(n.stopRaft)
	n.close = sync.OnceValue(n.shutdown)
	observations := make(chan raft.Observation, 64)
	observer := raft.NewObserver(observations, false, ofInterest)
	n.raft.RegisterObserver(observer)
	n.loops.Go(func() {
		defer n.raft.DeregisterObserver(observer)
		n.observe(observations)
	})
	changes := make(chan raft.Observation, 1) // one says that the leader is another, more say no more
	follower := raft.NewObserver(changes, false, ofLeader)
	n.raft.RegisterObserver(follower)
	n.loops.Go(func() {
		defer n.raft.DeregisterObserver(follower)
		n.followLeader(changes)
	})
	n.unhook = n.metrics.OnScrape(n.measure)
	n.WhileLeader(func(ctx context.Context, _ Leader) { n.announce(ctx) })
	n.WhileLeader(func(ctx context.Context, _ Leader) { n.promote(ctx) })
	n.WhileLeader(n.raise)
	if limit := config.RemoveDeadAfter; limit > 0 {
		n.WhileLeader(func(ctx context.Context, _ Leader) { n.removeDead(ctx, limit) })
	}
	n.peers = newPeers(n.layer, n.rpcLimit)
	if ln := n.layer.calls(); ln != nil {
		n.server = n.serveCalls(ln)
		n.loops.Go(n.moveIn)
		n.loops.Go(n.watchMembership)
	}
	if ln := n.layer.newcomers(); ln != nil {
		n.porter = n.newcomers(ln, config.Welcome)
	}
	n.loops.Go(n.lead)
	n.loops.Go(n.compact)
	n.loops.Go(n.watchLag)
	n.loops.Go(func() { n.watchFaults(config.OnFatal) })
	if n.soleVoter() {
		n.promise.forget()
		n.campaign()
	}
}

// Quit takes this node out of the cluster for good, for a reason that its host
// has: it then leads and proposes nothing, and Config.OnFatal is told, as after a
// fault of the disk. It returns at once; work of a leader may call it, and ends.
func (n *Node) Quit(reason error) { _ = n.fsm.fail(reason) }

// watchFaults takes the node out of the cluster when its catalog or log has
// failed, or its host wants that.
func (n *Node) watchFaults(onFatal func(error)) {
	select {
	case err := <-n.faults:
		n.logger.Error("this node stops taking part", "error", err)
		if haltErr := n.halt(); haltErr != nil {
			n.logger.Error("stopping raft", "error", haltErr)
		}
		onFatal(err)
	case <-n.closing:
	}
}

// Close hands leadership over if there is somebody to take it, ends the work
// registered with WhileLeader, stops raft, and returns when every goroutine of
// the node has ended and raft.db is closed. Further calls return the same.
// Other methods answer KindUnavailable afterwards.
func (n *Node) Close() error { return n.close() }

func (n *Node) shutdown() error {
	if n.raft.State() == raft.Leader && n.otherVoters() > 0 && n.fsm.failed() == nil {
		n.lease.handOver() // while this node still serves
	}
	close(n.closing)
	err := n.halt()
	n.loops.Wait()
	n.outbox.making.Wait()
	n.unhook()
	return errors.Join(err, n.store.Close())
}

// stopRaft ends the node's part in the cluster. Raft leaves some futures
// without an answer when it shuts down, so whoever waits for one is let out
// first, while raft still answers.
func (n *Node) stopRaft() error {
	n.calls.refuse()
	n.stopAsking()
	n.leadership.end() // before another node's work begins
	if n.raft.State() == raft.Leader && n.otherVoters() > 0 {
		next, err := n.successor(context.Background()) // asks each for a heartbeat timeout at most
		if err == nil {
			err = n.transfer(next)
		}
		if err != nil {
			n.logger.Warn("could not hand over leadership; the others elect after their timeout", "error", err)
		}
	}
	n.waitCalls()
	for _, s := range []*server{n.server, n.porter} {
		if s != nil {
			s.drain()
		}
	}
	stopping := n.raft.Shutdown()
	n.layer.sever()         // raft waits for exchanges in progress
	err := stopping.Error() // closes the layer
	n.transport.CloseStreams()
	n.peers.close()
	for _, s := range []*server{n.server, n.porter} {
		if s != nil {
			<-s.done
		}
	}
	return err
}
