package cluster

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/metrics"
)

// Copy is a copy of the catalog on its way between two nodes.
type Copy struct {
	Node   string `json:"node"`             // id of the other node
	Making bool   `json:"making,omitempty"` // it is not sent yet: the sender makes it
	Bytes  int64  `json:"bytes"`            // of the database made, or sent or received
	Total  int64  `json:"total"`            // of the database; 0 before that is known
}

// CopyStats is what a node did with copies of the catalog since it started.
type CopyStats struct {
	Sent      uint64 // whole copies
	Received  uint64 // whole copies
	Failed    uint64 // that were begun, to or from this node, and did not arrive
	WireBytes uint64 // compressed, sent and received
	Sending   []Copy // under way from this node
	Receiving []Copy // under way to this node: one at most
}

// copies counts copies.
type copies struct {
	metrics *metrics.Metrics

	mu      sync.Mutex
	stats   CopyStats
	running []*transfer
	follow  map[raft.ServerID]need // nodes that were sent a copy and have not caught up
}

// need is the part of the log that a node needs.
type need struct {
	after uint64    // it has the entries up to here, or a copy with them
	since time.Time // it got there
}

// needs notes that a node is sent a copy with the entries up to index.
func (c *copies) needs(id raft.ServerID, index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follow == nil {
		c.follow = map[raft.ServerID]need{}
	}
	c.follow[id] = need{index, time.Now()}
}

// followWaits is how long the log is kept for a node that had a copy and does not
// move.
const followWaits = time.Minute

// behind returns the nodes that were sent a copy and have not caught up, but for
// those that are not being sent one and have not moved for followWaits.
func (c *copies) behind() (ids []raft.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, f := range c.follow {
		sending := slices.ContainsFunc(c.running, func(t *transfer) bool { return !t.inbound && t.node == string(id) })
		if !sending && time.Since(f.since) > followWaits {
			delete(c.follow, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// reached notes that a node has the log up to last, and returns up to where the log
// may be dropped for it. With all of what was committed it has caught up.
func (c *copies) reached(id raft.ServerID, last, commit uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.follow[id]
	if last > f.after {
		f = need{last, time.Now()}
		c.follow[id] = f
	}
	if f.after >= commit {
		delete(c.follow, id)
	}
	return max(f.after, 1) - 1 // what follows an entry is sent by its term
}

// transfer is a copy on its way.
type transfer struct {
	node    string
	inbound bool // to this node
	since   time.Time
	out     *outgoing // of one that goes out

	bytes, total, wire atomic.Int64
}

func (c *copies) begin(t *transfer) *transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = append(c.running, t)
	c.metrics.CopyBegins(t.way())
	return t
}

func (c *copies) end(t *transfer, took time.Duration, err error) {
	c.metrics.CopyEnds(t.way(), took, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = slices.DeleteFunc(c.running, func(o *transfer) bool { return o == t })
	c.stats.WireBytes += uint64(t.wire.Load())
	switch {
	case err != nil:
		c.stats.Failed++
	case t.inbound:
		c.stats.Received++
	default:
		c.stats.Sent++
	}
}

func (c *copies) look() CopyStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	for _, t := range c.running {
		s.WireBytes += uint64(t.wire.Load())
		if t.inbound {
			s.Receiving = append(s.Receiving, t.look())
		} else {
			s.Sending = append(s.Sending, t.look())
		}
	}
	return s
}

func (t *transfer) way() metrics.Direction {
	if t.inbound {
		return metrics.Received
	}
	return metrics.Sent
}

// carried counts bytes that went over the wire.
func (c *copies) carried(t *transfer, n int) {
	t.wire.Add(int64(n))
	c.metrics.CopyBytes(t.way(), int64(n))
}

func (t *transfer) look() Copy {
	c := Copy{Node: t.node, Bytes: t.bytes.Load(), Total: t.total.Load()}
	if t.out != nil {
		select {
		case <-t.out.ready:
		default:
			c.Making, c.Bytes, c.Total = true, t.out.made.Load(), t.out.total.Load()
		}
	}
	return c
}

// counted counts the bytes that are read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

// Read implements [io.Reader].
func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// moving is told of each read.
type moving struct {
	io.Reader
	moved func(n int)
}

// Read implements [io.Reader].
func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.moved(n)
	return n, err
}
