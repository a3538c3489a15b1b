package clustertest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
)

// patience is how long helpers wait for what must happen.
const patience = 60 * time.Second

// Options say what to start. The zero value is one node over plain TCP.
type Options struct {
	Nodes int  // 1 if 0
	TLS   bool // nodes prove who they are by certificates
	// Configure may change a node's configuration before each of its starts.
	Configure func(*Node, *cluster.Config)
	// MayFail lets nodes report a fault of their disk; else that fails the test.
	MayFail bool
}

// Cluster is the nodes of one instance. Its methods may be called from any
// goroutine; those that take no error fail the test.
type Cluster struct {
	t         testing.TB
	options   Options
	authority *cluster.Authority // nil without TLS
	network   *network
	nodes     []*Node
}

// Start runs nodes named n1, n2 … until the test ends, and returns when one leads
// and all of them know that all of them vote.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	options.Nodes = max(1, options.Nodes)
	c := &Cluster{t: t, options: options, network: newNetwork(t)}
	t.TempDir() // the folders of nodes are removed after they have stopped
	t.Cleanup(c.stop)
	if options.TLS {
		var err error
		if c.authority, err = cluster.NewAuthority(bundle.NewID(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for range options.Nodes {
		c.Add()
	}
	for _, n := range c.nodes {
		c.Eventually(n.Name+" knows all voters", func() bool { return n.voters() == options.Nodes })
	}
	return c
}

// New makes one more node, which is down and no member.
func (c *Cluster) New() *Node {
	slot, port := c.network.listen()
	n := &Node{
		c: c, slot: slot, port: port, first: len(c.nodes) == 0, disk: newDisk(),
		Name: fmt.Sprintf("n%d", len(c.nodes)+1), folder: newFolder(c.t),
	}
	c.nodes = append(c.nodes, n)
	return n
}

// Add starts one more node and lets the leader add it. It does not wait until
// the node votes.
func (c *Cluster) Add() *Node {
	c.t.Helper()
	n := c.New()
	n.Start()
	if n.first {
		c.Leader()
	} else {
		c.Join(n)
	}
	return n
}

// Join lets the leader add a node that runs.
func (c *Cluster) Join(n *Node) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		if err = c.Leader().Live().Join(ctx, n.ID(), n.Address()); err == nil {
			return
		}
		// A leader that was lost meanwhile; there will be another.
		if !bundle.IsKind(err, bundle.KindUnavailable) {
			break
		}
	}
	c.t.Fatalf("%s cannot join: %v", n.Name, err)
}

// Node returns the node at a place, counted from 1 as in its name.
func (c *Cluster) Node(number int) *Node { return c.nodes[number-1] }

// Nodes returns all nodes, running or not.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Leader waits until exactly one running node leads with a current state, and
// a quorum says so, and returns it.
func (c *Cluster) Leader() *Node {
	c.t.Helper()
	return c.LeaderAmong(c.nodes...)
}

// LeaderAmong is Leader, of some of the nodes.
func (c *Cluster) LeaderAmong(nodes ...*Node) (leader *Node) {
	c.t.Helper()
	c.Eventually("one node leads", func() bool {
		for _, n := range nodes {
			if live := n.Live(); live != nil && live.Leads() {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// Followers returns the running nodes but one.
func (c *Cluster) Followers(leader *Node) (out []*Node) {
	for _, n := range c.nodes {
		if n != leader && n.Live() != nil {
			out = append(out, n)
		}
	}
	return out
}

// Converge waits until all running nodes have the same catalog (I11).
func (c *Cluster) Converge() {
	c.t.Helper()
	c.Eventually("all catalogs are equal", func() bool {
		var want bundle.Digest
		for _, n := range c.nodes {
			if n.Live() == nil {
				continue
			}
			got, err := n.Dump()
			if err != nil {
				c.t.Fatalf("dump of %s: %v", n.Name, err)
			}
			if want != (bundle.Digest{}) && got != want {
				return false
			}
			want = got
		}
		return true
	})
}

// Eventually waits until ok, which it calls again and again.
func (c *Cluster) Eventually(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			c.t.Fatalf("did not happen: %s", what)
		}
	}
}

// Isolate cuts a node off from all others, in both directions.
func (c *Cluster) Isolate(n *Node) {
	for _, other := range c.nodes {
		if other != n {
			c.Cut(n, other)
			c.Cut(other, n)
		}
	}
}

// Partition lets nodes of a group reach each other only.
func (c *Cluster) Partition(groups ...[]*Node) {
	for i, g := range groups {
		for j, h := range groups {
			for _, from := range g {
				for _, to := range h {
					if i != j {
						c.Cut(from, to)
					}
				}
			}
		}
	}
}

// Cut keeps what from sends from reaching to, until Heal: it waits in between, as
// with TCP. New connections between the two are not made, in either direction.
func (c *Cluster) Cut(from, to *Node) { c.network.cut(link{from.place(), to.place()}) }

// Slow delays each piece of what from sends to to.
func (c *Cluster) Slow(from, to *Node, by time.Duration) {
	c.network.slow(link{from.place(), to.place()}, by)
}

// Heal makes all links whole and fast.
func (c *Cluster) Heal() { c.network.heal() }

// certify gives a node a certificate of the cluster's authority.
func (c *Cluster) certify(id string, now func() time.Time) *cluster.TLS {
	key, request, err := cluster.NewRequest(id)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := c.authority.Issue(id, request, now())
	if err != nil {
		c.t.Fatal(err)
	}
	pair, err := cluster.KeyPair(cert, key)
	if err != nil {
		c.t.Fatal(err)
	}
	return &cluster.TLS{
		Instance:    c.authority.Instance(),
		Certificate: func() (*tls.Certificate, error) { return pair, nil },
		Roots:       func() (*x509.CertPool, error) { return c.authority.Pool(), nil },
	}
}

func (c *Cluster) stop() {
	c.Heal()
	for _, n := range c.nodes {
		n.Disk().Thaw()
	}
	// The leader last: it need not hand over to a node that is about to stop.
	for _, leads := range []bool{false, true} {
		for _, n := range c.nodes {
			if live := n.Live(); live != nil && (live.Stats().Role == "leader") == leads {
				n.Stop()
			}
		}
	}
	for _, n := range c.nodes { // that became the leader meanwhile
		n.Stop()
	}
	c.network.close()
}
