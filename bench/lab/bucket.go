package lab

import (
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

// Bucket is the bucket of all nodes: a real S3 server behind a proxy that fails or
// delays requests when it is told to. Its methods may be called from any goroutine.
type Bucket struct {
	gateway *gatewaytest.Gateway
	server  *http.Server
	onward  *http.Transport
	store   site.Store
	running sync.WaitGroup

	mu       sync.Mutex
	rate     float64
	delay    time.Duration
	requests atomic.Int64
	failed   atomic.Int64
}

// bucketName is the bucket's.
const bucketName = "lab"

// openBucket starts the S3 server in the folder dir and the proxy at an address of
// the host.
func openBucket(ctx context.Context, dir, host string) (*Bucket, error) {
	program, err := gatewaytest.Find()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	g, err := gatewaytest.Start(ctx, program, dir)
	if err != nil {
		return nil, err
	}
	b := &Bucket{gateway: g, onward: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	if err := errors.Join(g.MakeBucket(bucketName), b.serve(ctx, host)); err != nil {
		g.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bucket) serve(ctx context.Context, host string) error {
	target, err := url.Parse(b.gateway.Endpoint)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: b.onward, ErrorLog: log.New(io.Discard, "", 0),
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	b.store = site.Store{
		Endpoint: "http://" + l.Addr().String(), Bucket: bucketName,
		AccessKeyID: b.gateway.AccessKeyID, SecretAccessKey: b.gateway.SecretAccessKey,
	}
	b.server = &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.pass(proxy, w, r) }),
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: patience,
	}
	b.running.Go(func() { _ = b.server.Serve(l) }) // until it is closed
	return nil
}

// Fail lets a share of the requests between 0 and 1 fail. Half of these are refused
// with 503 before the store sees them. The others are carried out, and their
// connection is cut in place of the answer.
func (b *Bucket) Fail(share float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = share
}

// Delay makes each request wait before the store sees it.
func (b *Bucket) Delay(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = d
}

// Restore ends what Fail and Delay began.
func (b *Bucket) Restore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate, b.delay = 0, 0
}

// Requests returns how many requests came so far and how many of them failed by
// [Bucket.Fail].
func (b *Bucket) Requests() (all, failed int64) { return b.requests.Load(), b.failed.Load() }

// Store says how the bucket is reached, through the proxy.
func (b *Bucket) Store() site.Store { return b.store }

const slowDown = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>The lab was told to fail.</Message></Error>`

func (b *Bucket) pass(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	b.running.Add(1)
	defer b.running.Done()
	b.requests.Add(1)
	b.mu.Lock()
	fails, before, delay := rand.Float64() < b.rate, rand.IntN(2) == 0, b.delay
	b.mu.Unlock()
	if delay > 0 {
		site.Pause(r.Context(), delay)
	}
	switch {
	case !fails:
		proxy.ServeHTTP(w, r)
		return
	case !before:
		proxy.ServeHTTP(&unanswered{header: http.Header{}}, r)
		b.failed.Add(1)
		panic(http.ErrAbortHandler) // cuts the connection
	}
	b.failed.Add(1)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, slowDown) // the client may be gone
}

// unanswered throws an answer away.
type unanswered struct{ header http.Header }

func (u *unanswered) Header() http.Header         { return u.header }
func (u *unanswered) Write(b []byte) (int, error) { return len(b), nil }
func (u *unanswered) WriteHeader(int)             {}

func (b *Bucket) close() error {
	err := b.server.Close()
	b.onward.CloseIdleConnections()
	b.gateway.Close()
	b.running.Wait()
	b.onward.CloseIdleConnections()
	return err
}
