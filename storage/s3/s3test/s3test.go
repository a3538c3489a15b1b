// Package s3test gives the tests of whatever keeps objects in a bucket a real
// S3 server, Versity's gateway over a folder.
//
// It is for tests: no program imports it.
package s3test

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/storage/s3/s3test/gatewaytest"
)

// Server is a running gateway.
type Server struct {
	Endpoint                     string // http://127.0.0.1:port
	AccessKeyID, SecretAccessKey string

	t       testing.TB
	gateway *gatewaytest.Gateway
	buckets atomic.Int64
}

// Start runs the gateway on a free loopback port, in a temporary folder, until
// the test ends. [gatewaytest.Find] says which program. Without one the test is
// skipped, or fails if BLOCKSTORED_TEST_NOSKIP is 1.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := gatewaytest.Find()
	if errors.Is(err, gatewaytest.ErrNotFound) && os.Getenv("BLOCKSTORED_TEST_NOSKIP") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	g, err := gatewaytest.Start(t.Context(), program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if log := g.Close(); t.Failed() && log != "" {
			t.Logf("versitygw:\n%s", log)
		}
	})
	return &Server{
		Endpoint: g.Endpoint, AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey, t: t, gateway: g,
	}
}

// NewBucket makes an empty bucket and returns its name.
func (s *Server) NewBucket() string {
	s.t.Helper()
	name := fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	if err := s.gateway.MakeBucket(name); err != nil {
		s.t.Fatal(err)
	}
	return name
}
