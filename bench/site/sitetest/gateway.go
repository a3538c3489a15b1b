package sitetest

import (
	"errors"
	"os"
	"testing"

	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

// NeedGateway skips t where there is no S3 gateway to start, and lets it fail in
// CI, where BLOCKSTORED_TEST_NOSKIP is 1.
func NeedGateway(t *testing.T) {
	t.Helper()
	if _, err := gatewaytest.Find(); errors.Is(err, gatewaytest.ErrNotFound) && os.Getenv("BLOCKSTORED_TEST_NOSKIP") != "1" {
		t.Skip(err)
	}
}
