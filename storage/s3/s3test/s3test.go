// Package s3test runs a real S3 server, Versity's gateway over a folder, for
// the tests of whatever keeps objects in a bucket.
//
// It is for tests: no program imports it.
package s3test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Server is a running gateway.
type Server struct {
	Endpoint                     string // http://127.0.0.1:port
	AccessKeyID, SecretAccessKey string

	t       testing.TB
	root    string
	buckets atomic.Int64
}

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
)

// Start runs the gateway on a free loopback port, in a temporary folder, until
// the test ends. The program is the one that $VERSITYGW names, versitygw on the
// PATH, or .cache/bin/versitygw of this repository, where .ci/run builds it.
// Without one the test is skipped, or fails if BLOCKSTORED_TEST_NOSKIP is 1.
func Start(t testing.TB) *Server {
	t.Helper()
	program := find(t)
	dir := t.TempDir()
	s := &Server{AccessKeyID: "s3test", SecretAccessKey: "s3test-secret", t: t, root: filepath.Join(dir, "root")}
	args := []string{"--access", s.AccessKeyID, "--secret", s.SecretAccessKey, "--quiet", "--keep-alive"}
	backend := []string{"posix"}
	if err := os.Mkdir(s.root, 0o700); err != nil {
		t.Fatal(err)
	}
	if !hasAttributes(s.root) {
		sidecar := filepath.Join(dir, "attributes")
		if err := os.Mkdir(sidecar, 0o700); err != nil {
			t.Fatal(err)
		}
		backend = append(backend, "--sidecar", sidecar)
	}
	backend = append(backend, s.root)
	var err error
	for range 3 { // another program may take the port first
		port := freePort(t)
		s.Endpoint = "http://" + port
		if err = s.run(program, append(append(args, "--port", port), backend...)); err == nil {
			return s
		}
	}
	t.Fatalf("start %s: %v", program, err)
	return nil
}

// NewBucket makes an empty bucket and returns its name.
func (s *Server) NewBucket() string {
	s.t.Helper()
	name := fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	if err := os.Mkdir(filepath.Join(s.root, name), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// find returns the gateway's program or ends the test.
func find(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("VERSITYGW"); p != "" {
		return p
	}
	if p, err := exec.LookPath("versitygw"); err == nil {
		return p
	}
	if top, err := moduleRoot(); err == nil {
		p := filepath.Join(top, ".cache", "bin", "versitygw")
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	const how = "versitygw is not built: (cd tools && go build -o ../.cache/bin/versitygw github.com/versity/versitygw/cmd/versitygw)"
	if os.Getenv("BLOCKSTORED_TEST_NOSKIP") == "1" {
		t.Fatal(how)
	}
	t.Skip(how)
	return ""
}

// moduleRoot returns the folder of go.mod above the test's working folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", os.ErrNotExist
		}
		dir = parent
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts the program, waits until it answers, and stops it when the test
// ends.
func (s *Server) run(program string, args []string) error {
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.root, "TMPDIR=" + os.TempDir()}
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = stopTimeout
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, s.Endpoint) {
		select {
		case err := <-exited:
			return fmt.Errorf("it ended (%v): %s", err, strings.TrimSpace(log.String()))
		case <-ctx.Done():
			stop(cmd, exited)
			return fmt.Errorf("no answer in %v: %s", startTimeout, strings.TrimSpace(log.String()))
		case <-tick.C:
		}
	}
	s.t.Cleanup(func() {
		stop(cmd, exited)
		if s.t.Failed() && log.Len() > 0 {
			s.t.Logf("versitygw:\n%s", log.String())
		}
	})
	return nil
}

// answers reports whether an HTTP server is there, whatever it says.
func answers(ctx context.Context, endpoint string) bool {
	tr := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return false
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}

// stop ends the process and waits for it.
func stop(cmd *exec.Cmd, exited <-chan error) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // an error means that it ended
	select {
	case <-exited:
	case <-time.After(stopTimeout):
		_ = cmd.Process.Kill()
		<-exited
	}
}
