package blockstored

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Addresses are where this node answers: the URLs of its listeners and the path
// of the host's unix socket, and where other nodes of the instance reach it
// (host:port); "" where it does not listen.
type Addresses struct {
	API, Socket, Peer, Cluster string
}

// maxSocketPath is what every supported system accepts for a unix socket.
const maxSocketPath = 100

// servers are the listeners of one instance and the goroutines that serve them.
type servers struct {
	log     *slog.Logger
	failed  func(error) // a listener has
	running sync.WaitGroup
	list    []*http.Server
	starts  []func() // of those that were not started
	cleanup []func()
	closed  sync.Once
}

// start serves what was added, also a second time after more was.
func (s *servers) start() {
	for _, start := range s.starts {
		start()
	}
	s.starts = nil
}

// add takes charge of ln, which start has srv serve.
func (s *servers) add(ln net.Listener, srv *http.Server) {
	srv.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelWarn) // spoilt handshakes, and panics of handlers
	s.list = append(s.list, srv)
	s.cleanup = append(s.cleanup, func() { _ = ln.Close() }) // in case it was never started
	s.starts = append(s.starts, func() {
		s.running.Go(func() {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				s.failed(fmt.Errorf("listener %s: %w", ln.Addr(), err))
			}
		})
	})
}

// close lets requests in progress finish for a while, then cuts them off, and
// joins the serving goroutines. Once: what has the socket's name later is another's.
func (s *servers) close(grace time.Duration) { s.closed.Do(func() { s.end(grace) }) }

func (s *servers) end(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var wg sync.WaitGroup
	for _, srv := range s.list {
		wg.Go(func() {
			if srv.Shutdown(ctx) != nil {
				_ = srv.Close() // the grace is over: the remaining connections are cut
			}
		})
	}
	wg.Wait()
	s.running.Wait()
	for _, f := range s.cleanup {
		f()
	}
}

// listen binds addr; the error says which key of the configuration to change.
func listen(ctx context.Context, key, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindUnavailable, "cannot listen on %s (%s): %w", addr, key, err)
	}
	return ln, nil
}

// listenAdmin binds the operators' socket, readable by this user alone. Where
// the data folder's path is too long for a socket, the socket lies in a private
// temporary folder and DATA/admin.sock.path says where.
func listenAdmin(ctx context.Context, cfg Config) (net.Listener, func(), error) {
	path := cfg.AdminSocket()
	cleanup := func() {}
	if len(path) > maxSocketPath {
		sum := sha256.Sum256([]byte(path))
		dir, err := os.MkdirTemp("", "blockstored-"+hex.EncodeToString(sum[:4])+"-")
		if err != nil {
			return nil, nil, fmt.Errorf("folder for the admin socket: %w", err)
		}
		pointer := path + ".path"
		path = filepath.Join(dir, "admin.sock")
		if err := os.WriteFile(pointer, []byte(path), 0o600); err != nil {
			return nil, nil, fmt.Errorf("admin socket: %w", err)
		}
		cleanup = func() {
			_ = os.Remove(pointer)
			_ = os.RemoveAll(dir)
		}
	}
	// The data folder is locked by this process, so a socket found here is what
	// a crash left behind.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("admin socket: %w", err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		cleanup()
		return nil, nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return ln, cleanup, nil
}

// FindAdminSocket returns the path of the admin socket of the instance that
// runs on the data folder, which may not run at the moment.
func FindAdminSocket(data string) (string, error) {
	path := Config{Data: data}.AdminSocket()
	pointed, err := os.ReadFile(path + ".path")
	if err == nil {
		return strings.TrimSpace(string(pointed)), nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return path, nil
	}
	return "", fmt.Errorf("admin socket of %s: %w", data, err)
}

// hostServer returns the server of the host's API and of the admin socket.
// Bodies and answers may take long (a 10 GiB file); headers may not.
func hostServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
