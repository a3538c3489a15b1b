package s3

import (
	"context"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// fileRefresh is how long keys read from a file are used before it is read
	// again, so that a rotated key needs no restart. (minio-go would read the
	// file for each request.)
	fileRefresh = time.Minute
	// roleTimeout bounds one question to the machine's metadata service, which
	// on most machines doesn't exist.
	roleTimeout = 5 * time.Second
)

// newCredentials returns the configured key, or the chain of the places where
// keys are usually kept.
func newCredentials(cfg Config, rt http.RoundTripper) *credentials.Credentials {
	if cfg.AccessKeyID != "" {
		return credentials.NewStaticV4(cfg.AccessKeyID, cfg.SecretAccessKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&refreshing{Provider: &credentials.FileAWSCredentials{}, every: fileRefresh, now: cfg.Now},
		&credentials.IAM{Client: &http.Client{Transport: rt, Timeout: roleTimeout}},
	})
}

// checkCredentials reports a chain that ends without a key, which minio-go
// would take as a wish to be anonymous.
func checkCredentials(ctx context.Context, c *credentials.Credentials, rt http.RoundTripper) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v, err := c.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: rt}})
	if err != nil {
		return bundle.Errorf(bundle.KindUnavailable, "s3: read credentials: %w", err)
	}
	if v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return bundle.Errorf(bundle.KindInvalid,
			"s3: found no credentials; set access_key_id and secret_access_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, ~/.aws/credentials, or give this machine a role")
	}
	return nil
}

// refreshing keeps another provider's credentials for a while, or until shortly
// before they expire. minio-go serializes its calls.
type refreshing struct {
	credentials.Provider
	every time.Duration
	now   func() time.Time
	until time.Time
}

// RetrieveWithCredContext implements [credentials.Provider].
func (r *refreshing) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := r.Provider.RetrieveWithCredContext(cc)
	if err != nil {
		return v, err
	}
	r.until = r.now().Add(r.every)
	if early := v.Expiration.Add(-10 * time.Second); !v.Expiration.IsZero() && early.Before(r.until) {
		r.until = early
	}
	return v, nil
}

// IsExpired implements [credentials.Provider].
func (r *refreshing) IsExpired() bool { return !r.now().Before(r.until) }
