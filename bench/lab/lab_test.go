package lab_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) {
	if dir := os.Getenv(holds); dir != "" {
		os.Exit(hold(dir))
	}
	os.Exit(sitetest.Main(m, &program))
}

// open starts a lab of nodes with networks and disks of their own.
func open(t *testing.T, nodes int) *lab.Lab {
	t.Helper()
	need(t)
	l, err := lab.Open(t.Context(), lab.Options{Program: program, Dir: t.TempDir(), Nodes: nodes, Namespaces: true, Disk: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// need skips t where a lab cannot be.
func need(t *testing.T) {
	t.Helper()
	sitetest.NeedGateway(t)
	if os.Getuid() != 0 && os.Getenv("BLOCKSTORED_TEST_NOSKIP") != "1" {
		t.Skip("namespaces and disks need root")
	}
}

// host is a host application's view of an instance: an API at each node, and a
// bundle.
type host struct {
	l      *lab.Lab
	token  string
	bundle string
	acked  map[int]string // content of acknowledged versions
}

func newHost(t *testing.T, l *lab.Lab) *host {
	t.Helper()
	token, collection, err := l.ForHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := &host{l: l, token: token, acked: map[int]string{}}
	h.at(t, l.Nodes()[0], func(a *site.API) { h.bundle, err = a.CreateBundle(t.Context(), collection, "b") })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// at calls fn with the API at a node.
func (h *host) at(t *testing.T, n *lab.Node, fn func(a *site.API)) {
	t.Helper()
	a := site.NewAPI(n.URL(), h.token)
	defer a.Close()
	fn(a)
}

// commit makes a version through a node; an error leaves open whether it is there.
func (h *host) commit(ctx context.Context, t *testing.T, n *lab.Node) (err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // one attempt
	defer cancel()
	content := rand.Text()
	h.at(t, n, func(a *site.API) {
		var draft string
		if draft, err = a.CreateDraft(ctx, h.bundle, content); err != nil {
			return
		}
		if err = a.PatchDraft(ctx, draft, map[string][]byte{"a.txt": []byte(content)}); err != nil {
			return
		}
		version, failed := a.Commit(ctx, draft, content)
		if err = failed; err == nil {
			h.acked[version] = content
		}
	})
	return err
}

// commits makes a version through a node, however often that has to be tried.
func (h *host) commits(t *testing.T, n *lab.Node) {
	t.Helper()
	if err := lab.Until(t.Context(), func(ctx context.Context) error { return h.commit(ctx, t, n) }); err != nil {
		t.Fatalf("a write at %s: %v\n%s", n.Name(), err, n.LogTail())
	}
}

// whole waits until all nodes are well again and hold the same, with every
// acknowledged version.
func (h *host) whole(t *testing.T) {
	t.Helper()
	if err := h.l.Await(t.Context(), len(h.l.Nodes())); err != nil {
		t.Fatal(err)
	}
	if _, err := h.l.SameState(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range h.l.Nodes() {
		h.at(t, n, func(a *site.API) {
			for version, content := range h.acked {
				files, err := a.Fetch(t.Context(), site.Listed{Bundle: h.bundle, Version: version})
				if err != nil || string(files["a.txt"]) != content {
					t.Errorf("version %d at %s holds %q, acknowledged with %q: %v", version, n.Name(), files["a.txt"], content, err)
				}
			}
		})
	}
}

// refuses waits until a node refuses changes with 503 and marks what it shows as
// possibly old.
func (h *host) refuses(t *testing.T, n *lab.Node) {
	t.Helper()
	err := lab.Until(t.Context(), func(ctx context.Context) (err error) {
		h.at(t, n, func(a *site.API) {
			for _, try := range []struct {
				method, path string
				status       int
				stale        string
			}{{http.MethodPost, "collections", http.StatusServiceUnavailable, ""}, {http.MethodGet, "bundles/" + h.bundle, http.StatusOK, "true"}} {
				answer, failed := a.Answer(ctx, try.method, try.path, "", map[string]string{"title": "c"})
				if answer.Status == http.StatusCreated {
					t.Fatalf("%s acknowledges a change without the others", n.Name())
				}
				if failed != nil || answer.Status != try.status || (try.stale != "" && answer.Header.Get("Blockstored-Stale") != try.stale) {
					err = fmt.Errorf("%s %s: %d %v %s, %w", try.method, try.path, answer.Status, answer.Header, answer.Body, failed)
					return
				}
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A leader that the others cannot hear, that cannot hear them, or both, is replaced,
// acknowledges nothing, and says of what it shows that it may be old.
func TestALeaderThatIsCutOffIsReplaced(t *testing.T) {
	t.Parallel()
	l := open(t, 3)
	h := newHost(t, l)
	for name, cut := range map[string]func(*lab.Node) error{"unheard": l.Mute, "unhearing": l.Deafen, "unplugged": l.Isolate} {
		t.Run(name, func(t *testing.T) {
			lost := leader(t, l, nil)
			if err := cut(lost); err != nil {
				t.Fatal(err)
			}
			h.commits(t, leader(t, l, lost))
			h.refuses(t, lost)
			l.Heal()
			h.whole(t)
		})
	}
}

func leader(t *testing.T, l *lab.Lab, but *lab.Node) *lab.Node {
	t.Helper()
	n, err := l.LeaderBut(t.Context(), but)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func another(l *lab.Lab, but *lab.Node) *lab.Node {
	if n := l.Nodes()[0]; n != but {
		return n
	}
	return l.Nodes()[1]
}

// What happens to the disk of a leader and to the bucket of all.
func TestNothingIsLostWithFaultyStores(t *testing.T) {
	t.Parallel()
	l := open(t, 3)
	h := newHost(t, l)
	t.Run("a leader whose disk is frozen is replaced", func(t *testing.T) {
		lost := leader(t, l, nil)
		if err := l.FreezeDisk(lost); err != nil {
			t.Fatal(err)
		}
		h.commits(t, another(l, lost)) // a disk that nobody writes to hangs unseen
		leader(t, l, lost)
		if err := l.ThawDisk(lost); err != nil {
			t.Fatal(err)
		}
		h.whole(t)
	})
	t.Run("three of ten requests to the bucket fail", func(t *testing.T) {
		l.Bucket().Fail(0.3)
		for k := range 9 {
			h.commits(t, l.Nodes()[k%3])
		}
		l.Bucket().Restore()
		if all, failed := l.Bucket().Requests(); failed == 0 || failed == all {
			t.Errorf("%d of %d requests failed", failed, all)
		}
		h.whole(t)
	})
	t.Run("the disk of a leader is full", func(t *testing.T) {
		lost := leader(t, l, nil)
		other := another(l, lost)
		if err := l.FillDisk(lost); err != nil {
			t.Fatal(err)
		}
		err := lab.Until(t.Context(), func(ctx context.Context) error {
			_ = h.commit(ctx, t, other) // until the log of the full one has to grow
			if s, err := other.Status(ctx); lost.Running() && (err != nil || s.Leader == "" || strings.HasPrefix(s.Leader, lost.Name()+"-")) {
				return fmt.Errorf("%s leads on with a full disk", lost.Name())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		h.commits(t, other)
		if err := l.FreeDisk(lost); err != nil {
			t.Fatal(err)
		}
		if !lost.Running() {
			if err := lost.Start(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}
		h.whole(t)
	})
	t.Run("two nodes are gone", func(t *testing.T) {
		for _, n := range l.Nodes()[1:] {
			n.Kill()
		}
		h.refuses(t, l.Nodes()[0])
		for _, n := range l.Nodes()[1:] {
			if err := n.Launch(""); err != nil {
				t.Fatal(err)
			}
		}
		h.whole(t)
	})
}
