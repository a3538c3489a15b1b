package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// CertificateLife is how long a node's certificate is valid; it should be
	// renewed when a third of that is left.
	CertificateLife = 90 * 24 * time.Hour
	// authorityLife is that of the authority's own, which never leaves the
	// instance and is not renewed.
	authorityLife = 30 * 365 * 24 * time.Hour
	// certificateSkew is how far nodes' clocks may differ.
	certificateSkew = time.Hour
)

// Authority issues the certificates of the nodes of one instance. It is a pair
// of Ed25519 key and self-signed certificate, made once with the instance.
type Authority struct {
	instance bundle.ID
	cert     *x509.Certificate
	key      ed25519.PrivateKey
}

// NewAuthority makes the authority of an instance.
func NewAuthority(instance bundle.ID, now time.Time) (*Authority, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "blockstored " + instance.String()},
		URIs:      []*url.URL{identity(instance, "")},
		NotBefore: now.Add(-certificateSkew), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	if template.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the instance's authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{instance: instance, cert: cert, key: key}, err
}

// ParseAuthority reads what [Authority.Marshal] wrote. An error has KindCorrupt.
func ParseAuthority(cert, key []byte) (*Authority, error) {
	a, err := parseAuthority(cert, key)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the instance's certificate authority is damaged: %w", err)
	}
	return a, nil
}

func parseAuthority(cert, key []byte) (*Authority, error) {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	private, ok := k.(ed25519.PrivateKey)
	if !ok || !private.Public().(ed25519.PublicKey).Equal(c.PublicKey) {
		return nil, errors.New("the key is not that of the certificate")
	}
	if len(c.URIs) != 1 || c.URIs[0].Scheme != identityScheme || !c.IsCA {
		return nil, errors.New("the certificate does not name an instance")
	}
	instance, err := bundle.ParseID(c.URIs[0].Host)
	return &Authority{instance: instance, cert: c, key: private}, err
}

// Marshal returns the certificate (DER), which every node may know, and the key
// (PKCS #8), which is a secret.
func (a *Authority) Marshal() (cert, key []byte, err error) {
	key, err = x509.MarshalPKCS8PrivateKey(a.key)
	return a.cert.Raw, key, err
}

// Instance returns the instance whose nodes the authority vouches for.
func (a *Authority) Instance() bundle.ID { return a.instance }

// Pool returns the authority as the only root, for [TLS.Roots].
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Fingerprint is the SHA-256 of the certificate, by which a joining node
// recognises the instance before it trusts anything it says.
func (a *Authority) Fingerprint() bundle.Digest { return Fingerprint(a.cert) }

// Fingerprint is the SHA-256 of a certificate.
func Fingerprint(cert *x509.Certificate) bundle.Digest { return sha256.Sum256(cert.Raw) }

// Issue certifies that the key in a request of [NewRequest] is that of node (its
// id, name and incarnation), for [CertificateLife]. Nothing else of the request
// is used: who may have a certificate is the caller's to decide. An error has
// KindInvalid if the request is not signed by its key.
func (a *Authority) Issue(node string, request []byte, now time.Time) (cert []byte, err error) {
	if _, err := parseNode(node); err != nil {
		return nil, err
	}
	req, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = req.CheckSignature()
	}
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "the request for a certificate is not valid: %w", err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: node},
		URIs:      []*url.URL{identity(a.instance, node)},
		NotBefore: now.Add(-certificateSkew), NotAfter: now.Add(CertificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if template.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	cert, err = x509.CreateCertificate(rand.Reader, template, a.cert, req.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue the certificate of node %s: %w", node, err)
	}
	return cert, nil
}

// NewRequest makes a node's key (PKCS #8) and the request for its certificate
// (DER). The key never leaves the node.
func NewRequest(node string) (key, request []byte, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: node}}, private)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the certificate of node %s: %w", node, err)
	}
	key, err = x509.MarshalPKCS8PrivateKey(private)
	return key, request, err
}

// KeyPair puts an issued certificate and its key together, for
// [TLS.Certificate]. An error has KindCorrupt if they do not belong together.
func KeyPair(cert, key []byte) (*tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "this node's certificate is damaged: %w", err)
	}
	private, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the key of this node's certificate is damaged: %w", err)
	}
	signer, ok := private.(ed25519.PrivateKey)
	if !ok || !signer.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the key is not that of this node's certificate")
	}
	return &tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: signer, Leaf: leaf}, nil
}

func serial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}
