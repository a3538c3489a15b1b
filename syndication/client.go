package syndication

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// ClientConfig says how to reach a peer.
type ClientConfig struct {
	// Identity signs the requests. Required but for Descriptor.
	Identity *Identity
	// Peer is the instance that is asked; requests are signed for it alone.
	Peer bundle.ID
	// Addresses are tried in order, the last good one first: https URLs, with
	// a pinned key as #sha256=… or without; plain http to this machine.
	Addresses []string
	// AllowInsecure permits plain http to anywhere.
	AllowInsecure bool
	// Transport replaces the client's own connections, and pins are then its
	// matter; nil for none. The client doesn't close it.
	Transport http.RoundTripper
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Observe is told of each finished exchange, from many goroutines; nil for
	// nobody.
	Observe func(Transfer)
}

// Transfer is one exchange with a peer.
type Transfer struct {
	Endpoint       string // poll, records, manifests, blobs, file, descriptor, accept
	Sent, Received int64  // bytes of the bodies, as they went over the wire
	Err            error
}

// Client asks one peer. It is safe for concurrent use. It holds answers against
// their limits and against what was asked for, and leaves proofs to [Check].
//
// Errors are what the peer answered, with kind and text; of
// [bundle.KindUnavailable] with a reason in the field "reason" if it could not
// be reached or broke off; or [publog.AlarmError]: ALTERED for an answer that is
// malformed, ENDLESS for one that does not end where it should.
type Client struct {
	cfg   ClientConfig
	sites []site

	mu   sync.Mutex
	good int // the address that answered last
}

// site is one address and the way to it.
type site struct {
	address
	transport http.RoundTripper
}

// NewClient returns a client of cfg. It connects to nothing yet. The caller
// calls Close when no request is under way.
func NewClient(cfg ClientConfig) (*Client, error) {
	if len(cfg.Addresses) == 0 {
		return nil, bundle.Errorf(bundle.KindInvalid, "no address of instance %s is known", cfg.Peer)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Transfer) {}
	}
	c := &Client{cfg: cfg}
	for _, s := range cfg.Addresses {
		a, err := parseAddress(s)
		if err != nil {
			return nil, err
		}
		if err := a.allowed(cfg.AllowInsecure); err != nil {
			return nil, err
		}
		t := cfg.Transport
		if t == nil {
			t = newTransport(a)
		}
		c.sites = append(c.sites, site{a, t})
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() {
	if c.cfg.Transport != nil {
		return
	}
	for _, s := range c.sites {
		if t, ok := s.transport.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
	}
}

// call is one request to the peer.
type call struct {
	endpoint string // also the last segment of its path
	method   string
	query    url.Values
	body     []byte
	header   map[string]string
	unsigned bool
}

// do sends a request to the first address that can be reached and returns the
// successful answer. The caller closes its body, which reports the transfer.
func (c *Client) do(ctx context.Context, q call) (*http.Response, error) {
	c.mu.Lock()
	first := c.good
	c.mu.Unlock()
	var failures []string
	for i := range c.sites {
		at := (first + i) % len(c.sites)
		resp, err := c.send(ctx, c.sites[at], q)
		if err != nil && ctx.Err() == nil && again(err) {
			resp, err = c.send(ctx, c.sites[at], q)
		}
		if err == nil {
			c.mu.Lock()
			c.good = at
			c.mu.Unlock()
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if _, reached := errors.AsType[*bundle.Error](err); reached {
			return nil, err
		}
		failures = append(failures, fmt.Sprintf("%s: %v", c.sites[at], plain(err)))
	}
	return nil, bundle.Errorf(bundle.KindUnavailable,
		"instance %s cannot be reached; tried %s. Is it running, and can this machine connect to it?",
		c.cfg.Peer, strings.Join(failures, "; ")).With("reason", ReasonUnreachable)
}

// again reports whether a request is worth a second attempt, signed anew, at the
// same address: the connection was an idle one that the peer had closed, or the
// transport itself repeated the request. Every request may be repeated.
func again(err error) bool {
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		return e.Fields["reason"] == ReasonReplay
	}
	e, ok := errors.AsType[*net.OpError](err)
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || ok && e.Op != "dial"
}

// plain drops method and URL, which the caller names.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// send makes one attempt. An error that is no [bundle.Error] means that the
// address could not be reached.
func (c *Client) send(ctx context.Context, to site, q call) (*http.Response, error) {
	path := "/peer/v1/" + q.endpoint
	u := *to.url
	u.Path += path
	u.RawQuery = q.query.Encode()
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if len(q.body) > 0 {
		req.Header.Set("Content-Type", mediaCBOR)
	}
	for name, value := range q.header {
		req.Header.Set(name, value)
	}
	if !q.unsigned {
		c.cfg.Identity.signRequest(req, path, q.body, c.cfg.Peer, c.cfg.Now())
	}
	resp, err := to.transport.RoundTrip(req)
	if err != nil {
		cancel(nil)
		c.cfg.Observe(Transfer{Endpoint: q.endpoint, Err: err})
		return nil, err
	}
	body := newStallReader(resp.Body, cancel, func(read int64, err error) {
		c.cfg.Observe(Transfer{Endpoint: q.endpoint, Sent: int64(len(q.body)), Received: read, Err: err})
	})
	resp.Body = body
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	err = readError(resp)
	body.err = err
	return nil, err
}

// errorBody is how the peer says no.
type errorBody struct {
	Detail string `json:"detail"`
	Kind   string `json:"kind"`
	Reason string `json:"reason,omitempty"`
}

// readError makes an error of an answer. What is no answer of an instance, a
// proxy's for instance, counts as unavailable.
func readError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	var e errorBody
	if err != nil || json.Unmarshal(b, &e) != nil || e.Detail == "" || e.Kind == "" {
		return bundle.Errorf(bundle.KindUnavailable,
			"%s answers %s, but not as an instance does; does this address lead to its peer listener?",
			resp.Request.URL.Host, resp.Status).With("reason", ReasonUnreachable)
	}
	answer := bundle.Errorf(bundle.ParseKind(e.Kind), "%s", e.Detail)
	if e.Reason != "" {
		answer = answer.With("reason", e.Reason)
	}
	return answer
}

// exchange sends a body and returns the answer's, of at most limit bytes.
func (c *Client) exchange(ctx context.Context, q call, limit int64) ([]byte, error) {
	resp, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	if int64(len(b)) > limit {
		return nil, alarm(publog.AlarmEndless, "the answer to %s is longer than %d bytes", q.endpoint, limit)
	}
	return b, nil
}

// interrupted is the error of an answer that broke off.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*bundle.Error](err); ok {
		return err
	}
	return bundle.Errorf(bundle.KindUnavailable, "the peer's answer broke off: %w", err).With("reason", ReasonInterrupted)
}

// Descriptor returns the peer's signed descriptor. Whether it is the peer's,
// and may replace the one known, [publog.ParseDescriptor] and
// [publog.CheckSuccession] tell.
func (c *Client) Descriptor(ctx context.Context) ([]byte, error) {
	return c.exchange(ctx, call{endpoint: "descriptor", method: http.MethodGet, unsigned: true}, publog.MaxDescriptorSize)
}

// Poll asks for news of the log; see [Check]. Within the request's Wait it
// returns as soon as there is something new for this instance, and else with a
// fresh checkpoint when the time is over.
func (c *Client) Poll(ctx context.Context, req PollRequest) (*PollAnswer, error) {
	body, err := req.encode()
	if err != nil {
		return nil, err
	}
	b, err := c.exchange(ctx, call{endpoint: "poll", method: http.MethodPost, body: body}, maxAnswer)
	if err != nil {
		return nil, err
	}
	a, err := decodePollAnswer(b)
	return a, alteredIfInvalid(err)
}

// Records asks for single records; see [CheckRecords].
func (c *Client) Records(ctx context.Context, req RecordsRequest) (*RecordsAnswer, error) {
	body, err := req.encode()
	if err != nil {
		return nil, err
	}
	b, err := c.exchange(ctx, call{endpoint: "records", method: http.MethodPost, body: body}, maxAnswer)
	if err != nil {
		return nil, err
	}
	a, err := decodeRecordsAnswer(b)
	return a, alteredIfInvalid(err)
}
