package blockstored

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// certificateFiles is a certificate and its key in PEM. A pair that does not
// match, as while it is being replaced, is not taken into use.
func certificateFiles(certFile, keyFile string, now func() time.Time, log *slog.Logger) *reread[*tls.Certificate] {
	return &reread[*tls.Certificate]{
		what: "TLS certificate", files: []string{certFile, keyFile}, now: now, log: log,
		parse: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("%s with key %s: %w", certFile, keyFile, err)
			}
			return &pair, nil
		},
	}
}

// withTLS wraps ln if the configuration names a certificate; key is where.
func (i *Instance) withTLS(ln net.Listener, key, certFile, keyFile string) (net.Listener, string, error) {
	if certFile == "" {
		return ln, "http", nil
	}
	c := certificateFiles(certFile, keyFile, i.now, i.log)
	if err := c.load(); err != nil {
		_ = ln.Close() // nothing was accepted
		return nil, "", bundle.Errorf(bundle.KindInvalid, "configuration: %s: %w", key, err)
	}
	return tls.NewListener(ln, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // several plain connections carry streams better than one shared one
	}), "https", nil
}
