package storage

import (
	"strings"

	"github.com/blockstored/blockstored/bundle"
)

// Limits that every driver keeps.
const (
	// MaxKey is the longest key, in bytes.
	MaxKey = 512
	// MaxSmall is the largest body of WriteSmall, in bytes.
	MaxSmall = 64 << 10
)

// The suffixes of the store's objects: packs, and blobs that are an object of
// their own.
const (
	packSuffix = ".pack"
	blobSuffix = ".blob"
)

// CheckKey returns an error of KindInvalid unless key is one that every driver
// accepts: at most [MaxKey] bytes of ASCII letters, digits, '.', '-' and '/',
// in segments that are neither empty nor begin with a dot, which keeps "." and
// ".." out and leaves dot names to the drivers. Drivers call it before they
// touch anything.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return bundle.Errorf(bundle.KindInvalid, "storage key of %d bytes: at most %d are allowed", len(key), MaxKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment[0] == '.' {
			return bundle.Errorf(bundle.KindInvalid, "storage key %q: a segment is empty or begins with a dot", key)
		}
	}
	for i := range len(key) {
		c := key[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '/':
		default:
			return bundle.Errorf(bundle.KindInvalid, "storage key %q: only ASCII letters, digits, '.', '-' and '/' are allowed", key)
		}
	}
	return nil
}

// KeyOf returns the key of the object that holds the blob at l: the object's
// digest in hexadecimal, a slash after its second digit, and ".pack" or ".blob".
func KeyOf(l Location) string {
	if l.Packed() {
		return objectKey(l.Object, packSuffix)
	}
	return objectKey(l.Object, blobSuffix)
}

func objectKey(d bundle.Digest, suffix string) string {
	s := d.String()
	return s[:2] + "/" + s[2:] + suffix
}

// parseObjectKey is the inverse of objectKey. ok is false for keys of other
// objects, which the store leaves alone.
func parseObjectKey(key string) (d bundle.Digest, suffix string, ok bool) {
	for _, suffix := range []string{packSuffix, blobSuffix} {
		name, found := strings.CutSuffix(key, suffix)
		if !found || len(name) < 3 || name[2] != '/' {
			continue
		}
		d, err := bundle.ParseDigest(name[:2] + name[3:])
		if err != nil || objectKey(d, suffix) != key {
			continue
		}
		return d, suffix, true
	}
	return bundle.Digest{}, "", false
}
