package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/blockstored/blockstored/bundle"
)

// kindsByCode maps the codes of S3 errors whose status alone doesn't tell what
// a caller can do.
var kindsByCode = map[string]bundle.Kind{
	"NoSuchKey":                      bundle.KindNotFound,
	"NoSuchBucket":                   bundle.KindUnavailable, // never "the blob is gone"
	"PreconditionFailed":             bundle.KindConflict,
	"ConditionalRequestConflict":     bundle.KindConflict,
	"BadDigest":                      bundle.KindCorrupt,
	"InvalidDigest":                  bundle.KindCorrupt,
	"InvalidChecksum":                bundle.KindCorrupt,
	"XAmzContentSHA256Mismatch":      bundle.KindCorrupt,
	"XAmzContentChecksumMismatch":    bundle.KindCorrupt,
	"QuotaExceeded":                  bundle.KindNoSpace,
	"InsufficientStorage":            bundle.KindNoSpace,
	"XMinioStorageFull":              bundle.KindNoSpace,
	"XMinioAdminBucketQuotaExceeded": bundle.KindNoSpace,
	"EntityTooLarge":                 bundle.KindTooLarge,
	"RequestTimeout":                 bundle.KindUnavailable,
	"SlowDown":                       bundle.KindUnavailable,
	"InvalidObjectState":             bundle.KindUnavailable,
	"AuthorizationHeaderMalformed":   bundle.KindUnavailable,
	"PermanentRedirect":              bundle.KindUnavailable,
}

// hints tell an operator what to do about an error that only they can cure.
var hints = map[string]string{
	"NoSuchBucket":                 "the bucket does not exist; create it, or correct storage.s3.bucket and endpoint",
	"AccessDenied":                 "the key may not do this; grant it GetObject, PutObject, DeleteObject, AbortMultipartUpload and ListBucket on the bucket",
	"XAdminUserNotFound":           "the store does not know the access key; correct storage.s3.access_key_id",
	"InvalidAccessKeyId":           "the store does not know the access key; correct storage.s3.access_key_id",
	"SignatureDoesNotMatch":        "the secret key does not fit the access key; correct storage.s3.secret_access_key",
	"ExpiredToken":                 "the session's credentials have expired; renew them where they come from",
	"RequestTimeTooSkewed":         "this machine's clock differs from the store's; set it right",
	"AuthorizationHeaderMalformed": "the region is wrong; correct storage.s3.region",
	"PermanentRedirect":            "the bucket is in another region; correct storage.s3.endpoint and region",
	"InvalidObjectState":           "the object was moved to an archive class; remove the bucket's lifecycle rule and restore it",
	"NotImplemented":               "the store does not support what this needs; use one with conditional writes (If-Match, If-None-Match)",
}

// fail turns err into one with a kind and says what was being done. If ctx has
// ended, its error stays what it is; any other timeout is the store's.
//
// A refusal of this program's own credentials is KindUnavailable, not
// KindForbidden: nothing is wrong with the rights of whoever asked, and it works
// again when the operator has put it right.
func fail(ctx context.Context, err error, format string, args ...any) error {
	doing := fmt.Sprintf(format, args...)
	if ctx.Err() != nil {
		return fmt.Errorf("s3: %s: %w", doing, ctx.Err())
	}
	if _, ok := errors.AsType[*bundle.Error](err); ok {
		return err
	}
	resp, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return bundle.Errorf(bundle.KindUnavailable, "s3: %s: %w", doing, err)
	}
	if hint, ok := hints[resp.Code]; ok {
		return bundle.Errorf(kindOf(resp), "s3: %s: %w: %s", doing, err, hint).With("s3_code", resp.Code)
	}
	return bundle.Errorf(kindOf(resp), "s3: %s: %s: %w", doing, resp.Code, err).With("s3_code", resp.Code)
}

func kindOf(r minio.ErrorResponse) bundle.Kind {
	if k, ok := kindsByCode[r.Code]; ok {
		return k
	}
	switch {
	case r.StatusCode == http.StatusPreconditionFailed:
		return bundle.KindConflict
	case r.StatusCode == http.StatusInsufficientStorage:
		return bundle.KindNoSpace
	case r.StatusCode == http.StatusNotImplemented:
		return bundle.KindOther
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests,
		r.StatusCode == http.StatusRequestTimeout,
		r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden,
		r.StatusCode == http.StatusNotFound: // of something else than the object
		return bundle.KindUnavailable
	}
	return bundle.KindOther
}

// hasCode reports whether the store answered with one of these codes.
func hasCode(err error, codes ...string) bool {
	resp, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if resp.Code == c {
			return true
		}
	}
	return false
}

// hasStatus reports whether the store answered with this HTTP status.
func hasStatus(err error, status int) bool {
	resp, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && resp.StatusCode == status
}
