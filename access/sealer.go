package access

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/blockstored/blockstored/bundle"
	"golang.org/x/crypto/chacha20poly1305"
)

// The names of the instance's secrets in the catalog.
const (
	SecretRootKey    = "root-key"    // Ed25519, signs the descriptor
	SecretLogKey     = "log-key"     // signs checkpoints
	SecretRequestKey = "request-key" // Ed25519, signs requests to peers
	SecretURLKey     = "url-key"     // HMAC key of file URLs

	SecretClusterAuthority = "cluster-ca"       // issues the nodes' certificates: its certificate and key, PEM
	SecretClusterJoinKey   = "cluster-join-key" // HMAC key of join tokens
)

// KeyFile is the name of the file in the data folder that holds the key under
// which secrets are sealed.
const KeyFile = "instance.key"

const (
	sealVersion = 1
	sealContext = "blockstored-secret-v1\x00"
)

// Sealer seals secrets for the catalog, which is replicated and backed up, with
// a key that is in neither. It is safe for concurrent use.
//
// A sealed secret is one byte of version, 1; a nonce of 24 bytes; and the
// XChaCha20-Poly1305 ciphertext, whose additional data is a fixed prefix and
// the secret's name, so that one secret cannot stand in for another.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns the sealer of a 32-byte key.
func NewSealer(key []byte) (*Sealer, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "a sealing key has %d bytes, got %d", chacha20poly1305.KeySize, len(key))
	}
	return &Sealer{aead: aead}, nil
}

// LoadSealer reads the key file. KindNotFound if there is none: without it the
// secrets of an existing catalog are lost, so nothing makes another in its
// place.
func LoadSealer(path string) (*Sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bundle.Errorf(bundle.KindNotFound,
			"%s is missing: restore it from the backup of the instance's key; its secrets cannot be read without", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the instance key: %w", err)
	}
	s, err := NewSealer(key)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "%s: %w", path, err)
	}
	return s, nil
}

// CreateSealer makes the key file with a new key, readable by its owner alone,
// and returns its sealer. The file appears whole and durable or not at all. If
// there is one already, also one made at this moment by another process, it is
// read instead.
func CreateSealer(path string) (*Sealer, error) {
	if _, err := os.Lstat(path); err == nil {
		return LoadSealer(path)
	}
	var key [chacha20poly1305.KeySize]byte
	rand.Read(key[:]) // never fails: crypto/rand
	if err := createFile(path, key[:]); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the instance key: %w", err)
	}
	return LoadSealer(path)
}

// createFile writes a file of mode 0600 under a temporary name, and links it to
// path unless that exists.
func createFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, werr := f.Write(content)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Seal returns secret, sealed under name.
func (s *Sealer) Seal(name string, secret []byte) []byte {
	sealed := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(secret)+chacha20poly1305.Overhead)
	sealed[0] = sealVersion
	nonce := sealed[1:]
	rand.Read(nonce) // never fails: crypto/rand
	return s.aead.Seal(sealed, nonce, secret, sealData(name))
}

// Open returns the secret that was sealed under name. The error is of
// [bundle.KindCorrupt] if it was sealed under another name or key, or changed.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	if len(sealed) < 1+chacha20poly1305.NonceSizeX {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the sealed secret %q is too short", name)
	}
	if sealed[0] != sealVersion {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"the sealed secret %q is of format %d, this program reads %d; upgrade blockstored", name, sealed[0], sealVersion)
	}
	nonce, ciphertext := sealed[1:1+chacha20poly1305.NonceSizeX], sealed[1+chacha20poly1305.NonceSizeX:]
	secret, err := s.aead.Open(nil, nonce, ciphertext, sealData(name))
	if err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt,
			"the sealed secret %q does not open: %s is not the key it was sealed with, or it was changed", name, KeyFile)
	}
	return secret, nil
}

func sealData(name string) []byte { return []byte(sealContext + name) }
