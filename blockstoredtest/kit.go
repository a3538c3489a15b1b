package blockstoredtest

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// Kit is a running instance and what a test needs to talk to it.
type Kit struct {
	// Instance runs until the test ends or [Kit.Close] is called. Its methods
	// are those of Client, without HTTP and without a token.
	Instance *blockstored.Instance
	// Config is what the instance was opened with, after every change.
	Config blockstored.Config
	// URL is the base of the host's API, http://127.0.0.1:PORT; "" if a change
	// emptied Config.Listen.
	URL string
	// Token is a writer's token, what a host application holds.
	Token string
	// Client talks to URL with Token; nil if URL is "".
	Client *client.Client
	// Admin talks to the operators' socket, which asks for no token: tokens,
	// invitations, peers, and everything Client can do.
	Admin *client.Client

	close sync.Once
	err   error
}

// New opens an instance in a temporary folder of t and ends it when t and its
// subtests have ended. Each change is made to the configuration before the
// instance is opened: by default its listeners are on free loopback ports and
// warnings go to t's log. A failure, also one of closing, fails t.
//
// New calls t.FailNow and so must run in the test's own goroutine.
func New(t testing.TB, change ...func(*blockstored.Config)) *Kit {
	t.Helper()
	cfg := blockstored.DefaultConfig(t.TempDir())
	cfg.Listen, cfg.Peer.Listen, cfg.Cluster.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	for _, f := range change {
		f(&cfg)
	}
	inst, err := blockstored.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open an instance: %v", err)
	}
	k := &Kit{Instance: inst, Config: cfg, URL: inst.Addresses().API}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("close the instance: %v", err)
		}
	})
	if err := k.connect(t); err != nil {
		t.Fatalf("connect to the instance: %v", err)
	}
	return k
}

// connect makes the clients and the writer's token.
func (k *Kit) connect(t testing.TB) error {
	socket, err := blockstored.FindAdminSocket(k.Config.Data)
	if err != nil {
		return err
	}
	if k.Admin, err = client.New(client.Config{Socket: socket}); err != nil {
		return err
	}
	name := "blockstoredtest-" + bundle.NewID().String() // the folder may hold an earlier kit's
	token, err := k.Admin.CreateToken(t.Context(), name, "writer", 0)
	if err != nil {
		return err
	}
	k.Token = token.Token
	if k.URL == "" {
		return nil
	}
	k.Client, err = client.New(client.Config{Server: k.URL, Token: k.Token})
	return err
}

// Close ends the instance before the test does, as a stop of the program would:
// its folder stays, and [blockstored.Open] with Config opens it again. Calling
// it again returns the first result.
func (k *Kit) Close() error {
	k.close.Do(func() {
		for _, c := range []*client.Client{k.Client, k.Admin} {
			if c != nil {
				c.Close()
			}
		}
		k.err = k.Instance.Close()
	})
	return k.err
}
