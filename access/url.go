package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// DefaultURLExpiry is how long the URL of a file is valid at least.
const DefaultURLExpiry = 24 * time.Hour

const (
	urlKeyBytes  = 32
	urlContext   = "blockstored-url-v1\n"
	urlRounds    = 4 // a URL stays the same for a quarter of its time
	urlExpires   = "expires"
	urlSignature = "signature"
)

// URLSigner signs the URLs of files, so that a browser gets a file without a
// token. What is signed is path and expiry, never the host: the same URL holds
// behind any name and proxy. It is safe for concurrent use.
type URLSigner struct {
	expiry time.Duration
	macs   sync.Pool // of *urlMAC, keyed
}

// urlMAC is a keyed MAC to use again: setting one up costs as much as signing.
type urlMAC struct {
	hash.Hash
	buf []byte
}

// NewURLKey makes the key of a [URLSigner], the secret [SecretURLKey].
func NewURLKey() []byte {
	key := make([]byte, urlKeyBytes)
	rand.Read(key) // never fails: crypto/rand
	return key
}

// NewURLSigner returns a signer whose URLs are valid for expiry at least and a
// quarter more at most; 0 means [DefaultURLExpiry], less than a minute is a
// minute.
func NewURLSigner(key []byte, expiry time.Duration) (*URLSigner, error) {
	if len(key) != urlKeyBytes {
		return nil, bundle.Errorf(bundle.KindInvalid, "a URL key has %d bytes, got %d", urlKeyBytes, len(key))
	}
	if expiry == 0 {
		expiry = DefaultURLExpiry
	}
	s := &URLSigner{expiry: max(expiry, time.Minute).Truncate(time.Second)}
	s.macs.New = func() any { return &urlMAC{Hash: hmac.New(sha256.New, key)} }
	return s, nil
}

// Sign returns the query that makes a URL of the given path (unescaped, as in
// [url.URL.Path]) valid from now. The expiry is rounded up, so that the same
// path has the same URL for hours and caches hold it.
func (s *URLSigner) Sign(path string, now time.Time) (query string) {
	return string(s.AppendQuery(nil, []byte(path), now))
}

// AppendQuery appends to b what [URLSigner.Sign] returns, for who signs many.
func (s *URLSigner) AppendQuery(b, path []byte, now time.Time) []byte {
	step := int64(s.expiry/time.Second) / urlRounds
	expires := now.Add(s.expiry).Unix()
	if rest := expires % step; rest > 0 {
		expires += step - rest
	}
	b = append(b, urlExpires+"="...)
	from := len(b)
	b = strconv.AppendInt(b, expires, 10)
	mac := s.mac(path, b[from:])
	b = append(b, "&"+urlSignature+"="...)
	return base64.RawURLEncoding.AppendEncode(b, mac[:])
}

// Verify returns until when the query allows the path. The error is of
// [bundle.KindForbidden]; other parameters of the query are ignored.
func (s *URLSigner) Verify(path string, query url.Values, now time.Time) (expires time.Time, err error) {
	e := query.Get(urlExpires)
	mac := s.mac([]byte(path), []byte(e))
	signature, err := base64.RawURLEncoding.Strict().DecodeString(query.Get(urlSignature))
	if err != nil || !hmac.Equal(signature, mac[:]) {
		return time.Time{}, bundle.Errorf(bundle.KindForbidden, "The signature of this URL is missing or wrong; get a new URL from the bundle's version.")
	}
	seconds, err := strconv.ParseInt(e, 10, 64)
	if err != nil || now.Unix() >= seconds {
		return time.Time{}, bundle.Errorf(bundle.KindForbidden, "This URL has expired; get a new one from the bundle's version.")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func (s *URLSigner) mac(path, expires []byte) (sum [sha256.Size]byte) {
	m := s.macs.Get().(*urlMAC)
	defer s.macs.Put(m)
	m.Reset()
	m.buf = append(append(m.buf[:0], urlContext...), expires...)
	m.buf = append(append(m.buf, '\n'), path...)
	m.Write(m.buf)
	m.buf = m.Sum(m.buf[:0])
	copy(sum[:], m.buf)
	return sum
}
