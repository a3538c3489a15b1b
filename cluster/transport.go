package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// portless is the address of a node that listens nowhere.
const portless = "local"

// maxGreetings bounds the connections that have not said yet what they are for.
const maxGreetings = 64

// maxGuests bounds the connections of nodes that are none yet.
const maxGuests = 16

// streamLayer is the connections a node runs on. Raft's Dial takes the id of
// another node, or the node's own address.
type streamLayer interface {
	raft.StreamLayer
	// calls accepts the connections of other nodes that are not raft's; nil if
	// there can be none.
	calls() net.Listener
	// newcomers accepts those of nodes that are none yet; nil if nobody is
	// let in.
	newcomers() net.Listener
	// dialCalls connects to the calls of another node.
	dialCalls(ctx context.Context, id raft.ServerID) (net.Conn, error)
	// sever closes every connection and lets no new one be made.
	sever()
}

// layerConfig is what connections need to know.
type layerConfig struct {
	id        raft.ServerID
	advertise string
	security  *TLS // nil for plain TCP
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	resolve   func(raft.ServerID) (raft.ServerAddress, error)
	limit     time.Duration // for a connection to begin
	now       clock
	logger    *slog.Logger
	welcoming bool // newcomers are heard
}

// newStreamLayer returns connections over ln, or, if ln is nil, from the node
// to itself only, without a port.
func newStreamLayer(ln net.Listener, c layerConfig) streamLayer {
	if ln == nil {
		return &selfLayer{conns: make(chan net.Conn), closed: make(chan struct{})}
	}
	l := &netLayer{
		layerConfig: c, ln: ln, addr: ln.Addr(), open: map[*nodeConn]struct{}{},
		guests: make(chan struct{}, maxGuests), closed: make(chan struct{}),
	}
	if c.advertise != "" {
		l.addr = address(c.advertise)
	}
	if l.dial == nil {
		l.dial = (&net.Dialer{}).DialContext
	}
	l.raftConns, l.callConns, l.newConns = newQueue(l.addr), newQueue(l.addr), newQueue(l.addr)
	l.loops.Go(l.accept)
	return l
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// netLayer runs over one listener, which raft and the nodes' calls share. It
// knows its connections, so that it can end what waits for the other side.
type netLayer struct {
	layerConfig
	ln                   net.Listener
	addr                 net.Addr
	raftConns, callConns *queue
	newConns             *queue
	greetings            greetings
	complaints           complaints
	guests               chan struct{}
	loops                sync.WaitGroup
	closed               chan struct{}

	mu      sync.Mutex
	open    map[*nodeConn]struct{}
	severed bool
	closing sync.Once
}

func (l *netLayer) Addr() net.Addr            { return l.addr }
func (l *netLayer) Accept() (net.Conn, error) { return l.raftConns.Accept() }
func (l *netLayer) calls() net.Listener       { return l.callConns }

func (l *netLayer) newcomers() net.Listener {
	if l.security == nil || !l.welcoming {
		return nil
	}
	return l.newConns
}

// accept lets connections in and hears, each in a goroutine of its own, what
// they are for: one that says nothing keeps nobody waiting.
func (l *netLayer) accept() {
	var wait time.Duration
	for {
		conn, err := l.ln.Accept()
		if err != nil {
			wait = min(max(5*time.Millisecond, 2*wait), time.Second)
			select {
			case <-l.closed:
				return
			case <-time.After(wait):
			}
			l.logger.Warn("could not accept a connection of another node", "error", err)
			continue
		}
		wait = 0
		c := l.track(conn)
		leave, ok := l.greetings.enter(conn.RemoteAddr())
		if !ok {
			c.Close()
			continue
		}
		l.loops.Go(func() {
			err := l.greet(c)
			if bundle.IsKind(err, bundle.KindForbidden) {
				c.linger()
			}
			leave()
			if err == nil {
				err = l.deliver(c)
			}
			if err != nil {
				l.refused(conn.RemoteAddr(), err)
				c.Close()
			}
		})
	}
}

// refused says which connection was refused, and aloud, though not each time, if
// that was for its certificate: the node that made it is told no more than that.
func (l *netLayer) refused(from net.Addr, err error) {
	level := slog.LevelDebug
	if bundle.IsKind(err, bundle.KindForbidden) {
		level = l.complaints.level(err.Error(), time.Now())
	}
	l.logger.Log(context.Background(), level, "refused a connection of a node", "from", from, "error", err)
}

// greet hears what an accepted connection is for.
func (l *netLayer) greet(c *nodeConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.limit)
	defer cancel()
	if err := c.SetDeadline(time.Now().Add(l.limit)); err != nil {
		return err
	}
	proven := ""
	if l.security != nil {
		conn := tls.Server(c.Conn, l.security.accept(l.now, l.welcoming))
		if err := conn.HandshakeContext(ctx); err != nil {
			return err
		}
		c.Conn = conn
		if shown := conn.ConnectionState().PeerCertificates; len(shown) > 0 { // verified
			var err error
			if _, proven, err = identify(shown[0]); err != nil {
				return err
			}
		}
		if conn.ConnectionState().NegotiatedProtocol == newcomerProtocol {
			c.peer, c.proven = proven, proven != ""
			return l.greetNewcomer(c)
		}
	}
	h, err := readHello(c)
	if err != nil {
		return err
	}
	answer := admitted
	switch {
	case h.to != string(l.id):
		answer = refusedNode
	case l.security != nil && l.security.named(h.from) != proven:
		answer = refusedSender
	case h.stream != streamRaft && h.stream != streamCalls:
		answer = refusedStream
	}
	if _, err := c.Write([]byte{byte(answer)}); err != nil {
		return err
	}
	if answer != admitted {
		return fmt.Errorf("node %q wanted %q of node %q and was answered %d", h.from, string(h.stream), h.to, answer)
	}
	c.peer, c.proven, c.stream = h.from, proven != "", h.stream
	return c.SetDeadline(time.Time{})
}

// greetNewcomer lets a connection in that proves nothing, while there is room.
func (l *netLayer) greetNewcomer(c *nodeConn) error {
	select {
	case l.guests <- struct{}{}:
	default:
		return errors.New("too many nodes ask to join at this moment")
	}
	c.stream, c.leave = streamNewcomer, sync.OnceFunc(func() { <-l.guests })
	return c.SetDeadline(time.Time{})
}

func (l *netLayer) deliver(c *nodeConn) error {
	to := l.raftConns
	switch c.stream {
	case streamCalls:
		to = l.callConns
	case streamNewcomer:
		to = l.newConns
	}
	select {
	case to.conns <- c:
		return nil
	case <-to.closed:
		return net.ErrClosed
	}
}

// Dial connects raft with the node whose id to is, or with this node if it is
// its own address.
func (l *netLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if string(to) == l.addr.String() {
		return l.connect(ctx, l.id, raft.ServerAddress(l.ln.Addr().String()), streamRaft)
	}
	return l.reach(ctx, raft.ServerID(to), streamRaft)
}

func (l *netLayer) dialCalls(ctx context.Context, id raft.ServerID) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	return l.reach(ctx, id, streamCalls)
}

func (l *netLayer) reach(ctx context.Context, id raft.ServerID, s streamKind) (net.Conn, error) {
	at, err := l.resolve(id)
	if err != nil {
		return nil, err
	}
	return l.connect(ctx, id, at, s)
}

// connect dials node id at an address and says what for.
func (l *netLayer) connect(ctx context.Context, id raft.ServerID, at raft.ServerAddress, s streamKind) (net.Conn, error) {
	first, err := hello{stream: s, to: string(id), from: string(l.id)}.append(nil)
	if err != nil {
		return nil, err
	}
	conn, err := l.dial(ctx, "tcp", string(at))
	if err != nil {
		return nil, err
	}
	c := l.track(conn)
	c.peer, c.stream = string(id), s
	if err := l.introduce(ctx, c, first); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to node %s at %s: %w", id, at, err), c.Close())
	}
	return c, nil
}

func (l *netLayer) introduce(ctx context.Context, c *nodeConn, hello []byte) error {
	deadline, _ := ctx.Deadline() // its callers have set one
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if l.security != nil {
		conn := tls.Client(c.Conn, l.security.dial(c.peer, l.now))
		if err := conn.HandshakeContext(ctx); err != nil {
			return refusedThere(err)
		}
		c.Conn, c.proven = conn, true
	}
	if _, err := c.Write(hello); err != nil {
		return refusedThere(err)
	}
	var answer [1]byte
	if _, err := c.Read(answer[:]); err != nil {
		return refusedThere(err)
	}
	if err := admission(answer[0]).err(c.peer); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

// refusedThere explains the error of a connection whose other side refused this
// node's certificate, which TLS tells in a word.
func refusedThere(err error) error {
	if isRefusal(err) {
		return fmt.Errorf("it does not accept this node's certificate; its log says why: %w", err)
	}
	return err
}

// isRefusal reports whether the other side ended the handshake.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error"
}

func (l *netLayer) track(conn net.Conn) *nodeConn {
	c := &nodeConn{Conn: conn, raw: conn, layer: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.severed {
		// The one who made or accepted it finds out with the first byte.
		_ = conn.Close()
		return c
	}
	l.open[c] = struct{}{}
	return c
}

func (l *netLayer) sever() {
	l.mu.Lock()
	l.severed = true
	open := l.open
	l.open = map[*nodeConn]struct{}{}
	l.mu.Unlock()
	for c := range open {
		// An error here is about a connection that is going away anyhow.
		_ = c.raw.Close()
	}
}

func (l *netLayer) Close() (err error) {
	l.closing.Do(func() {
		close(l.closed)
		err = l.ln.Close()
		l.raftConns.Close()
		l.callConns.Close()
		l.newConns.Close()
		l.sever()
		l.loops.Wait()
	})
	return err
}

// nodeConn is a connection with another node, or with this one.
type nodeConn struct {
	net.Conn          // in use: raw, or TLS over it
	raw      net.Conn // closed by sever
	layer    *netLayer

	peer   string // id of the other node, as it said; of a newcomer what its certificate calls it, if it has one
	proven bool   // by its certificate
	stream streamKind
	leave  func() // gives a newcomer's room back; nil for others
}

func (c *nodeConn) Close() error {
	if c.leave != nil {
		c.leave()
	}
	c.layer.mu.Lock()
	delete(c.layer.open, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// linger ends a connection so that the other side can read what it was refused
// for: one that is closed with bytes unread is reset, and the word is lost.
func (c *nodeConn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.raw.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.raw, 64<<10) // until it has read, and closed
}

// queue is the listener of one kind of stream.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func newQueue(addr net.Addr) *queue {
	return &queue{conns: make(chan net.Conn), closed: make(chan struct{}), addr: addr}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Addr() net.Addr { return q.addr }

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
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
		return nil, errPortless(to)
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

func errPortless(to raft.ServerAddress) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: errors.New("this node has no cluster listener")}
}

func (l *selfLayer) calls() net.Listener     { return nil }
func (l *selfLayer) newcomers() net.Listener { return nil }

func (l *selfLayer) dialCalls(_ context.Context, id raft.ServerID) (net.Conn, error) {
	return nil, errPortless(raft.ServerAddress(id))
}

func (l *selfLayer) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// sever has nothing to do: the node answers itself at once.
func (l *selfLayer) sever() {}
