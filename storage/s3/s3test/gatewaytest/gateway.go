// Package gatewaytest runs Versity's S3 gateway over a folder: a real S3 server
// for tests (through s3test) and for the side-by-side workloads of bench.
//
// No part of blockstored itself imports it.
package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrNotFound says that there is no program to run, and how to build it.
var ErrNotFound = errors.New("versitygw is not built: " +
	"(cd tools && go build -o ../.cache/bin/versitygw github.com/versity/versitygw/cmd/versitygw)")

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
)

// Gateway is a running gateway.
type Gateway struct {
	Endpoint                     string // http://127.0.0.1:port
	AccessKeyID, SecretAccessKey string

	root   string // the folder whose subfolders are the buckets
	cmd    *exec.Cmd
	exited chan error
	log    *bytes.Buffer // complete once exited is closed
}

// Find returns the program: the one that $VERSITYGW names, versitygw on the
// PATH, or .cache/bin/versitygw of the repository around the working folder,
// where .ci/run builds it. Without one the error is [ErrNotFound].
func Find() (string, error) {
	if p := os.Getenv("VERSITYGW"); p != "" {
		return p, nil
	}
	if p, err := exec.LookPath("versitygw"); err == nil {
		return p, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			p := filepath.Join(dir, ".cache", "bin", "versitygw")
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", ErrNotFound
		}
	}
}

// Start runs program on a free loopback port over the empty folder dir and
// returns when it answers. ctx bounds the start only; the caller ends the
// gateway with [Gateway.Close].
func Start(ctx context.Context, program, dir string) (*Gateway, error) {
	g := &Gateway{AccessKeyID: "s3test", SecretAccessKey: "s3test-secret", root: filepath.Join(dir, "root")}
	args := []string{"--access", g.AccessKeyID, "--secret", g.SecretAccessKey, "--quiet", "--keep-alive"}
	backend := []string{"posix"}
	if err := os.Mkdir(g.root, 0o700); err != nil {
		return nil, err
	}
	if !hasAttributes(g.root) {
		sidecar := filepath.Join(dir, "attributes")
		if err := os.Mkdir(sidecar, 0o700); err != nil {
			return nil, err
		}
		backend = append(backend, "--sidecar", sidecar)
	}
	backend = append(backend, g.root)
	var err error
	for range 3 { // another program may take the port first
		var address string
		if address, err = freeAddress(ctx); err != nil {
			return nil, err
		}
		g.Endpoint = "http://" + address
		if err = g.run(ctx, program, append(append(args, "--port", address), backend...)); err == nil {
			return g, nil
		}
	}
	return nil, fmt.Errorf("start %s: %w", program, err)
}

// MakeBucket makes an empty bucket.
func (g *Gateway) MakeBucket(name string) error { return os.Mkdir(filepath.Join(g.root, name), 0o700) }

// Close ends the gateway, waits for it and returns what it printed.
func (g *Gateway) Close() (log string) {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // an error means that it ended
	select {
	case <-g.exited:
	case <-time.After(stopTimeout):
		_ = g.cmd.Process.Kill()
		<-g.exited
	}
	return g.log.String()
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// run starts the program and waits until it answers.
func (g *Gateway) run(ctx context.Context, program string, args []string) error {
	g.log = new(bytes.Buffer)
	g.cmd = exec.Command(program, args...)
	g.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.root, "TMPDIR=" + os.TempDir()}
	g.cmd.Stdout, g.cmd.Stderr, g.cmd.SysProcAttr = g.log, g.log, withUs()
	g.cmd.WaitDelay = stopTimeout
	if err := g.cmd.Start(); err != nil {
		return err
	}
	g.exited = make(chan error, 1)
	go func() {
		g.exited <- g.cmd.Wait()
		close(g.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, g.Endpoint) {
		select {
		case err := <-g.exited:
			return fmt.Errorf("it ended (%v): %s", err, strings.TrimSpace(g.log.String()))
		case <-ctx.Done():
			return fmt.Errorf("no answer in %v: %s", startTimeout, strings.TrimSpace(g.Close()))
		case <-tick.C:
		}
	}
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
