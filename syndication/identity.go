package syndication

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// ProtocolVersion is the peer protocol this program speaks.
const ProtocolVersion = 1

// IdentityParams describe a new instance.
type IdentityParams struct {
	Name      string    // the display name, may change later
	Endpoints []string  // URLs of its peer listener, may be none and may change
	Now       time.Time // when its descriptor is issued
}

// NewIdentity makes a new instance's id and keys, and returns the command that
// brings it into being, with its signed descriptor and its sealed secrets.
func NewIdentity(sealer *access.Sealer, p IdentityParams) (catalog.InitInstance, error) {
	id := bundle.NewID()
	rootPublic, root, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return catalog.InitInstance{}, err
	}
	requestPublic, request, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return catalog.InitInstance{}, err
	}
	logKey, logVerifier, err := publog.GenerateLogKey(rand.Reader, id)
	if err != nil {
		return catalog.InitInstance{}, err
	}
	signed, err := publog.SignDescriptor(publog.Descriptor{
		Instance: id, Name: p.Name, RootKey: rootPublic, LogKeys: []string{logVerifier}, RequestKey: requestPublic,
		Endpoints: p.Endpoints, ProtocolMin: ProtocolVersion, ProtocolMax: ProtocolVersion, Issued: p.Now.UnixMicro(),
	}, root)
	if err != nil {
		return catalog.InitInstance{}, err
	}
	secrets := map[string][]byte{
		access.SecretRootKey:    root.Seed(),
		access.SecretRequestKey: request.Seed(),
		access.SecretLogKey:     []byte(logKey),
		access.SecretURLKey:     access.NewURLKey(),
	}
	for name, secret := range secrets {
		secrets[name] = sealer.Seal(name, secret)
	}
	return catalog.InitInstance{Instance: id, Name: p.Name, Descriptor: signed, Generation: 1, Secrets: secrets}, nil
}

// Identity is this instance towards others: it signs descriptors, checkpoints
// and requests. It does not change and is safe for concurrent use; after an
// update of the instance, load it again.
type Identity struct {
	signed     []byte
	descriptor publog.Descriptor
	root       ed25519.PrivateKey
	request    ed25519.PrivateKey
	logKey     string
}

// LoadIdentity reads the instance's identity from the catalog. KindNotFound
// before the instance was initialised.
func LoadIdentity(v *catalog.View, sealer *access.Sealer) (*Identity, error) {
	instance, err := v.Instance()
	if err != nil {
		return nil, err
	}
	id := &Identity{signed: instance.Descriptor}
	if id.descriptor, err = publog.ParseDescriptor(instance.Descriptor); err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the stored descriptor of this instance: %w", err)
	}
	open := func(name string) ([]byte, error) {
		sealed, err := v.Secret(name)
		if err != nil {
			return nil, err
		}
		return sealer.Open(name, sealed)
	}
	root, err := open(access.SecretRootKey)
	if err != nil {
		return nil, err
	}
	request, err := open(access.SecretRequestKey)
	if err != nil {
		return nil, err
	}
	logKey, err := open(access.SecretLogKey)
	if err != nil {
		return nil, err
	}
	if len(root) != ed25519.SeedSize || len(request) != ed25519.SeedSize {
		return nil, bundle.Errorf(bundle.KindCorrupt, "a stored key of this instance has the wrong length")
	}
	id.root, id.request, id.logKey = ed25519.NewKeyFromSeed(root), ed25519.NewKeyFromSeed(request), string(logKey)
	return id, nil
}

// ID returns the instance's id.
func (id *Identity) ID() bundle.ID { return id.descriptor.Instance }

// Descriptor returns what the instance says of itself.
func (id *Identity) Descriptor() publog.Descriptor { return id.descriptor }

// SignedDescriptor returns the descriptor as it is sent. The caller must not
// change it.
func (id *Identity) SignedDescriptor() []byte { return id.signed }

// Describe returns the command that gives the instance this name and these
// endpoints, and whether there is anything to change. Peers need not be told:
// they see with their next poll that the descriptor is another.
func (id *Identity) Describe(name string, endpoints []string, now time.Time) (catalog.UpdateInstance, bool, error) {
	d := id.descriptor
	if d.Name == name && slices.Equal(d.Endpoints, endpoints) && d.ProtocolMin == ProtocolVersion && d.ProtocolMax == ProtocolVersion {
		return catalog.UpdateInstance{}, false, nil
	}
	d.Name, d.Endpoints = name, endpoints
	d.ProtocolMin, d.ProtocolMax = ProtocolVersion, ProtocolVersion
	d.Issued = max(now.UnixMicro(), d.Issued+1)
	signed, err := publog.SignDescriptor(d, id.root)
	if err != nil {
		return catalog.UpdateInstance{}, false, err
	}
	return catalog.UpdateInstance{Name: name, Descriptor: signed}, true, nil
}

// signCheckpoint returns c as a signed note.
func (id *Identity) signCheckpoint(c publog.Checkpoint) ([]byte, error) {
	signer, err := publog.NewLogSigner(id.logKey)
	if err != nil {
		return nil, err
	}
	return publog.Sign(c, signer)
}
