package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// healthyWithin is how long a start may take before it counts as failed.
	healthyWithin = 60 * time.Second
	// stopWithin is how long a gentle end may take.
	stopWithin = 30 * time.Second
	healthTick = 2 * time.Millisecond
)

// Config describes a site.
type Config struct {
	Program Program
	// Dir gets the data folder, the configuration and the log; it must be empty.
	Dir  string
	Name string
	// PeerAddress is the URL that peers are told; empty: the peer listener's.
	PeerAddress string
	// PeerListen is the address of the peer listener; empty: a free one.
	PeerListen string
	Store      Store
	// Settings are further lines of the configuration, each below a key that the
	// fields above do not set.
	Settings string
}

// Site is one instance on one node: a data folder, fixed addresses, and a
// process that may run or not. Its methods are for one goroutine, except those
// that only read: Data, URL, API and the commands.
type Site struct {
	cfg    Config
	data   string
	config string
	listen string

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	log    *os.File
	api    *API
}

// New writes the configuration and runs `blockstored init`. The caller starts
// the process with [Site.Start] and ends it with [Site.Close].
func New(ctx context.Context, cfg Config) (*Site, error) {
	s := &Site{cfg: cfg, data: filepath.Join(cfg.Dir, "data"), config: filepath.Join(cfg.Dir, "config.yaml")}
	var err error
	if s.listen, err = FreeAddress(ctx); err != nil {
		return nil, err
	}
	if cfg.PeerListen == "" {
		if s.cfg.PeerListen, err = FreeAddress(ctx); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.config, []byte(s.yaml()), 0o600); err != nil {
		return nil, err
	}
	if s.log, err = os.OpenFile(filepath.Join(cfg.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if _, err := cfg.Program.run(ctx, nil, "init", "--config", s.config); err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	return s, nil
}

func (s *Site) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %q\ndata: %q\nlisten: %q\n", s.cfg.Name, s.data, s.listen)
	fmt.Fprintf(&b, "peer:\n  listen: %q\n", s.cfg.PeerListen)
	if s.cfg.PeerAddress != "" {
		fmt.Fprintf(&b, "  addresses: [%q]\n", s.cfg.PeerAddress)
	}
	b.WriteString(s.cfg.Store.yaml())
	b.WriteString(s.cfg.Settings)
	return b.String()
}

// Start runs `blockstored serve` and returns how long it took from the start of
// the process to the first healthy answer.
func (s *Site) Start(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := s.Launch(); err != nil {
		return 0, err
	}
	if err := s.waitHealthy(ctx); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// Launch runs `blockstored serve` and does not wait for it.
func (s *Site) Launch() error {
	if s.running() {
		return fmt.Errorf("site %s runs already", s.cfg.Name)
	}
	cmd := exec.Command(string(s.cfg.Program), "serve", "--config", s.config)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in the log; who killed it knows
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	return nil
}

func (s *Site) waitHealthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthyWithin)
	defer cancel()
	tick := time.NewTicker(healthTick)
	defer tick.Stop()
	for !s.healthy(ctx) {
		select {
		case <-s.exited:
			return fmt.Errorf("site %s ended while starting:\n%s", s.cfg.Name, s.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("site %s is not healthy: %w\n%s", s.cfg.Name, ctx.Err(), s.LogTail())
		case <-tick.C:
		}
	}
	return nil
}

// healthy reports whether /health/ answers 200.
func (s *Site) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/health/", nil)
	if err != nil {
		return false
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Kill ends the process with SIGKILL, as a power cut of the program would, and
// waits until it is gone. It does nothing to a process that has ended.
func (s *Site) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.cmd = nil
	if s.api != nil {
		s.api.Close()
	}
}

// Stop ends the process with SIGTERM and fails if it does not go.
func (s *Site) Stop() error {
	if s.cmd == nil {
		return nil
	}
	if s.api != nil {
		s.api.Close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		s.cmd = nil
		return nil
	case <-time.After(stopWithin):
		s.Kill()
		return fmt.Errorf("site %s did not end within %v of SIGTERM:\n%s", s.cfg.Name, stopWithin, s.LogTail())
	}
}

// Close stops the process and gives up what the site holds; the files stay.
func (s *Site) Close() error { return errors.Join(s.Stop(), s.log.Close()) }

func (s *Site) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Exited is closed when the process that was started last has ended.
func (s *Site) Exited() <-chan struct{} { return s.exited }

// Data returns the data folder.
func (s *Site) Data() string { return s.data }

// URL returns the base of the host's API.
func (s *Site) URL() string { return "http://" + s.listen }

// Listen returns the address of the host's API.
func (s *Site) Listen() string { return s.listen }

// logTail is how much of the log an error shows.
const logTail = 4 << 10

// LogTail returns the end of the process' log.
func (s *Site) LogTail() string {
	content, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTail):])
}

// Races returns how often the race detector spoke up in the process' log, of a
// program that [BuildRace] made, and the log from the first time on.
func (s *Site) Races() (int, string, error) {
	content, err := os.ReadFile(s.log.Name())
	if err != nil {
		return 0, "", err
	}
	mark := []byte("WARNING: DATA RACE")
	at := bytes.Index(content, mark)
	if at < 0 {
		return 0, "", nil
	}
	return bytes.Count(content, mark), string(content[at:min(len(content), at+logTail)]), nil
}

// The ports that FreeAddress chooses from. They lie below those that systems give
// to outgoing connections: a client that dials while a site is down must not get
// the site's port as its own.
const (
	firstPort = 12_000
	endPort   = 32_000
)

// FreeAddress returns a loopback address with a port that nobody listened on a
// moment ago, and that no outgoing connection takes.
func FreeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	var last error
	for range 100 {
		port := firstPort + rand.IntN(endPort-firstPort)
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("no free port on 127.0.0.1: %w", last)
}
