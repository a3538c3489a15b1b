package blockstored_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

// look asks once, on a connection of its own that could be kept.
func look(t *testing.T, url string) (resp *http.Response, body string) {
	t.Helper()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = tr.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// awaitReason asks /readyz until it names a reason, or none if that is "".
func awaitReason(t *testing.T, base, reason string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); ; {
		resp, body := look(t, base+"/readyz")
		if resp.StatusCode == http.StatusOK && reason == "" {
			return
		}
		if resp.StatusCode == http.StatusServiceUnavailable && reason != "" && strings.Contains(body, reason+": ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz does not come to say %q: %d %s", reason, resp.StatusCode, body)
		}
		<-tick.C
	}
}

func TestLeaderThatLeavesServesOnAndLeadsNoMore(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	first := nodeConfig(t, s, bucket, "n1")
	first.Drain = 10 * time.Minute // until the test ends it
	one := open(t, first)
	second := nodeConfig(t, s, bucket, "n2")
	second.Cluster.Join = inviteTo(t, one)
	two := open(t, second)
	awaitNodes(t, one, 2, "n1")
	awaitReason(t, one.Addresses().API, "")
	awaitReason(t, two.Addresses().API, "")
	if resp, _ := look(t, one.Addresses().API+"/livez"); resp.Close {
		t.Error("connections end while the node stays")
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := make(chan struct{})
	go func() {
		one.Leave(ctx)
		close(left)
	}()
	awaitReason(t, one.Addresses().API, "leaving")
	awaitNodes(t, two, 2, "n2")
	awaitReason(t, two.Addresses().API, "")
	if resp, _ := look(t, one.Addresses().API+"/livez"); resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("while it leaves: %d, and the connection ends: %v", resp.StatusCode, resp.Close)
	}
	if _, err := one.CreateCollection(t.Context(), "through the one that leaves"); err != nil {
		t.Error(err)
	}
	select {
	case <-left:
		t.Error("it did not serve on")
	default:
	}
	cancel()
	<-left
}

func TestOnlyNodeLeavesAtOnce(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Drain = 10 * time.Minute
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	inst := open(t, cfg)
	awaitReason(t, inst.Addresses().API, "")
	readyIs(t, registry, 1)
	inst.Leave(t.Context())
	awaitReason(t, inst.Addresses().API, "leaving")
	readyIs(t, registry, 0)
}

func readyIs(t *testing.T, registry *prometheus.Registry, want float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "blockstored_ready" {
			if got := f.GetMetric()[0].GetGauge().GetValue(); got != want {
				t.Errorf("the metric says %v, want %v", got, want)
			}
			return
		}
	}
	t.Error("there is no such metric")
}

// TestNodeThatJoinsAnswersProbes has the leader look for the newcomer where it is
// not, so that it stays one.
func TestNodeThatJoinsAnswersProbes(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	one := open(t, nodeConfig(t, s, bucket, "n1"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := nodeConfig(t, s, bucket, "n2")
	cfg.Listener, cfg.Cluster.Listen = ln, freeAddress(t)
	welcome(t, one, cfg, freeAddress(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		inst, err := blockstored.Open(ctx, cfg)
		if err == nil {
			_ = inst.Close()
		}
		opened <- err
	}()
	base := "http://" + ln.Addr().String()
	awaitReason(t, base, "joining")
	if resp, body := look(t, base+"/livez"); resp.StatusCode != http.StatusOK || body != "ok\n" {
		t.Errorf("/livez: %d %s", resp.StatusCode, body)
	}
	if resp, body := look(t, base+"/api/v1/"); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "joining") {
		t.Errorf("the API: %d %s", resp.StatusCode, body)
	}
	c, err := client.New(client.Config{Socket: cfg.AdminSocket()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ClusterStatus(t.Context()); !bundle.IsKind(err, bundle.KindUnavailable) || !strings.Contains(err.Error(), "joining") {
		t.Errorf("its operator is told %v", err)
	}
	cancel()
	if err := <-opened; err == nil {
		t.Error("it was let in")
	}
}
