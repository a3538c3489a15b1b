package blockstored_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/blockstoredtest"
	"github.com/blockstored/blockstored/bundle"
)

// socketPath returns the path of a socket that is not there, short enough for
// one, whatever the name of the test.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "api.sock")
}

func withSocket(path string) func(*blockstored.Config) {
	return func(c *blockstored.Config) { c.Socket.Path = path }
}

// overSocket sends a request and returns status and body.
func overSocket(t *testing.T, socket, method, path, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://studio.example"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Token "+token)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestTheHostsSocketServesTheAPIAndAsksForAToken(t *testing.T) {
	path := socketPath(t)
	k := blockstoredtest.New(t, withSocket(path))
	if got := k.Instance.Addresses().Socket; got != path {
		t.Errorf("the socket is said to be %q", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	for _, c := range []struct {
		method, path, token, body string
		status                    int
		shows                     string
	}{
		{"GET", "/health/", "", "", 200, `"OK"`},
		{"GET", "/api/v1/", "", "", 401, "credentials were not provided"},
		{"GET", "/api/v1/", k.Token + "x", "", 401, "Invalid token."},
		{"GET", "/api/v1/", k.Token, "", 200, `"http://localhost/api/v1/bundles"`},
		{"POST", "/api/v1/collections", k.Token, `{"title":"x"}`, 201, `"url":"http://localhost/api/v1/collections/`},
		{"GET", "/admin/v1/status", k.Token, "", 403, "writer"},
	} {
		status, body := overSocket(t, path, c.method, c.path, c.token, c.body)
		if status != c.status || !strings.Contains(body, c.shows) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.method, c.path, status, body, c.status, c.shows)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close the socket is still there: %v", err)
	}
}

func TestOverTheSocketURLsBeginWithThePublicOneWhereItIsSet(t *testing.T) {
	path := socketPath(t)
	k := blockstoredtest.New(t, withSocket(path), func(c *blockstored.Config) { c.PublicURL = "https://blocks.example.org" })
	if _, body := overSocket(t, path, "GET", "/api/v1/", k.Token, ""); !strings.Contains(body, `"https://blocks.example.org/api/v1/bundles"`) {
		t.Error(body)
	}
}

func TestTheSocketHasTheConfiguredModeAndOwner(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 { // others may give away nothing
		uid, gid = 12345, 23456
	}
	for owner, want := range map[string][2]int{
		"":                             {os.Getuid(), os.Getgid()},
		fmt.Sprintf("%d:%d", uid, gid): {uid, gid},
		fmt.Sprintf(":%d", gid):        {os.Getuid(), gid},
		fmt.Sprint(uid):                {uid, os.Getgid()},
	} {
		path := socketPath(t)
		k := blockstoredtest.New(t, withSocket(path), func(c *blockstored.Config) { c.Socket.Mode, c.Socket.Owner = "606", owner })
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o606 {
			t.Fatalf("%v, %v", info, err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			t.Skip("this system does not say whose a file is")
		}
		if got := [2]int{int(stat.Uid), int(stat.Gid)}; got != want {
			t.Errorf("owner %q: the socket belongs to %v, want %v", owner, got, want)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAbandonedSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	k := blockstoredtest.New(t, withSocket(path))
	if status, body := overSocket(t, path, "GET", "/api/v1/", k.Token, ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

func TestASocketOfAnotherProcessStays(t *testing.T) {
	path := socketPath(t)
	k := blockstoredtest.New(t, withSocket(path))
	cfg := config(t.TempDir())
	cfg.Socket.Path = path
	_, err := blockstored.Open(t.Context(), cfg)
	if !bundle.IsKind(err, bundle.KindConflict) || !strings.Contains(err.Error(), "socket.path") {
		t.Errorf("Open on a socket in use answered %v", err)
	}
	if status, _ := overSocket(t, path, "GET", "/api/v1/", k.Token, ""); status != 200 {
		t.Errorf("the first one answers %d afterwards", status)
	}
}

func TestWhatIsNoSocketIsNotReplaced(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"file":   func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":   func(path string) error { return os.Symlink("/nowhere", path) },
	} {
		path := socketPath(t)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		cfg := config(t.TempDir())
		cfg.Socket.Path = path
		_, err := blockstored.Open(t.Context(), cfg)
		if !bundle.IsKind(err, bundle.KindInvalid) || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("%s: Open answered %v", name, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: it is gone: %v", name, err)
		}
	}
}

func TestASocketWithoutAFolderSaysSo(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Socket.Path = filepath.Join(filepath.Dir(socketPath(t)), "missing", "api.sock")
	_, err := blockstored.Open(t.Context(), cfg)
	if !bundle.IsKind(err, bundle.KindUnavailable) || !strings.Contains(err.Error(), "folder must exist") {
		t.Errorf("Open answered %v", err)
	}
}

func TestCloseLeavesASocketThatIsNotItsOwn(t *testing.T) {
	path := socketPath(t)
	k := blockstoredtest.New(t, withSocket(path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("Close removed another's socket: %v", err)
	}
}

func TestAListenerOfTheHostTakesThePlaceOfListen(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range []net.Listener{tcp, unix} {
		k := blockstoredtest.New(t, func(c *blockstored.Config) { c.Listener, c.Listen = ln, "198.51.100.1:1" })
		at := k.Instance.Addresses()
		if ln == tcp {
			if at.API != "http://"+tcp.Addr().String() || at.Socket != "" {
				t.Errorf("it answers at %+v", at)
			}
			if err := k.Client.Healthy(t.Context()); err != nil {
				t.Error(err)
			}
		} else {
			if at.API != "" || at.Socket != unix.Addr().String() {
				t.Errorf("it answers at %+v", at)
			}
			if status, _ := overSocket(t, at.Socket, "GET", "/api/v1/", k.Token, ""); status != 200 {
				t.Errorf("over the host's socket: %d", status)
			}
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close the listener answered %v", err)
		}
	}
}

func TestAListenerIsClosedWhenOpenFails(t *testing.T) {
	taken := socketPath(t)
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*blockstored.Config){
		"at once": func(c *blockstored.Config) { c.Name = "" },
		"late":    func(c *blockstored.Config) { c.Socket.Path = taken },
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg := config(t.TempDir())
		cfg.Listener = ln
		change(&cfg)
		if _, err := blockstored.Open(t.Context(), cfg); err == nil {
			t.Fatal("it opened")
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener answered %v", name, err)
		}
	}
}
