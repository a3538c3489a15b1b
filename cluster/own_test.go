package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// issuer is an operator's authority.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	return (&issuer{t: t}).next(pkix.Name{CommonName: "operator"})
}

// next makes an authority below this one, or a root below none.
func (i *issuer) next(name pkix.Name) *issuer {
	template := &x509.Certificate{
		Subject: name, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, key := i.sign(template)
	out := &issuer{t: i.t, cert: cert, key: key, root: i.root}
	if i.cert == nil {
		out.root = cert
	}
	return out
}

func (i *issuer) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	parent, by := i.cert, i.key
	if parent == nil {
		parent, by = template, key
	}
	if template.SerialNumber, err = serial(); err != nil {
		i.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		i.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return cert, key
}

// names issues a certificate for a URI, with changes to it, and trusts itself.
func (i *issuer) names(instance bundle.ID, uri string, change ...func(*x509.Certificate)) *TLS {
	i.t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		i.t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "any"}, URIs: []*url.URL{u},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	cert, key := i.sign(template)
	pair := &tls.Certificate{Certificate: [][]byte{cert.Raw, i.cert.Raw}, PrivateKey: key, Leaf: cert}
	pool := x509.NewCertPool()
	pool.AddCert(i.root)
	return &TLS{
		Instance: instance, Own: true, Certificate: func() (*tls.Certificate, error) { return pair, nil },
		Roots: func() (*x509.CertPool, error) { return pool, nil },
	}
}

// check is what a node says to its own certificate when it starts.
func (t *TLS) check(node string) error {
	cert, err := t.Certificate()
	if err != nil {
		return err
	}
	roots, err := t.Roots()
	if err != nil {
		return err
	}
	return t.Check(cert, node, roots, time.Now())
}

func TestOperatorsCertificates(t *testing.T) {
	instance, other := bundle.NewID(), bundle.NewID()
	ours, theirs := newIssuer(t), newIssuer(t)
	uri := func(of bundle.ID, name string) string { return "blockstored://" + of.String() + "/node/" + name }
	good := func(name string) *TLS { return ours.names(instance, uri(instance, name)) }
	trusting := func(s *TLS) *TLS { // who has a foreign certificate, but knows ours
		return &TLS{Instance: instance, Own: true, Certificate: s.Certificate, Roots: good("n1").Roots}
	}
	with := func(f func(*x509.Certificate)) *TLS { return ours.names(instance, uri(instance, "n1"), f) }
	a := authority(t, instance)
	below := ours.next(pkix.Name{CommonName: "below"}).names(instance, uri(instance, "n1"))
	for name, c := range map[string]struct {
		client *TLS
		says   string // "" if it is let in
	}{
		"any incarnation":          {good("n1"), ""},
		"of an authority below":    {below, ""},
		"another node's":           {good("n3"), "of node n3, not of n1: it needs the URI " + uri(instance, "n1")},
		"one with an incarnation":  {good("n1-7f3a"), "of node n1-7f3a, not of n1"},
		"another instance's":       {trusting(ours.names(other, uri(other, "n1"))), "of node n1 of another instance, " + other.String() + "; one for this instance holds the URI " + uri(instance, "n1")},
		"another authority's":      {trusting(theirs.names(instance, uri(instance, "n1"))), "it must be of an authority in cluster.tls_ca"},
		"the instance's own":       {trusting(certified(t, a, instance, "n1-7f3a", time.Now())), "it must be of an authority in cluster.tls_ca"},
		"one without a name":       {ours.names(instance, "spiffe://example/n1"), "does not name a node of an instance: one for this instance holds the URI " + uri(instance, "n1")},
		"expired":                  {with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "put a renewed one in the place of that node's cluster.tls_cert"},
		"not valid yet":            {with(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), "see that the clocks of both nodes are right"},
		"good for servers only":    {with(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), "extended key usages clientAuth and serverAuth"},
		"one that names two nodes": {with(func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), "in a way that is not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.client.check("n1-7f3a")
			if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("the node itself says %v, want %q", err, c.says)
			}
			b := layerOf(t, "n2-1", good("n2"), nil)
			from := layerOf(t, "n1-7f3a", c.client, map[raft.ServerID]string{"n2-1": b.addr.String()})
			got, err := reaches(t, from, "n2-1", streamRaft)
			if (c.says == "") != (got == "rn2-1") {
				t.Errorf("it reached %q, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), "this node's certificate") {
				t.Errorf("it was told %v", err)
			}
		})
	}
}

func TestNodeWithTheOperatorsCertificateJoins(t *testing.T) {
	instance := bundle.NewID()
	a, ours, theirs := authority(t, instance), newIssuer(t), newIssuer(t)
	own := func(by *issuer, name string) *TLS {
		return by.names(instance, "blockstored://"+instance.String()+"/node/"+name)
	}
	first := inviting(t, a, func(c *Config) { c.TLS = own(ours, "n1") })
	issued := inviting(t, a) // whose nodes have the instance's certificates
	at := func(n *testNode) Newcomer {
		return Newcomer{Token: tokenOf(t, a, time.Now().Add(time.Minute), string(n.self)), Node: "n2-1", Address: "127.0.0.1:1"}
	}
	trusting := own(theirs, "n2")
	trusting.Roots = own(ours, "n2").Roots
	for name, c := range map[string]struct {
		asked *testNode
		own   *TLS
		says  string
	}{
		"without one":           {first, nil, "this one needs one, too (cluster.tls_cert, tls_key, tls_ca)"},
		"another node's":        {first, own(ours, "n3"), "the certificate is of node n3, and the node that asks to join is called n2"},
		"another authority's":   {first, trusting, "does not accept this node's certificate"},
		"where nodes have none": {issued, own(ours, "n2"), "either all nodes have certificates of the operator (cluster.tls_cert), or none has"},
		"its own":               {first, own(ours, "n2"), ""},
	} {
		w, err := AskToJoin(t.Context(), at(c.asked), c.own, time.Now)
		if c.says == "" {
			if err != nil || w.Instance != instance {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !bundle.IsKind(err, bundle.KindForbidden) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := first.Stats().Members; len(got) != 2 {
		t.Errorf("members %+v", got)
	}
	if err := first.ChangeMember(context.Background(), ChangeRemove, "n2"); err != nil {
		t.Fatal(err)
	}
}
