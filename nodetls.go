package blockstored

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
)

// ownTLS is how nodes prove who they are if the operator issues their
// certificates, nil if the instance does. What is in the files is refused, at a
// start and when they change, if the other nodes would refuse it.
func (i *Instance) ownTLS(instance bundle.ID, node string) (*cluster.TLS, error) {
	c := i.cfg.Cluster
	if c.TLSCert == "" {
		return nil, nil
	}
	roots := &reread[*x509.CertPool]{
		what: "list of authorities for nodes", files: []string{c.TLSCA}, now: i.now, log: i.log,
		parse: func() (*x509.CertPool, error) { return readAuthorities(c.TLSCA) },
	}
	if err := roots.load(); err != nil {
		return nil, invalid("cluster.tls_ca", "%w", err)
	}
	own := &cluster.TLS{Instance: instance, Own: true, Roots: func() (*x509.CertPool, error) { return roots.get(), nil }}
	pair := certificateFiles(c.TLSCert, c.TLSKey, i.now, i.log)
	pair.what = "certificate of this node"
	parse := pair.parse
	pair.parse = func() (*tls.Certificate, error) {
		cert, err := parse()
		if err == nil {
			err = own.Check(cert, node, roots.get(), i.now())
		}
		return cert, err
	}
	if err := pair.load(); err != nil {
		return nil, invalid("cluster.tls_cert", "%s: %w", c.TLSCert, err)
	}
	own.Certificate = func() (*tls.Certificate, error) { return pair.get(), nil }
	return own, nil
}

func readAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, bundle.Errorf(bundle.KindInvalid, "%s holds no certificate in PEM", file)
	}
	return pool, nil
}
