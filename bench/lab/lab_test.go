package lab_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

// open starts a lab of nodes with networks and disks of their own.
func open(t *testing.T, nodes int) *lab.Lab {
	t.Helper()
	sitetest.NeedGateway(t)
	if os.Getuid() != 0 && os.Getenv("BLOCKSTORED_TEST_NOSKIP") != "1" {
		t.Skip("namespaces and disks need root")
	}
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

// host is a host application's view of a node.
func host(t *testing.T, n *lab.Node) *site.API {
	t.Helper()
	var made struct{ Token string }
	out, err := n.Command(t.Context(), "token", "create", rand.Text(), "--role", "writer", "--format", "json")
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := site.NewAPI(n.URL(), made.Token)
	t.Cleanup(a.Close)
	return a
}

// newCollection asks a node for a collection and returns the answer's status, 0 if
// there was none.
func newCollection(ctx context.Context, a *site.API) int {
	answer, err := a.Answer(ctx, http.MethodPost, "collections", "", map[string]string{"title": "c"})
	if err != nil {
		return 0
	}
	return answer.Status
}

// A leader that the others cannot hear, that cannot hear them, or both, is replaced,
// acknowledges nothing, and says of what it shows that it may be old.
func TestALeaderThatIsCutOffIsReplaced(t *testing.T) {
	l := open(t, 3)
	for name, cut := range map[string]func(*lab.Node) error{"unheard": l.Mute, "unhearing": l.Deafen, "unplugged": l.Isolate} {
		t.Run(name, func(t *testing.T) {
			lost, err := l.Leader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			a := host(t, lost)
			if err := cut(lost); err != nil {
				t.Fatal(err)
			}
			next, err := l.LeaderBut(t.Context(), lost)
			if err != nil {
				t.Fatal(err)
			}
			if got := newCollection(t.Context(), host(t, next)); got != http.StatusCreated {
				t.Errorf("a write on the next leader: %d", got)
			}
			if got := newCollection(t.Context(), a); got == http.StatusCreated {
				t.Error("the lost leader acknowledges a write")
			}
			if err := lab.Until(t.Context(), func(ctx context.Context) error {
				answer, err := a.Answer(ctx, http.MethodGet, "collections", "", nil)
				if err != nil || answer.Status != http.StatusOK || answer.Header.Get("Blockstored-Stale") != "true" {
					return fmt.Errorf("a read on the lost leader: %d %v, %w", answer.Status, answer.Header, err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			l.Heal()
			if err := l.Await(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			if d, err := l.SameState(t.Context()); err != nil || d.LogSize == 0 {
				t.Errorf("after that: %+v, %v", d, err)
			}
		})
	}
}
