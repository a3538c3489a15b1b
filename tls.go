package blockstored

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// recheckCertificate is how often at most handshakes look whether the files of
// a certificate have changed.
const recheckCertificate = time.Second

// certificate is a listener's certificate and its key, read again when their
// files change, so that a renewed one needs no restart. A pair that cannot be
// read or does not match, as while it is being replaced, leaves the one before
// in use.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu        sync.Mutex
	current   *tls.Certificate
	checked   time.Time      // when the files were last looked at
	seen      [2]os.FileInfo // of the files that current was read from
	complaint string         // what was logged last, and still holds
}

// withTLS wraps ln if the configuration names a certificate; key is where.
func (i *Instance) withTLS(ln net.Listener, key, certFile, keyFile string) (net.Listener, string, error) {
	if certFile == "" {
		return ln, "http", nil
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, now: i.now, log: i.log}
	if err := c.load(); err != nil {
		_ = ln.Close() // nothing was accepted
		return nil, "", bundle.Errorf(bundle.KindInvalid, "configuration: %s: %w", key, err)
	}
	return tls.NewListener(ln, &tls.Config{
		GetCertificate: c.get,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // several plain connections carry streams better than one shared one
	}), "https", nil
}

// get implements the GetCertificate of [tls.Config].
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if age := now.Sub(c.checked); age >= 0 && age < recheckCertificate {
		return c.current, nil
	}
	c.checked = now
	found, err := c.stat()
	if err == nil {
		if same(found, c.seen) {
			return c.current, nil
		}
		err = c.read(found)
	}
	switch {
	case err == nil:
		c.log.Info("a changed TLS certificate is in use", "file", c.certFile)
	case err.Error() != c.complaint: // once, not each second
		c.complaint = err.Error()
		c.log.Warn("a changed TLS certificate cannot be used; the one before stays", "error", err)
	}
	return c.current, nil
}

// load reads the certificate for the first time.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = c.now()
	found, err := c.stat()
	if err != nil {
		return err
	}
	return c.read(found)
}

// read takes the pair into use. Found was looked up before, so that a change
// while it is read is noticed the next time.
func (c *certificate) read(found [2]os.FileInfo) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.seen, c.complaint = &pair, found, ""
	return nil
}

// stat follows links, so a link that is turned to another file is a change.
func (c *certificate) stat() (found [2]os.FileInfo, err error) {
	for k, name := range []string{c.certFile, c.keyFile} {
		if found[k], err = os.Stat(name); err != nil {
			return found, err
		}
	}
	return found, nil
}

// same says whether both files are what they were.
func same(a, b [2]os.FileInfo) bool {
	for k := range a {
		if !os.SameFile(a[k], b[k]) || a[k].Size() != b[k].Size() || !a[k].ModTime().Equal(b[k].ModTime()) {
			return false
		}
	}
	return true
}
