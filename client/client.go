package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// Config says which instance a Client talks to. Either Socket or Server is set.
type Config struct {
	// Server is the base of the API, http://host:port or https://host, without
	// /api/v1.
	Server string
	// Socket is the path of the unix socket of the instance on this machine.
	// The operators' socket needs no token.
	Socket string
	// Token is sent with every request; empty: none.
	Token string
	// Proxy names the proxy of a request, like [http.ProxyFromEnvironment]; nil
	// for none. It is not used with Socket or Transport.
	Proxy func(*http.Request) (*url.URL, error)
	// Transport replaces the client's own connections; nil for none. The client
	// does not close it.
	Transport http.RoundTripper
}

// Client asks one instance. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	where string // for messages
	token string
	http  *http.Client
	close func()
}

// New returns a client of cfg. It connects to nothing yet; [Client.Close] drops
// the connections it made meanwhile. The error is of [bundle.KindInvalid].
func New(cfg Config) (*Client, error) {
	if (cfg.Server == "") == (cfg.Socket == "") {
		return nil, bundle.Errorf(bundle.KindInvalid, "give the URL of a server or the path of a socket, one of them")
	}
	server, where := cfg.Server, cfg.Server
	if cfg.Socket != "" {
		server, where = "http://localhost", cfg.Socket
	}
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, bundle.Errorf(bundle.KindInvalid, "%q is not the URL of a server: write it like http://127.0.0.1:18250", server)
	}
	c := &Client{base: base.JoinPath("/"), where: where, token: cfg.Token, close: func() {}}
	transport := cfg.Transport
	if transport == nil {
		own := newTransport(cfg)
		transport, c.close = own, own.CloseIdleConnections
	}
	c.http = &http.Client{
		Transport: transport,
		// A redirect would carry the token to wherever it leads; the API's own
		// answers need none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	t := &http.Transport{
		DialContext:           dialer.DialContext,
		Proxy:                 cfg.Proxy,
		MaxIdleConnsPerHost:   2 * transfers,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Bodies arrive as they were stored, so that ranges and lengths hold.
		DisableCompression: true,
	}
	if cfg.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", cfg.Socket)
		}
	}
	return t
}

// Close drops idle connections. The client may be used again afterwards.
func (c *Client) Close() { c.close() }

// request is one exchange. Path is relative to the base and already escaped.
type request struct {
	method, path string
	query        url.Values
	header       map[string]string
	in           any       // sent as JSON, unless body is set
	body         io.Reader // sent as it is
	length       int64     // of body, -1 if it is not known
	mediaType    string    // of body
}

// call sends r and decodes the JSON of the answer, if it has any, into out; a nil
// out ignores it.
func (c *Client) call(ctx context.Context, r request, out any) error {
	_, err := c.exchange(ctx, r, out)
	return err
}

// exchange is call, and returns the answer's header.
func (c *Client) exchange(ctx context.Context, r request, out any) (http.Header, error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer drain(resp.Body)
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return resp.Header, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, c.broken(ctx, fmt.Errorf("answer of %s %s: %w", r.method, r.path, err))
	}
	return resp.Header, nil
}

// fetch sends r and returns what the answer's JSON holds.
func fetch[T any](ctx context.Context, c *Client, r request) (T, error) {
	var out T
	err := c.call(ctx, r, &out)
	return out, err
}

// change is exchange for a request that changes something: it carries the
// caller's idempotency key, or a POST one of its own, so that the instance
// answers a repeated delivery of it with the first answer.
func (c *Client) change(ctx context.Context, r request, out any) (http.Header, error) {
	key, err := api.IdempotencyKey(ctx)
	if err != nil {
		return nil, err
	}
	if key == "" && r.method == http.MethodPost {
		key = bundle.NewID().String()
	}
	if key != "" {
		header := map[string]string{"Idempotency-Key": key}
		maps.Copy(header, r.header)
		r.header = header
	}
	return c.exchange(ctx, r, out)
}

// change sends a request that changes something and returns what the answer's
// JSON holds.
func change[T any](ctx context.Context, c *Client, r request) (T, error) {
	var out T
	_, err := c.change(ctx, r, &out)
	return out, err
}

// withKey returns ctx with an idempotency key, one of its own if it has none.
func withKey(ctx context.Context) (context.Context, error) {
	key, err := api.IdempotencyKey(ctx)
	if err == nil && key == "" {
		ctx = api.WithIdempotencyKey(ctx, bundle.NewID().String())
	}
	return ctx, err
}

// send returns the answer of r if it is of the 2xx kind; the caller closes its
// body. Any other answer becomes an error.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode/100 != 2 {
		defer drain(resp.Body)
		return nil, readError(resp)
	}
	return resp, nil
}

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	body, length, mediaType := r.body, r.length, r.mediaType
	if body == nil && r.in != nil {
		encoded, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		body, length, mediaType = bytes.NewReader(encoded), int64(len(encoded)), "application/json"
	}
	target := c.base.String() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "%s %s: %w", r.method, r.path, err)
	}
	if body != nil {
		req.ContentLength = length
		req.Header.Set("Content-Type", mediaType)
		if length == 0 {
			req.Body = http.NoBody
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Token "+c.token)
	}
	if level := api.LevelOf(ctx); level != api.Consistent {
		req.Header.Set("Blockstored-Consistency", string(level))
	}
	req.Header.Set("Accept", "application/json, */*;q=0.1")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	return req, nil
}

// unreachable explains why there was no answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*sourceError](err); ok { // the body to send could not be read
		return e.err
	}
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return bundle.Errorf(bundle.KindUnavailable, "no blockstored answers at %s: is it running? (%w)", c.where, err)
	case errors.Is(err, syscall.EACCES):
		return bundle.Errorf(bundle.KindForbidden, "%s is another user's: run this command as the user who runs blockstored (%w)", c.where, err)
	}
	return bundle.Errorf(bundle.KindUnavailable, "no answer from %s: %w", c.where, err)
}

// broken explains an answer that ended early or is not what the API says.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return bundle.Errorf(bundle.KindUnavailable, "%s: %w", c.where, err)
}

// drain lets the connection be used again if little is left, and closes it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 4<<10)
	_ = body.Close()
}

// escapePath percent-encodes a file's path for use in a URL, keeping slashes.
func escapePath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}
