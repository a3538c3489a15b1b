package publog

import (
	"bytes"
	"crypto/ed25519"
	"net/url"
	"unicode"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// The limits of a descriptor.
const (
	MaxDescriptorSize  = 16 << 10 // bytes, signed
	MaxDescriptorItems = 16       // log keys, and endpoints
	MaxDescriptorName  = 200      // bytes of the display name
	maxEndpoint        = 512      // bytes of an endpoint
)

// descriptorFormat is the version of the body. Fields may be added without a
// new one.
const (
	descriptorFormat  = 1
	descriptorHighest = 11 // the highest field number this program knows
	descriptorContext = "blockstored-descriptor-v1\n"
)

// Descriptor is how an instance introduces itself. Its root key signs it; who
// pinned that key's fingerprint learns of new names, keys and endpoints
// without peering again.
type Descriptor struct {
	Instance    bundle.ID
	Name        string            // for people; may change
	RootKey     ed25519.PublicKey // signs descriptors, and nothing else
	LogKeys     []string          // verifier keys of package note, named LogName(Instance)
	RequestKey  ed25519.PublicKey // signs the instance's requests to peers (RFC 9421)
	Endpoints   []string          // http or https URLs of its peer listener, best first; none if it only subscribes
	ProtocolMin uint64            // the range of peer protocols it speaks, from 1
	ProtocolMax uint64
	Successor   *SuccessorBody // who may take over its bundles; nil for nobody
	Issued      int64          // microseconds since 1970 UTC
}

// descriptorBody is the descriptor on the wire.
type descriptorBody struct {
	Format      uint64         `cbor:"1,keyasint"`
	Instance    bundle.ID      `cbor:"2,keyasint"`
	Name        string         `cbor:"3,keyasint"`
	RootKey     []byte         `cbor:"4,keyasint"`
	LogKeys     []string       `cbor:"5,keyasint"`
	RequestKey  []byte         `cbor:"6,keyasint"`
	Endpoints   []string       `cbor:"7,keyasint,omitempty"`
	ProtocolMin uint64         `cbor:"8,keyasint"`
	ProtocolMax uint64         `cbor:"9,keyasint"`
	Successor   *SuccessorBody `cbor:"10,keyasint,omitempty"`
	Issued      int64          `cbor:"11,keyasint"`
}

// Fingerprint returns the SHA-256 of the root public key: what is pinned, and
// what two operators compare.
func (d Descriptor) Fingerprint() bundle.Digest { return bundle.DigestOf(d.RootKey) }

// SignDescriptor returns d, signed: 64 bytes of Ed25519 signature, then the
// body. root must be the private half of d.RootKey.
func SignDescriptor(d Descriptor, root ed25519.PrivateKey) ([]byte, error) {
	if len(root) != ed25519.PrivateKeySize || !bytes.Equal(root[ed25519.PrivateKeySize-ed25519.PublicKeySize:], d.RootKey) {
		return nil, bundle.Errorf(bundle.KindInvalid, "the private key does not belong to the descriptor's root key")
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	body, err := d.encode()
	if err != nil {
		return nil, err
	}
	b := append(ed25519.Sign(root, signedBytes(body)), body...)
	if len(b) > MaxDescriptorSize {
		return nil, bundle.Errorf(bundle.KindTooLarge, "this descriptor has %d bytes; %d are allowed", len(b), MaxDescriptorSize)
	}
	return b, nil
}

// ParseDescriptor reads a signed descriptor and verifies it with the root key
// that it carries itself. That alone proves nothing about who sent it: the
// caller compares Fingerprint with the one it was given by other means, or
// calls [CheckSuccession] with the descriptor it had.
//
// A signature that does not verify is [AlarmAltered], anything else
// [bundle.KindInvalid].
func ParseDescriptor(b []byte) (Descriptor, error) {
	if len(b) <= ed25519.SignatureSize || len(b) > MaxDescriptorSize {
		return Descriptor{}, bundle.Errorf(bundle.KindInvalid,
			"a descriptor has %d to %d bytes, got %d", ed25519.SignatureSize+1, MaxDescriptorSize, len(b))
	}
	signature, body := b[:ed25519.SignatureSize], b[ed25519.SignatureSize:]
	if err := checkCanonical(body); err != nil {
		return Descriptor{}, badDescriptor(err)
	}
	var w descriptorBody
	if err := decoding.Unmarshal(body, &w); err != nil {
		return Descriptor{}, badDescriptor(err)
	}
	if w.Format != descriptorFormat {
		return Descriptor{}, bundle.Errorf(bundle.KindInvalid,
			"descriptor format %d, this program reads %d; upgrade blockstored here or ask the peer", w.Format, descriptorFormat)
	}
	d := Descriptor{
		Instance: w.Instance, Name: w.Name, RootKey: w.RootKey, LogKeys: w.LogKeys, RequestKey: w.RequestKey,
		Endpoints: w.Endpoints, ProtocolMin: w.ProtocolMin, ProtocolMax: w.ProtocolMax, Successor: w.Successor, Issued: w.Issued,
	}
	if err := d.check(); err != nil {
		return Descriptor{}, err
	}
	again, err := d.encode()
	if err != nil {
		return Descriptor{}, err
	}
	if err := checkExtra(body, again, descriptorHighest); err != nil {
		return Descriptor{}, badDescriptor(err)
	}
	if !ed25519.Verify(d.RootKey, signedBytes(body), signature) {
		return Descriptor{}, alarm(AlarmAltered, "the descriptor of %s is not signed by its root key", d.Instance)
	}
	return d, nil
}

// CheckSuccession decides whether next may replace old, both from
// [ParseDescriptor]: [AlarmWrongOwner] if it is of another instance or root
// key, [ErrStale] (of [bundle.KindUnavailable]) if it was issued earlier.
func CheckSuccession(old, next Descriptor) error {
	switch {
	case old.Instance != next.Instance:
		return alarm(AlarmWrongOwner, "the descriptor is of instance %s, not of %s", next.Instance, old.Instance)
	case !old.RootKey.Equal(next.RootKey):
		return alarm(AlarmWrongOwner, "the descriptor of %s is signed by the root key %s instead of %s",
			next.Instance, next.Fingerprint(), old.Fingerprint())
	case next.Issued < old.Issued:
		return bundle.Errorf(bundle.KindUnavailable,
			"the peer answered with an older descriptor of %s; its node lags behind: %w", next.Instance, ErrStale)
	}
	return nil
}

func (d Descriptor) encode() ([]byte, error) {
	b, err := encoding.Marshal(descriptorBody{
		Format: descriptorFormat, Instance: d.Instance, Name: d.Name, RootKey: d.RootKey, LogKeys: d.LogKeys,
		RequestKey: d.RequestKey, Endpoints: d.Endpoints, ProtocolMin: d.ProtocolMin, ProtocolMax: d.ProtocolMax,
		Successor: d.Successor, Issued: d.Issued,
	})
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "encode descriptor: %w", err)
	}
	return b, nil
}

func (d Descriptor) check() error {
	fail := func(what string) error { return bundle.Errorf(bundle.KindInvalid, "descriptor: %s", what) }
	switch {
	case d.Instance == bundle.ID{}:
		return fail("the instance is missing")
	case !printable(d.Name):
		return fail("the name must be 1 to 200 bytes of printable text")
	case len(d.RootKey) != ed25519.PublicKeySize || len(d.RequestKey) != ed25519.PublicKeySize:
		return fail("the root key and the request key are Ed25519 public keys of 32 bytes")
	case len(d.LogKeys) == 0 || len(d.LogKeys) > MaxDescriptorItems:
		return fail("it needs 1 to 16 log keys")
	case len(d.Endpoints) > MaxDescriptorItems:
		return fail("it may name 16 endpoints")
	case d.ProtocolMin == 0 || d.ProtocolMin > d.ProtocolMax:
		return fail("the protocol range is empty or starts below 1")
	case d.Issued < 0:
		return fail("it cannot be issued before 1970")
	}
	if _, err := NewLogVerifiers(d.Instance, d.LogKeys...); err != nil {
		return err
	}
	for _, e := range d.Endpoints {
		if !isEndpoint(e) {
			return fail("an endpoint is not an http or https URL with a host, without user, query and fragment")
		}
	}
	if d.Successor != nil {
		if what := d.Successor.check(); what != "" {
			return fail(what)
		}
	}
	return nil
}

func printable(name string) bool {
	if name == "" || len(name) > MaxDescriptorName || !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func isEndpoint(s string) bool {
	if len(s) > maxEndpoint {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.String() == s
}

func signedBytes(body []byte) []byte { return append([]byte(descriptorContext), body...) }

func badDescriptor(err error) error {
	return bundle.Errorf(bundle.KindInvalid, "not a well-formed descriptor: %w", err)
}
