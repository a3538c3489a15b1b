package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blockstored/blockstored/rest/resttest"
)

var (
	contractServer = flag.String("server", "", "base `URL` of a server that claims the contract, to play the tables of exchanges against")
	contractToken  = flag.String("contract-token", "", "a writer's `token` for -server")
)

// TestContract plays the tables of exchanges against the built program, each table
// on an instance of its own: over TCP, and over the host's unix socket. With
// -server they are played in order against that server instead.
func TestContract(t *testing.T) {
	if *contractServer != "" {
		playElsewhere(t, *contractServer, *contractToken)
		return
	}
	exe := buildProgram(t)
	for _, transport := range []struct {
		name string
		base func(announced) (url, socket string)
	}{
		{"TCP", func(at announced) (url, socket string) { return at.API, "" }},
		{"socket", func(at announced) (url, socket string) { return "http://localhost", at.Socket }},
	} {
		total := 0
		t.Run(transport.name, func(t *testing.T) {
			for _, table := range resttest.Tables(t) {
				total += table.Len()
				t.Run(table.Name, func(t *testing.T) {
					t.Parallel()
					at := serveBuilt(t, exe)
					url, socket := transport.base(at)
					play(t, table, url, writerOf(t, exe, at), socket)
				})
			}
		})
		t.Logf("%d exchanges over %s", total, transport.name)
	}
}

// playElsewhere plays the tables one after the other, as they share a store.
func playElsewhere(t *testing.T, url, token string) {
	total := 0
	for _, table := range resttest.Tables(t) {
		total += table.Len()
		t.Run(table.Name, func(t *testing.T) { play(t, table, strings.TrimRight(url, "/"), token, "") })
	}
	t.Logf("%d exchanges with %s", total, url)
}

// play plays a table against the server of that URL, through socket if that is not
// empty.
func play(t *testing.T, table resttest.Table, url, token, socket string) {
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	table.Play(t, resttest.Remote{BaseURL: url, Token: token, Transport: transport})
}

// buildProgram returns the program as users get it.
func buildProgram(t *testing.T) (exe string) {
	exe = filepath.Join(t.TempDir(), "blockstored")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// serveBuilt starts a new instance of the built program, which ends with the test,
// and returns where it answers.
func serveBuilt(t *testing.T, exe string) (at announced) {
	folder, err := os.MkdirTemp("", "bs") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	var stderr bytes.Buffer
	cmd := builtCommand(exe, filepath.Join(folder, "data"), "serve", "--format", "json", "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "BLOCKSTORED_NAME=north", "BLOCKSTORED_SOCKET_PATH="+filepath.Join(folder, "api.sock"))
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, in := io.Pipe()
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = in.Close()
		ended <- err
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve ended with %v:\n%s", err, &stderr)
		}
		stuck.Stop()
	})
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		t.Fatalf("serve did not start: %v\n%s", err, &stderr)
	}
	stuck.Stop()
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
	return at
}

// writerOf makes a token of the instance for the host application.
func writerOf(t *testing.T, exe string, at announced) string {
	out, err := builtCommand(exe, at.Data, "token", "create", "lms", "--role", "writer").Output()
	if err != nil {
		t.Fatalf("token create: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func builtCommand(exe, data string, args ...string) *exec.Cmd {
	cmd := exec.Command(exe, args...)
	mine := func(v string) bool { return strings.HasPrefix(v, envPrefix) } // of whoever runs the tests
	cmd.Env = append(slices.DeleteFunc(os.Environ(), mine), "BLOCKSTORED_DATA="+data)
	return cmd
}
