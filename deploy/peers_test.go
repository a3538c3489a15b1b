package deploy_test

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/syndication"
)

// A site behind nginx is followed: signed requests arrive as they were signed,
// and a poll waits in nginx until there is news.
func TestAnotherSiteFollowsThroughNginx(t *testing.T) {
	peers, err := site.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	north := startSite(t, site.Config{Name: "north", PeerListen: peers, Settings: trusting})
	wire, err := site.StartProxy(t.Context(), peers)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, startNginx(t, upstream{api: north.Listen(), peer: strings.TrimPrefix(wire.URL(), "http://")}), north)
	t.Cleanup(func() {
		if err := wire.Close(); err != nil {
			t.Error(err)
		}
	})
	south := startSite(t, site.Config{Name: "south"})
	invitation, err := north.Command(t.Context(), "peer", "invite", "south", "--grant", "all", "--address", "https://"+h.address+h.pin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := south.Command(t.Context(), "peer", "accept", strings.TrimSpace(string(invitation)), "--subscribe", "all"); err != nil {
		t.Fatal(err)
	}
	api, err := south.API(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	polls := func() int { return wire.Count().Requests["POST /peer/v1/poll"] }
	first := h.publish(t, map[string]string{"first.txt": "first"})
	if err := api.WaitVersion(ctx, first, 1, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}

	// While nothing is published, the question for news stays where it is.
	before := polls()
	time.Sleep(2 * time.Second) // what is shown is that nothing happens
	if n := polls() - before; n > 2 {
		t.Errorf("%d polls in 2 s: they do not wait", n)
	}
	second := h.publish(t, map[string]string{"second.txt": "second", "large.bin": string(make([]byte, 3<<20))})
	if err := api.WaitVersion(ctx, second, 1, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if n := polls() - before; n < 1 || n > 10 {
		t.Errorf("the second bundle took %d polls", n)
	}
	files, err := api.Fetch(ctx, site.Listed{Bundle: second, Version: 1})
	if err != nil || string(files["second.txt"]) != "second" || len(files["large.bin"]) != 3<<20 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestTimeoutsOutlastALongPoll(t *testing.T) {
	shipped, err := os.ReadFile("nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s*proxy_read_timeout (\d+)s;`).FindAllStringSubmatch(string(shipped), -1)
	if len(found) != 1 {
		t.Fatalf("proxy_read_timeout: %q", found)
	}
	seconds, err := strconv.Atoi(found[0][1])
	if err != nil || time.Duration(seconds)*time.Second < syndication.MaxWait+5*time.Second {
		t.Errorf("nginx waits %d s, a poll %v: %v", seconds, syndication.MaxWait, err)
	}
}
