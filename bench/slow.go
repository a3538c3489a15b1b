package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// slowPuts stands before an S3 server and makes each PUT take longer, as a real
// bucket's do.
type slowPuts struct {
	URL  string
	puts atomic.Int64 // PUTs that have come so far

	server *http.Server
	served chan error
}

// startSlowPuts listens on a free loopback port. The caller calls close.
func startSlowPuts(ctx context.Context, endpoint string, delay time.Duration) (*slowPuts, error) {
	to, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &slowPuts{URL: "http://" + ln.Addr().String(), served: make(chan error, 1)}
	pass := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host }, // the host stays: it is signed
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			s.puts.Add(1)
			select {
			case <-time.After(delay):
			case <-r.Context().Done():
			}
		}
		pass.ServeHTTP(w, r)
	})}
	go func() { s.served <- s.server.Serve(ln) }()
	return s, nil
}

func (s *slowPuts) close() error {
	err := s.server.Close()
	if ended := <-s.served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
