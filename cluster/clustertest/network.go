package clustertest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// link is one direction between two nodes.
type link struct{ from, to int }

// wire is one connection.
type wire struct {
	link
	near, far net.Conn
	ctx       context.Context
	cancel    context.CancelFunc
}

// cut ends the wire at both sides at once.
func (w *wire) cut() {
	w.cancel()
	w.near.Close()
	w.far.Close()
}

// network connects the nodes. Each has a port on loopback for as long as the
// test runs; a connection goes from the dialing node's socket through two pumps
// to the other's port, and the pumps obey the links.
type network struct {
	t testing.TB

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a link changes
	broken  map[link]bool
	delays  map[link]time.Duration
	ports   []*port
	wires   map[*wire]struct{}
	down    map[int]bool // nodes that were killed and not started again
	pumps   sync.WaitGroup
	closed  chan struct{}

	pairing sync.Mutex
	pairs   net.Listener // both ends of the near half of a connection
}

func newNetwork(t testing.TB) *network {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &network{
		t: t, changed: make(chan struct{}), broken: map[link]bool{}, delays: map[link]time.Duration{},
		wires: map[*wire]struct{}{}, down: map[int]bool{}, closed: make(chan struct{}), pairs: ln,
	}
}

func (w *network) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *network) cut(l link)                    { w.change(func() { w.broken[l] = true }) }
func (w *network) slow(l link, by time.Duration) { w.change(func() { w.delays[l] = by }) }
func (w *network) heal()                         { w.change(func() { clear(w.broken); clear(w.delays) }) }

// silence drops all connections of a node, and what is on its way, and lets no
// new one be made.
func (w *network) silence(node int) {
	w.change(func() {
		w.down[node] = true
		for wire := range w.wires {
			if wire.from == node || wire.to == node {
				wire.cut()
			}
		}
	})
}

func (w *network) resume(node int) { w.change(func() { delete(w.down, node) }) }

func (w *network) close() {
	close(w.closed)
	w.mu.Lock()
	ports := w.ports
	for wire := range w.wires {
		wire.cut()
	}
	w.mu.Unlock()
	for _, p := range ports {
		p.close()
	}
	if err := w.pairs.Close(); err != nil {
		w.t.Error(err)
	}
	w.pumps.Wait()
}

// pass waits until all links are whole, and then for their delay.
func (w *network) pass(ctx context.Context, links ...link) error {
	for {
		w.mu.Lock()
		broken, delay, changed := false, time.Duration(0), w.changed
		for _, l := range links {
			broken = broken || w.broken[l]
			delay = max(delay, w.delays[l])
		}
		w.mu.Unlock()
		if !broken && delay == 0 {
			return nil
		}
		var over <-chan time.Time
		if !broken {
			timer := time.NewTimer(delay)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-over:
			return nil
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-w.closed:
			return net.ErrClosed
		}
	}
}

// dial connects a node with the one that listens at address.
func (w *network) dial(ctx context.Context, from int, address string) (net.Conn, error) {
	to := w.at(address)
	if to < 0 {
		return nil, fmt.Errorf("nobody listens at %s", address)
	}
	there, back := link{from, to}, link{to, from}
	if err := w.pass(ctx, there, back); err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	near, end, err := w.pair()
	if err != nil {
		far.Close()
		return nil, err
	}
	wireCtx, cancel := context.WithCancel(context.Background())
	c := &wire{link: there, near: end, far: far, ctx: wireCtx, cancel: cancel}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down[from] || w.down[to] {
		c.cut()
		near.Close()
		return nil, fmt.Errorf("dial %s: %w", address, net.ErrClosed)
	}
	w.wires[c] = struct{}{}
	w.pumps.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { w.pump(c, far, end, there) })
		both.Go(func() { w.pump(c, end, far, back) })
		both.Wait()
		c.cut()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.wires, c)
	})
	return near, nil
}

func (w *network) at(address string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.ports {
		if p.Addr().String() == address {
			return i
		}
	}
	return -1
}

func (w *network) pair() (a, b net.Conn, err error) {
	w.pairing.Lock()
	defer w.pairing.Unlock()
	if a, err = net.Dial("tcp", w.pairs.Addr().String()); err != nil {
		return nil, nil, err
	}
	if b, err = w.pairs.Accept(); err != nil {
		a.Close()
	}
	return a, b, err
}

// pump carries bytes one way. When one side ends, so does the other, once the
// link lets that through.
func (w *network) pump(c *wire, to, from net.Conn, l link) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if w.pass(c.ctx, l) != nil {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// port is where a node listens in all its lives. A connection to a node that
// does not run is closed at once.
type port struct {
	net.Listener
	loop sync.WaitGroup

	mu  sync.Mutex
	now *ear // nil while the node is down
}

// ear is the listener of one life of a node.
type ear struct {
	*port
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// listen gives a new node a port, and its number.
func (w *network) listen() (slot int, p *port) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	p = &port{Listener: ln}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ports = append(w.ports, p)
	p.loop.Go(p.accept)
	return len(w.ports) - 1, p
}

func (p *port) accept() {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		e := p.now
		p.mu.Unlock()
		if e == nil {
			conn.Close()
			continue
		}
		select {
		case e.conns <- conn:
		case <-e.closed:
			conn.Close()
		}
	}
}

func (p *port) close() {
	p.Listener.Close()
	p.loop.Wait()
}

// up returns the listener of a new life.
func (p *port) up() *ear {
	e := &ear{port: p, conns: make(chan net.Conn), closed: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = e
	return e
}

func (e *ear) Accept() (net.Conn, error) {
	select {
	case c := <-e.conns:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *ear) Close() error {
	e.once.Do(func() {
		close(e.closed)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.now == e {
			e.now = nil
		}
	})
	return nil
}
