package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/crypto/blake2b"
)

// ID identifies an instance, collection, bundle or draft: a UUID (RFC 9562),
// version 4 where this program makes it. The zero ID is never valid.
type ID = uuid.UUID

// NewID returns a fresh random ID. It panics only if the system has no
// randomness. Never call it inside a catalog apply: results must depend on the
// command alone.
func NewID() ID { return uuid.New() }

// ParseID reads any spelling of a UUID that uuid.Parse accepts and returns an
// error of [KindInvalid] for anything else, the zero UUID included.
func ParseID(s string) (ID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil {
		return ID{}, Errorf(KindInvalid, "%q is not a valid UUID", s)
	}
	return id, nil
}

// Digest is the SHA-256 (FIPS 180-4) of a blob's bytes: its address in storage,
// on the wire and as an S3 checksum.
type Digest [sha256.Size]byte

// DigestOf returns the Digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads 64 lower- or upper-case hexadecimal digits.
func ParseDigest(s string) (d Digest, err error) {
	if len(s) != 2*len(d) {
		return d, Errorf(KindInvalid, "a digest has %d hexadecimal digits, got %d", 2*len(d), len(s))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, Errorf(KindInvalid, "digest %q: %v", s, err)
	}
	return d, nil
}

// String returns 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements [encoding.TextMarshaler] (hexadecimal).
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}

// Hash20 is a 20-byte digest as the REST API shows it, 40 hexadecimal digits:
// the BLAKE2b-160 (RFC 7693) of a file's bytes, or a snapshot's alias.
type Hash20 [20]byte

// HashOf returns the BLAKE2b-160 of b, the API's hash_digest of a file.
func HashOf(b []byte) Hash20 {
	h := newBlake160()
	h.Write(b)
	return Hash20(h.Sum(nil))
}

// ParseHash20 reads 40 hexadecimal digits.
func ParseHash20(s string) (h Hash20, err error) {
	if len(s) != 2*len(h) {
		return h, Errorf(KindInvalid, "an API digest has %d hexadecimal digits, got %d", 2*len(h), len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash20{}, Errorf(KindInvalid, "digest %q: %v", s, err)
	}
	return h, nil
}

// String returns 40 lower-case hexadecimal digits.
func (h Hash20) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h was never set.
func (h Hash20) IsZero() bool { return h == Hash20{} }

// MarshalText implements [encoding.TextMarshaler] (hexadecimal).
func (h Hash20) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The empty text, which the
// API shows for bytes that are lost, is the zero Hash20.
func (h *Hash20) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*h = Hash20{}
		return nil
	}
	*h, err = ParseHash20(string(b))
	return err
}

// SnapshotAlias returns the API's digest of a snapshot whose manifest has
// digest d: its first 40 hexadecimal digits. Imported versions keep their
// original's digest instead, which then stands in the version's record.
func SnapshotAlias(d Digest) Hash20 { return Hash20(d[:20]) }

// Blob names the content of one file: address, API hash and length in bytes.
type Blob struct {
	Digest Digest
	Hash   Hash20
	Size   int64
}

// BlobOf returns the Blob of b.
func BlobOf(b []byte) Blob { return Blob{Digest: DigestOf(b), Hash: HashOf(b), Size: int64(len(b))} }

// Hasher computes a Blob from a stream. The zero value is not usable: use
// [NewHasher]. It is an [io.Writer] that never fails.
type Hasher struct {
	sha, blake hashState
	n          int64
}

type hashState interface {
	Write([]byte) (int, error)
	Sum([]byte) []byte
}

// NewHasher returns a Hasher of the empty stream.
func NewHasher() *Hasher { return &Hasher{sha: sha256.New(), blake: newBlake160()} }

// Write adds p to the stream.
func (h *Hasher) Write(p []byte) (int, error) {
	h.sha.Write(p)
	h.blake.Write(p)
	h.n += int64(len(p))
	return len(p), nil
}

// Blob returns the Blob of everything written so far.
func (h *Hasher) Blob() Blob {
	return Blob{Digest: Digest(h.sha.Sum(nil)), Hash: Hash20(h.blake.Sum(nil)), Size: h.n}
}

func newBlake160() hashState {
	h, err := blake2b.New(len(Hash20{}), nil)
	if err != nil {
		panic(fmt.Sprintf("blake2b-160: %v", err)) // only for a wrong size or key length
	}
	return h
}
