package blockstored

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pair is a certificate of its own for 127.0.0.1, told apart by its serial
// number.
type pair struct {
	cert, key []byte
	parsed    *x509.Certificate
}

func newPair(t *testing.T, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "blockstored test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		cert:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		parsed: parsed,
	}
}

// replace puts a new file in the place of another, as tools that renew do.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsReadAgainWhenItsFilesChange(t *testing.T) {
	first, second, third := newPair(t, 1), newPair(t, 2), newPair(t, 3)
	dir := t.TempDir()
	clock := time.Unix(1_800_000_000, 0)
	var logged bytes.Buffer
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c := certificateFiles(certFile, keyFile, func() time.Time { return clock }, slog.New(slog.NewTextHandler(&logged, nil)))
	write := func(p pair) { replace(t, certFile, p.cert); replace(t, keyFile, p.key) }
	want := func(when string, serial int64) {
		t.Helper()
		if got := c.get(); got.Leaf.SerialNumber.Int64() != serial {
			t.Errorf("%s: certificate %v; want %d", when, got.Leaf.SerialNumber, serial)
		}
	}
	write(first)
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	write(second)
	clock = clock.Add(recheck - 1)
	want("within the second", 1)
	clock = clock.Add(1)
	want("after it", 2)

	replace(t, certFile, third.cert)
	for range 3 {
		clock = clock.Add(recheck)
		want("with another's key", 2)
	}
	if n := strings.Count(logged.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings of one bad pair:\n%s", n, logged.String())
	}
	replace(t, keyFile, third.key)
	clock = clock.Add(recheck)
	want("with its own key", 3)

	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(recheck)
	want("without a file", 3)
	if n := strings.Count(logged.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings after the file went:\n%s", n, logged.String())
	}
	write(first)
	clock = clock.Add(-time.Hour)
	want("after the clock was set back", 1)
}

func TestBothListenersTakeARenewedCertificateWithoutARestart(t *testing.T) {
	first, second := newPair(t, 1), newPair(t, 2)
	dir := t.TempDir()
	var ahead atomic.Int64 // of the real time
	cfg := DefaultConfig(filepath.Join(dir, "data"))
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	cfg.Listen, cfg.Peer.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "api.pem"), filepath.Join(dir, "api.key")
	cfg.Peer.TLSCert, cfg.Peer.TLSKey = filepath.Join(dir, "peer.pem"), filepath.Join(dir, "peer.key")
	write := func(p pair) {
		for _, name := range []string{"api", "peer"} {
			replace(t, filepath.Join(dir, name+".pem"), p.cert)
			replace(t, filepath.Join(dir, name+".key"), p.key)
		}
	}
	write(first)
	inst, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := inst.Close(); err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(first.parsed)
	roots.AddCert(second.parsed)
	hold := func(serial int64) {
		t.Helper()
		if got := serialOf(t, roots, inst.Addresses().API+"/health/"); got != serial {
			t.Errorf("the API shows certificate %d, want %d", got, serial)
		}
		if got := serialOf(t, roots, inst.Addresses().Peer+"/peer/v1/descriptor"); got != serial {
			t.Errorf("the peer listener shows certificate %d, want %d", got, serial)
		}
	}
	hold(1)
	write(second)
	ahead.Store(int64(2 * recheck))
	hold(2)
}

// serialOf gets an https URL on a new connection and returns the serial number
// of the certificate that it was shown.
func serialOf(t *testing.T, roots *x509.CertPool, target string) int64 {
	t.Helper()
	if !strings.HasPrefix(target, "https://") {
		t.Fatalf("%s is not https", target)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", target, resp.Status, err)
	}
	return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
}
