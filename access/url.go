package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
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
	key    []byte
	expiry time.Duration
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
	return &URLSigner{key: key, expiry: max(expiry, time.Minute).Truncate(time.Second)}, nil
}

// Sign returns the query that makes a URL of the given path (unescaped, as in
// [url.URL.Path]) valid from now. The expiry is rounded up, so that the same
// path has the same URL for hours and caches hold it.
func (s *URLSigner) Sign(path string, now time.Time) (query string) {
	step := int64(s.expiry/time.Second) / urlRounds
	expires := now.Add(s.expiry).Unix()
	if rest := expires % step; rest > 0 {
		expires += step - rest
	}
	e := strconv.FormatInt(expires, 10)
	return urlExpires + "=" + e + "&" + urlSignature + "=" + base64.RawURLEncoding.EncodeToString(s.mac(path, e))
}

// Verify returns until when the query allows the path. The error is of
// [bundle.KindForbidden]; other parameters of the query are ignored.
func (s *URLSigner) Verify(path string, query url.Values, now time.Time) (expires time.Time, err error) {
	e := query.Get(urlExpires)
	signature, err := base64.RawURLEncoding.Strict().DecodeString(query.Get(urlSignature))
	if err != nil || !hmac.Equal(signature, s.mac(path, e)) {
		return time.Time{}, bundle.Errorf(bundle.KindForbidden, "The signature of this URL is missing or wrong; get a new URL from the bundle's version.")
	}
	seconds, err := strconv.ParseInt(e, 10, 64)
	if err != nil || now.Unix() >= seconds {
		return time.Time{}, bundle.Errorf(bundle.KindForbidden, "This URL has expired; get a new one from the bundle's version.")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func (s *URLSigner) mac(path, expires string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(urlContext + expires + "\n" + path))
	return h.Sum(nil)
}
