package blockstored_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

// shown returns the certificate that a node shows to whoever asks.
func shown(t *testing.T, inst *blockstored.Instance) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", inst.Addresses().Cluster, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// operator is an authority of the operator's.
type operator struct {
	t      *testing.T
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{t: t, dir: t.TempDir()}
	o.cert, o.key = o.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "operator"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	o.write("ca.pem", "CERTIFICATE", o.cert.Raw)
	return o
}

func (o *operator) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	o.serial++
	template.SerialNumber = big.NewInt(o.serial)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := o.cert, o.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		o.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert, key
}

func (o *operator) write(name, kind string, der []byte) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		o.t.Fatal(err)
	}
}

// certify issues a node's certificate and returns its serial number.
func (o *operator) certify(cfg *blockstored.Config, instance bundle.ID) int64 {
	o.t.Helper()
	node := cfg.Cluster.Node
	cert, key := o.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: node}, KeyUsage: x509.KeyUsageDigitalSignature,
		URIs:        []*url.URL{{Scheme: "blockstored", Host: instance.String(), Path: "/node/" + node}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(node+".pem", "CERTIFICATE", cert.Raw)
	o.write(node+".key", "PRIVATE KEY", secret)
	c := &cfg.Cluster
	c.TLSCert, c.TLSKey, c.TLSCA = filepath.Join(o.dir, node+".pem"), filepath.Join(o.dir, node+".key"), filepath.Join(o.dir, "ca.pem")
	return cert.SerialNumber.Int64()
}

// An instance moves to the operator's certificates by one stop of all nodes, and
// goes on from there.
func TestNodesShowTheOperatorsCertificates(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	cfgs := make([]blockstored.Config, 3)
	for k, name := range []string{"n1", "n2", "n3"} {
		cfgs[k] = nodeConfig(t, s, bucket, name)
		cfgs[k].Cluster.Listen = freeAddress(t)
	}
	one, err := blockstored.Open(t.Context(), cfgs[0])
	if err != nil {
		t.Fatal(err)
	}
	id := one.ID()
	cfgs[1].Cluster.Join = inviteTo(t, one)
	two, err := blockstored.Open(t.Context(), cfgs[1])
	if err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, one, 2)
	closeInstance(t, two)
	closeInstance(t, one)

	o := newOperator(t)
	// Who starts with another instance's certificate is told what it needs.
	o.certify(&cfgs[0], bundle.NewID())
	want := "blockstored://" + id.String() + "/node/n1"
	if _, err := blockstored.Open(t.Context(), cfgs[0]); !bundle.IsKind(err, bundle.KindInvalid) ||
		!strings.Contains(err.Error(), "configuration: cluster.tls_cert: ") || !strings.Contains(err.Error(), want) {
		t.Errorf("with another instance's certificate: %v, want it to say %s", err, want)
	}
	for k := range cfgs {
		o.certify(&cfgs[k], id)
	}
	one, two = open(t, cfgs[0]), open(t, cfgs[1])
	awaitNodes(t, two, 2)
	c, err := two.CreateCollection(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	cfgs[2].Cluster.Join = inviteTo(t, two)
	without := cfgs[2]
	without.Data = t.TempDir()
	without.Cluster.TLSCert, without.Cluster.TLSKey, without.Cluster.TLSCA = "", "", ""
	refused(t, without, bundle.KindForbidden, "this one needs one, too (cluster.tls_cert")
	three := open(t, cfgs[2])
	awaitNodes(t, one, 3)
	if got, err := three.Collection(t.Context(), c.ID); err != nil || got.Title != "c" {
		t.Errorf("%+v, %v", got, err)
	}

	// A renewed one is shown without a restart.
	serial := o.certify(&cfgs[1], id)
	await(t, "the renewed certificate is shown", func() bool { return shown(t, two).SerialNumber.Int64() == serial })
	awaitNodes(t, three, 3)
}

// await asks until it is so, for a while.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// The certificates that an instance issues itself outlive their life without a
// restart: connections that stand go on, and new ones are made with new ones.
func TestCertificatesOfNodesAreRenewed(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	var days atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) }
	first, second := nodeConfig(t, s, bucket, "n1"), nodeConfig(t, s, bucket, "n2")
	first.Now, second.Now = now, now
	second.Cluster.Listen = freeAddress(t)
	one := open(t, first)
	second.Cluster.Join = inviteTo(t, one)
	two, err := blockstored.Open(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, one, 2)
	old := shown(t, one)
	days.Store(59)
	if got := shown(t, one); !got.Equal(old) {
		t.Errorf("another certificate after 59 days, until %s", got.NotAfter)
	}
	days.Store(61)
	if got := shown(t, one); !got.NotAfter.After(now().Add(89 * 24 * time.Hour)) {
		t.Errorf("after 61 days a certificate until %s", got.NotAfter)
	}
	days.Store(400) // all of them are over
	if now().Before(old.NotAfter) {
		t.Fatalf("the first one is good until %s", old.NotAfter)
	}
	if _, err := two.CreateCollection(t.Context(), "over connections that stand"); err != nil {
		t.Error(err)
	}
	closeInstance(t, two)
	two = open(t, second)
	awaitNodes(t, two, 2)
	if _, err := two.CreateCollection(t.Context(), "over new ones"); err != nil {
		t.Error(err)
	}
}
