package cluster

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// portless is the address of a node that listens nowhere.
const portless = "local"

// streamLayer is the connections raft runs on.
type streamLayer interface {
	raft.StreamLayer
	// sever closes every connection and lets no new one be made.
	sever()
}

// newStreamLayer returns connections over ln, or, if ln is nil, from the node
// to itself only, without a port.
func newStreamLayer(ln net.Listener, advertise string) streamLayer {
	if ln == nil {
		return &selfLayer{conns: make(chan net.Conn), closed: make(chan struct{})}
	}
	addr := ln.Addr()
	if advertise != "" {
		addr = address(advertise)
	}
	return &netLayer{Listener: ln, addr: addr, open: map[*trackedConn]struct{}{}}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// netLayer runs over a listener and plain TCP dials. It knows its connections,
// so that it can end what raft's transport leaves waiting for the other side.
type netLayer struct {
	net.Listener
	addr net.Addr

	mu      sync.Mutex
	open    map[*trackedConn]struct{}
	severed bool
	closing sync.Once
}

func (l *netLayer) Addr() net.Addr { return l.addr }

func (l *netLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.track(net.DialTimeout("tcp", string(to), timeout))
}

func (l *netLayer) Accept() (net.Conn, error) { return l.track(l.Listener.Accept()) }

func (l *netLayer) track(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, layer: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.severed {
		// The one who made or accepted it finds out with the first byte.
		return c, conn.Close()
	}
	l.open[c] = struct{}{}
	return c, nil
}

func (l *netLayer) sever() {
	l.mu.Lock()
	l.severed = true
	open := l.open
	l.open = map[*trackedConn]struct{}{}
	l.mu.Unlock()
	for c := range open {
		// An error here is about a connection that is going away anyhow.
		_ = c.Conn.Close()
	}
}

func (l *netLayer) Close() (err error) {
	l.closing.Do(func() {
		err = l.Listener.Close()
		l.sever()
	})
	return err
}

type trackedConn struct {
	net.Conn
	layer *netLayer
}

func (c *trackedConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.open, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// selfLayer connects a node with itself through pipes.
type selfLayer struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *selfLayer) Addr() net.Addr { return address(portless) }

func (l *selfLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *selfLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if to != portless {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(to),
			Err: errors.New("this node has no cluster listener")}
	}
	here, there := net.Pipe()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-timer.C:
		return nil, errors.New("the node does not accept its own connection")
	}
}

func (l *selfLayer) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// sever has nothing to do: the node answers itself at once.
func (l *selfLayer) sever() {}
