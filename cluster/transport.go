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

// newStreamLayer returns the connections raft runs on: over ln, or, if ln is
// nil, from the node to itself only, without a port.
func newStreamLayer(ln net.Listener, advertise string) raft.StreamLayer {
	if ln == nil {
		return &selfLayer{conns: make(chan net.Conn), closed: make(chan struct{})}
	}
	addr := ln.Addr()
	if advertise != "" {
		addr = address(advertise)
	}
	return &streamLayer{Listener: ln, addr: addr, open: map[*trackedConn]struct{}{}}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// streamLayer runs over a listener and plain TCP dials. It closes what it
// accepted when it is closed: raft's transport would leave the goroutines that
// read from those connections waiting for the other side.
type streamLayer struct {
	net.Listener
	addr net.Addr

	mu     sync.Mutex
	open   map[*trackedConn]struct{}
	closed bool
}

func (l *streamLayer) Addr() net.Addr { return l.addr }

func (l *streamLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}

func (l *streamLayer) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, layer: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.open[c] = struct{}{}
	return c, nil
}

func (l *streamLayer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	open := l.open
	l.open = map[*trackedConn]struct{}{}
	l.mu.Unlock()
	err := l.Listener.Close()
	for c := range open {
		// An error here is about a connection that is going away anyhow.
		_ = c.Conn.Close()
	}
	return err
}

type trackedConn struct {
	net.Conn
	layer *streamLayer
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
