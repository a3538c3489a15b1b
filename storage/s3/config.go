package s3

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Limits of the protocol and of this driver.
const (
	// memoryLimit is the most an upload holds in memory before it spools.
	memoryLimit = 4 << 20
	// singlePutLimit is the largest object of one PUT; S3 allows 5 GiB.
	singlePutLimit = 5 << 30
	// minPartSize is the size of a part where 10 000 of them are enough.
	minPartSize = 64 << 20
	maxParts    = 10_000
	// defaultAttempts bounds the tries of one request; the waits between them
	// add up to about three seconds.
	defaultAttempts = 5
)

// Config says which bucket to use and how to reach it.
type Config struct {
	// Endpoint is the store's address, http://host:port or https://host[:port],
	// without a path.
	Endpoint string
	// Bucket must exist unless CreateBucket is set.
	Bucket string
	// Prefix is put before every key, so that one bucket can serve several
	// purposes. A missing final slash is added. Empty for none.
	Prefix string
	// Region of the bucket; empty asks the store.
	Region string

	// AccessKeyID and SecretAccessKey sign every request. If both are empty
	// they are looked for in the environment (AWS_ACCESS_KEY_ID …), in
	// ~/.aws/credentials, which is read again every minute, and in the
	// machine's or container's role, which is renewed before it expires.
	AccessKeyID, SecretAccessKey string

	// TempDir holds uploads of more than 4 MiB until they are committed; empty
	// for the system's. The files have no name and vanish with the process.
	TempDir string

	// PathStyle forces http://host/bucket/key. Otherwise that form is used for
	// all stores but Amazon's.
	PathStyle bool

	// PublicEndpoint is the address that PresignGet puts in its URLs; empty for
	// Endpoint. PresignAccessKeyID and PresignSecretAccessKey sign them: a
	// long-lived key of its own, as a URL dies with the session that signed it.
	// Empty for the key above.
	PublicEndpoint                             string
	PresignAccessKeyID, PresignSecretAccessKey string

	// CreateBucket makes Open create a missing bucket.
	CreateBucket bool

	// Attempts is how often a request that failed for a passing reason is
	// tried in all; 0 for 5, 1 for no second try.
	Attempts int

	// Transport replaces the driver's own HTTP transport, which has sensible
	// timeouts and connection limits. The caller closes it.
	Transport http.RoundTripper
	// Logger receives warnings about the store; nil for none.
	Logger *slog.Logger
	// Now is the clock by which credentials files are read again; nil for
	// time.Now.
	Now func() time.Time
}

// check validates c and fills in the defaults.
func (c *Config) check() error {
	if _, err := parseEndpoint("endpoint", c.Endpoint); err != nil {
		return err
	}
	if c.Bucket == "" {
		return bundle.Errorf(bundle.KindInvalid, "s3: bucket is empty; name the bucket that is to hold the objects")
	}
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		return bundle.Errorf(bundle.KindInvalid,
			"s3: access_key_id and secret_access_key go together; set both, or neither to take them from the environment")
	}
	if (c.PresignAccessKeyID == "") != (c.PresignSecretAccessKey == "") {
		return bundle.Errorf(bundle.KindInvalid, "s3: the key for presigned URLs needs both its id and its secret")
	}
	if c.PublicEndpoint == "" {
		c.PublicEndpoint = c.Endpoint
	}
	if _, err := parseEndpoint("public_endpoint", c.PublicEndpoint); err != nil {
		return err
	}
	c.Prefix = strings.TrimPrefix(c.Prefix, "/")
	if c.Prefix != "" && !strings.HasSuffix(c.Prefix, "/") {
		c.Prefix += "/"
	}
	if c.Attempts <= 0 {
		c.Attempts = defaultAttempts
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// parseEndpoint reads scheme://host[:port] and nothing more.
func parseEndpoint(name, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return nil, bundle.Errorf(bundle.KindInvalid,
			"s3: %s %q is not an address; write it as http://host:port or https://host", name, s)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, bundle.Errorf(bundle.KindInvalid,
			"s3: %s %q must end after the host and port; the bucket, prefix and key have settings of their own", name, s)
	}
	return u, nil
}
