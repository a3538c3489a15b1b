package cluster

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// TLS says how the nodes of an instance prove to each other who they are: each
// shows a certificate that names the instance and the node, and refuses one that
// does not. The certificates are of the instance's [Authority] or, with Own, of
// the operator's. Without TLS a node listens on loopback only.
type TLS struct {
	// Instance is the id of the instance this node belongs to. A certificate
	// that names another is refused, whoever issued it.
	Instance bundle.ID
	// Certificate returns this node's certificate and key. It is asked for at
	// every handshake, so a renewed one needs no restart; connections that
	// stand go on with the one they began with. For newcomers (see
	// [Config.Welcome]) the authority's own certificate follows the node's.
	Certificate func() (*tls.Certificate, error)
	// Roots returns the authorities whose certificates are accepted, asked for
	// at every handshake. It is always the instance's own, or the operator's,
	// and never the system's.
	Roots func() (*x509.CertPool, error)
	// Own says that the operator issues the certificates. They name a node
	// without its incarnation, which nobody knows before the node has begun, so
	// they outlive the loss of its disk; and newcomers must show one, too.
	Own bool
}

// Identity is the URI that the certificate of node, an id, has to hold.
func (t *TLS) Identity(node string) string { return identity(t.Instance, t.named(node)).String() }

// named is what certificates call a node.
func (t *TLS) named(node string) string {
	if t.Own {
		return nodeName(node)
	}
	return node
}

// Check refuses certificate and key of node that others would refuse. An error
// says what to do.
func (t *TLS) Check(cert *tls.Certificate, node string, roots *x509.CertPool, now time.Time) error {
	chain := make([]*x509.Certificate, len(cert.Certificate))
	for k, der := range cert.Certificate {
		var err error
		if chain[k], err = x509.ParseCertificate(der); err != nil {
			return bundle.Errorf(bundle.KindInvalid, "the certificate is damaged: %w", err)
		}
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := t.verifyChain(chain, node, roots, now, usage); err != nil {
			return err
		}
	}
	return nil
}

// accept is the TLS of connections that others make.
func (t *TLS) accept(now clock, newcomers bool) *tls.Config {
	members := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true, // every connection is checked anew
		ClientAuth:             tls.RequireAnyClientCert,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.Certificate() },
		VerifyConnection: func(s tls.ConnectionState) error {
			return t.verify(s, "", now, x509.ExtKeyUsageClientAuth)
		},
		Time: now,
	}
	if newcomers {
		members.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if !slices.Contains(h.SupportedProtos, newcomerProtocol) {
				return nil, nil
			}
			return t.acceptNewcomer(now), nil
		}
	}
	return members
}

// acceptNewcomer is the TLS of connections from nodes without a certificate.
func (t *TLS) acceptNewcomer(now clock) *tls.Config {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		NextProtos:             []string{newcomerProtocol},
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.Certificate() },
		Time:                   now,
	}
	if t.Own { // it has one of the operator before it is a member
		c.ClientAuth = tls.RequireAnyClientCert
		c.VerifyConnection = func(s tls.ConnectionState) error {
			return t.verify(s, "", now, x509.ExtKeyUsageClientAuth)
		}
	}
	return c
}

// dial is the TLS of a connection to node, "" for any node of the instance.
func (t *TLS) dial(node string, now clock) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		InsecureSkipVerify:   true, // of host names, which nodes do not have; verify does the rest
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Certificate() },
		VerifyConnection: func(s tls.ConnectionState) error {
			return t.verify(s, node, now, x509.ExtKeyUsageServerAuth)
		},
		Time: now,
	}
}

// verify checks the other side's certificate; node may be "" for any node of
// the instance.
func (t *TLS) verify(s tls.ConnectionState, node string, now clock, usage x509.ExtKeyUsage) error {
	roots, err := t.Roots()
	if err != nil {
		return err
	}
	return t.verifyChain(s.PeerCertificates, node, roots, now(), usage)
}

// verifyChain checks a certificate, which others follow that vouch for it. Errors
// have KindForbidden and say what differs and what to do.
func (t *TLS) verifyChain(chain []*x509.Certificate, node string, roots *x509.CertPool, now time.Time, usage x509.ExtKeyUsage) error {
	of, is, err := identify(chain[0])
	switch {
	case err != nil:
		return bundle.Errorf(bundle.KindForbidden, "%w: one for this instance holds the URI %s", err, t.Identity(cmp.Or(node, "NAME-1")))
	case of != t.Instance:
		return bundle.Errorf(bundle.KindForbidden, "the certificate is of node %s of another instance, %s; one for this instance holds the URI %s",
			is, of, t.Identity(cmp.Or(node, is)))
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return bundle.Errorf(bundle.KindForbidden, "the certificate of node %s is not accepted: %w: %s", is, err, t.remedy(err))
	}
	if want := t.named(node); node != "" && is != want {
		return bundle.Errorf(bundle.KindForbidden, "the certificate is of node %s, not of %s: it needs the URI %s", is, want, t.Identity(node))
	}
	return nil
}

// remedy says what to do about a certificate that does not verify.
func (t *TLS) remedy(err error) string {
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case unknown && t.Own:
		return "it must be of an authority in cluster.tls_ca; either all nodes have certificates of the operator (cluster.tls_cert), or none has"
	case unknown:
		return "it is not of the instance's own authority; either all nodes have certificates of the operator (cluster.tls_cert), or none has"
	case invalid.Reason == x509.Expired && t.Own:
		return "put a renewed one in the place of that node's cluster.tls_cert, and see that the clocks of both nodes are right"
	case invalid.Reason == x509.Expired:
		return "nodes renew theirs by themselves, so see that the clocks of both are right"
	case invalid.Reason == x509.IncompatibleUsage:
		return "it must be good for clients and servers (extended key usages clientAuth and serverAuth)"
	default:
		return "issue another"
	}
}

const (
	identityScheme = "blockstored"
	identityNode   = "/node/"
)

// identity is the URI that names a node of an instance in a certificate:
// blockstored://<instance id>/node/<node id, or name in one of the operator's>;
// without a node it names the instance's authority.
func identity(instance bundle.ID, node string) *url.URL {
	u := &url.URL{Scheme: identityScheme, Host: instance.String()}
	if node != "" {
		u.Path = identityNode + node
	}
	return u
}

// identify returns whom a certificate names. It must name one node.
func identify(cert *x509.Certificate) (instance bundle.ID, node string, err error) {
	for _, u := range cert.URIs {
		if u.Scheme != identityScheme {
			continue
		}
		id, parseErr := bundle.ParseID(u.Host)
		name, isNode := strings.CutPrefix(u.Path, identityNode)
		if parseErr != nil || !isNode || name == "" || node != "" {
			return instance, "", bundle.Errorf(bundle.KindForbidden, "the certificate names a node in a way that is not understood: %s", u)
		}
		instance, node = id, name
	}
	if node == "" {
		return instance, "", bundle.Errorf(bundle.KindForbidden, "the certificate does not name a node of an instance")
	}
	return instance, node, nil
}
