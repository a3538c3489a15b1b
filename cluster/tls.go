package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"slices"
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

// TLS says how the nodes of an instance prove to each other who they are: each
// shows a certificate that names the instance and the node (see [Authority]),
// and refuses one that does not. Without TLS a node listens on loopback only.
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
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		NextProtos:             []string{newcomerProtocol},
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.Certificate() },
		Time:                   now,
	}
}

// dial is the TLS of a connection to node.
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
	intermediates := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	return VerifyNode(s.PeerCertificates[0], t.Instance, node, x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
}

// VerifyNode checks that cert was issued under opts and names instance, and
// node if that is not "". Errors have KindForbidden and say what differs.
func VerifyNode(cert *x509.Certificate, instance bundle.ID, node string, opts x509.VerifyOptions) error {
	of, is, err := identify(cert)
	switch {
	case err != nil:
		return err
	case of != instance:
		return bundle.Errorf(bundle.KindForbidden, "the certificate is of a node of another instance, %s; this one is %s", of, instance)
	case node != "" && is != node:
		return bundle.Errorf(bundle.KindForbidden, "the certificate is of node %s, not of %s", is, node)
	}
	if _, err := cert.Verify(opts); err != nil {
		return bundle.Errorf(bundle.KindForbidden, "the certificate of node %s is not accepted: %w", is, err)
	}
	return nil
}

const (
	identityScheme = "blockstored"
	identityNode   = "/node/"
)

// identity is the URI that names a node of an instance in a certificate:
// blockstored://<instance id>/node/<node id>; without a node it names the
// instance's authority.
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
		return instance, "", bundle.Errorf(bundle.KindForbidden,
			"the certificate does not name a node of an instance: it needs a URI such as %s", identity(instance, "n1-1"))
	}
	return instance, node, nil
}
