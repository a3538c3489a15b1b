// Package deploy_test holds the files of this folder to what they promise, with
// the real programs: a built blockstored behind an nginx that runs the shipped
// nginx.conf, changed only where its own comments say to.
package deploy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

// name is the one that stands in nginx.conf; clients come under it.
const name = "blocks.example.org"

// front is nginx with the shipped configuration before one site.
type front struct {
	address string // where it listens
	dir     string
	pid     int
	pin     string // of its certificate's key, as an address of a peer carries it
	http    *http.Client
}

// upstream is what nginx shall find behind it.
type upstream struct {
	api, peer string // addresses
	socket    string // of the host; if set, in place of api
	second    string // address of another node's API; "" for none
}

// nginxProgram returns nginx, or ends the test.
func nginxProgram(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} { // sbin may not be in a user's PATH
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("BLOCKSTORED_TEST_NOSKIP") == "1" {
		t.Fatal("nginx is not installed")
	}
	t.Skip("nginx is not installed")
	return ""
}

// mainConfig is what a distribution's nginx.conf has around a site's file, for
// one process in the foreground that writes to one folder.
const mainConfig = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
events {}
http {
  client_body_temp_path %[1]s/bodies;
  proxy_temp_path %[1]s/answers;
  fastcgi_temp_path %[1]s/unused;
  uwsgi_temp_path %[1]s/unused;
  scgi_temp_path %[1]s/unused;
  gzip on;
  include %[1]s/site.conf;
}
`

// startNginx runs nginx until the test ends.
func startNginx(t *testing.T, to upstream) *front {
	t.Helper()
	nginx := nginxProgram(t)
	address, err := site.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &front{address: address, dir: t.TempDir()}
	roots := f.makeCertificate(t)
	f.write(t, "site.conf", f.render(t, to))
	f.write(t, "main.conf", fmt.Sprintf(mainConfig, f.dir))
	args := []string{"-p", f.dir, "-c", filepath.Join(f.dir, "main.conf"), "-e", filepath.Join(f.dir, "errors.log")}
	if out, err := exec.CommandContext(t.Context(), nginx, append(args, "-t")...).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	cmd := exec.Command(nginx, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.pid = cmd.Process.Pid
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	f.http = &http.Client{Transport: tr, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("nginx: %v", err)
		}
		if t.Failed() {
			t.Logf("nginx said:\n%s", f.read(t, "errors.log"))
		}
	})
	f.waitServing(t)
	return f
}

// render makes the changes that the shipped file's comments ask for.
func (f *front) render(t *testing.T, to upstream) string {
	t.Helper()
	shipped, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := string(shipped)
	changes := [][2]string{
		{"listen 443 ssl;", "listen " + f.address + " ssl;"},
		{"/etc/ssl/" + name + ".pem", filepath.Join(f.dir, "certificate.pem")},
		{"/etc/ssl/private/" + name + ".key", filepath.Join(f.dir, "key.pem")},
		{"/var/log/nginx/blockstored.log", filepath.Join(f.dir, "access.log")},
		{"server 127.0.0.1:18251;", "server " + to.peer + ";"},
	}
	if to.socket == "" {
		changes = append(changes, [2]string{"server 127.0.0.1:18250;", "server " + to.api + ";"})
	} else {
		changes = append(changes, [2]string{"server 127.0.0.1:18250;", ""},
			[2]string{"#server unix:/run/blockstored/api.sock;", "server unix:" + to.socket + ";"})
	}
	if to.second != "" {
		changes = append(changes, [2]string{"#server 10.0.0.2:18250 fail_timeout=2s;", "server " + to.second + " max_fails=0;"})
	}
	for _, c := range changes {
		if n := strings.Count(config, c[0]); n != 1 {
			t.Fatalf("nginx.conf has %q %d times, not once", c[0], n)
		}
		config = strings.Replace(config, c[0], c[1], 1)
	}
	return config
}

// makeCertificate writes the certificate of name and of the loopback address.
func (f *front) makeCertificate(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "certificate.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	f.write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	f.pin = "#sha256=" + base64.RawURLEncoding.EncodeToString(sum[:])
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return roots
}

// waitServing returns when nginx takes connections.
func (f *front) waitServing(t *testing.T) {
	t.Helper()
	waitFor(t, "nginx to take connections", func() bool {
		conn, err := net.Dial("tcp", f.address)
		return err == nil && conn.Close() == nil
	})
}

// waitFor asks until done says so.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (f *front) write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *front) read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(f.dir, file))
	if err != nil {
		t.Error(err)
	}
	return string(content)
}

// startSite runs a site until the test ends.
func startSite(t *testing.T, cfg site.Config) *site.Site {
	t.Helper()
	nginxProgram(t)
	cfg.Program, cfg.Dir = program, t.TempDir()
	s, err := site.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", cfg.Name, s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// shortDir returns a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "blockstored-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
