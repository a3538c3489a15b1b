package syndication

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

const (
	dialTimeout   = 5 * time.Second
	headerTimeout = MaxWait + 20*time.Second
	stallTimeout  = 60 * time.Second // an answer that sends nothing for so long is given up
	idleConns     = 8
)

// newTransport returns the transport for one address: HTTP/1.1 on several
// connections, which lose less on long lines than one that is shared; no
// compression, since frames are compressed; no proxies from the environment; a
// pinned key, if there is one, in place of WebPKI.
func newTransport(a address) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   2 * dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
	}
	if a.pin != nil {
		t.TLSClientConfig.InsecureSkipVerify = true // VerifyConnection checks the pin instead
		t.TLSClientConfig.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(state.PeerCertificates, a.pin) }
	}
	return t
}

// checkPin compares the server's public key with the pinned digest.
func checkPin(certs []*x509.Certificate, pin []byte) error {
	if len(certs) == 0 {
		return errors.New("the server showed no certificate")
	}
	got := sha256.Sum256(certs[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare(got[:], pin) != 1 {
		return errors.New("the server's key is not the one pinned in the address; if it was renewed, ask for a new invitation")
	}
	return nil
}

// stallReader ends an answer that has stopped coming.
type stallReader struct {
	r     io.ReadCloser
	stop  context.CancelCauseFunc
	timer *time.Timer
	read  int64
	done  func(read int64, err error) // called once
	err   error
}

func newStallReader(r io.ReadCloser, stop context.CancelCauseFunc, done func(int64, error)) *stallReader {
	s := &stallReader{r: r, stop: stop, done: done}
	s.timer = time.AfterFunc(stallTimeout, func() {
		stop(bundle.Errorf(bundle.KindUnavailable, "the peer stopped sending for %s", stallTimeout).With("reason", ReasonInterrupted))
	})
	return s
}

func (s *stallReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read += int64(n)
	s.timer.Reset(stallTimeout)
	if err != nil && !errors.Is(err, io.EOF) && s.err == nil {
		s.err = err
	}
	return n, err
}

func (s *stallReader) Close() error {
	if s.done == nil {
		return nil
	}
	s.timer.Stop()
	err := s.r.Close()
	s.stop(nil)
	s.done(s.read, s.err)
	s.done = nil
	return err
}
