package site

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Proxy passes TCP connections on to one address, unchanged, and counts: the
// bytes of each direction and the HTTP/1.1 requests in them. What it counts
// does not depend on what the program says of itself.
type Proxy struct {
	target   string
	listener net.Listener
	up, down atomic.Int64
	running  sync.WaitGroup

	mu       sync.Mutex
	requests map[string]int
	open     map[net.Conn]struct{} // nil once closed
}

// Wire is what passed a proxy.
type Wire struct {
	Up       int64          `json:"bytes_up"`   // from who connects
	Down     int64          `json:"bytes_down"` // to who connects
	Requests map[string]int `json:"requests"`   // by method and first three segments of the path
}

// StartProxy listens on a free loopback port for connections to target. The
// caller ends it with [Proxy.Close].
func StartProxy(ctx context.Context, target string) (*Proxy, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, requests: map[string]int{}, open: map[net.Conn]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// URL returns the address to connect to instead of the target's.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Count returns what has passed so far.
func (p *Proxy) Count() Wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := Wire{Up: p.up.Load(), Down: p.down.Load(), Requests: make(map[string]int, len(p.requests))}
	for k, n := range p.requests {
		w.Requests[k] = n
	}
	return w
}

// Since returns what passed between the count earlier and w.
func (w Wire) Since(earlier Wire) Wire {
	d := Wire{Up: w.Up - earlier.Up, Down: w.Down - earlier.Down, Requests: map[string]int{}}
	for k, n := range w.Requests {
		if n -= earlier.Requests[k]; n != 0 {
			d.Requests[k] = n
		}
	}
	return d
}

// Total returns the number of requests.
func (w Wire) Total() int {
	n := 0
	for _, k := range w.Requests {
		n += k
	}
	return n
}

// Close cuts every connection and returns when all work has ended.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.open {
		_ = c.Close()
	}
	p.open = nil
	p.mu.Unlock()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.pass(client) })
	}
}

// keep notes c, to be closed with the proxy; false if that was closed already.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// pass joins client to a new connection to the target. The end of one side
// ends the other, as it would without a proxy.
func (p *Proxy) pass(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return // refused: closing the client's connection tells it
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer client.Close() //nolint:errcheck // ends the other direction
		_, _ = io.Copy(counting{client, &p.down}, server)
	})
	both.Go(func() {
		defer server.Close() //nolint:errcheck // ends the other direction
		p.passRequests(server, client)
	})
	both.Wait()
}

// passRequests copies from client to server and reads the requests on the way.
func (p *Proxy) passRequests(server io.Writer, client io.Reader) {
	pr, pw := io.Pipe()
	var parser sync.WaitGroup
	parser.Go(func() { p.parse(pr) })
	_, _ = io.Copy(io.MultiWriter(counting{server, &p.up}, pw), client)
	_ = pw.Close()
	parser.Wait()
}

// parse counts the requests of one connection. It always reads to the end, so
// that it never holds up the copy.
func (p *Proxy) parse(r *io.PipeReader) {
	defer io.Copy(io.Discard, r) //nolint:errcheck // what is no HTTP is only passed on
	br := bufio.NewReader(r)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.requests[req.Method+" "+route(req.URL.Path)]++
		p.mu.Unlock()
		if _, err := io.Copy(io.Discard, req.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
	}
}

// route shortens a path to its first three segments, which name what is asked
// for.
func route(path string) string {
	slashes := 0
	for i, r := range path {
		if r == '/' {
			if slashes++; slashes == 4 {
				return path[:i] + "/…"
			}
		}
	}
	return path
}

// counting adds up what is written.
type counting struct {
	io.Writer
	n *atomic.Int64
}

func (c counting) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}
