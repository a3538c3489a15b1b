package cluster

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

func TestAuthoritySurvivesStorage(t *testing.T) {
	a := authority(t, bundle.NewID())
	cert, key, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseAuthority(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if again.Instance() != a.Instance() || again.Fingerprint() != a.Fingerprint() {
		t.Errorf("%v %v, stored as %v %v", again.Instance(), again.Fingerprint(), a.Instance(), a.Fingerprint())
	}
	// What one issues, the other vouches for.
	_, request, err := NewRequest("n1-1")
	if err != nil {
		t.Fatal(err)
	}
	der, err := again.Issue("n1-1", request, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&TLS{Instance: a.Instance()}).verifyChain([]*x509.Certificate{leaf}, "n1-1", a.Pool(), time.Now(), x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	if leaf.IsCA || leaf.NotAfter.Sub(leaf.NotBefore) != CertificateLife+certificateSkew {
		t.Errorf("authority: %v, from %v to %v", leaf.IsCA, leaf.NotBefore, leaf.NotAfter)
	}
}

func TestDamagedAuthoritiesAndPairsAreRefused(t *testing.T) {
	a, b := authority(t, bundle.NewID()), authority(t, bundle.NewID())
	cert, key, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	nodeKey, request, err := NewRequest("n1-1")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.Issue("n1-1", request, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string][2][]byte{
		"no certificate": {nil, key}, "no key": {cert, nil}, "another's key": {cert, otherKey}, "a node's": {leaf, nodeKey},
	} {
		if _, err := ParseAuthority(p[0], p[1]); !bundle.IsKind(err, bundle.KindCorrupt) {
			t.Errorf("authority of %s: %v", what, err)
		}
	}
	for what, p := range map[string][2][]byte{
		"no certificate": {nil, nodeKey}, "no key": {leaf, nil}, "another's key": {leaf, otherKey},
	} {
		if _, err := KeyPair(p[0], p[1]); !bundle.IsKind(err, bundle.KindCorrupt) {
			t.Errorf("pair of %s: %v", what, err)
		}
	}
}

func TestNothingIsIssuedWithoutProofOfTheKey(t *testing.T) {
	a := authority(t, bundle.NewID())
	_, request, err := NewRequest("n1-1")
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(request)
	bad[len(bad)-1] ^= 1
	for what, c := range map[string]struct {
		node    string
		request []byte
	}{"a request with another signature": {"n1-1", bad}, "no request": {"n1-1", nil}, "no node id": {"n1", request}} {
		if _, err := a.Issue(c.node, c.request, time.Now()); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCertificatesNameOneNode(t *testing.T) {
	instance := bundle.NewID()
	parse := func(texts ...string) *x509.Certificate {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: "n1-1"}}
		for _, s := range texts {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		return c
	}
	base := "blockstored://" + instance.String()
	for _, c := range []struct {
		uris []string
		node string
	}{
		{[]string{base + "/node/n1-1"}, "n1-1"},
		{[]string{"spiffe://example/x", base + "/node/rack%203-1"}, "rack 3-1"},
		{nil, ""},
		{[]string{base}, ""},
		{[]string{base + "/node/"}, ""},
		{[]string{"blockstored://nobody/node/n1-1"}, ""},
		{[]string{base + "/node/n1-1", base + "/node/n2-1"}, ""},
	} {
		of, node, err := identify(parse(c.uris...))
		if c.node == "" {
			if !bundle.IsKind(err, bundle.KindForbidden) {
				t.Errorf("%v: names %s, %v", c.uris, node, err)
			}
			continue
		}
		if err != nil || node != c.node || of != instance {
			t.Errorf("%v: %s %s, %v", c.uris, of, node, err)
		}
	}
}
