package blockstored_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is the default with listeners on free ports.
func config(dir string) blockstored.Config {
	cfg := blockstored.DefaultConfig(dir)
	cfg.Listen, cfg.Peer.Listen = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

func open(t *testing.T, cfg blockstored.Config) *blockstored.Instance {
	t.Helper()
	inst, err := blockstored.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeInstance(t, inst) })
	return inst
}

func closeInstance(t *testing.T, inst *blockstored.Instance) {
	t.Helper()
	if err := inst.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func admin(t *testing.T, dir string) *client.Client {
	t.Helper()
	socket, err := blockstored.FindAdminSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTwoInstancesLiveInOneProcessWithMetricsOfTheirOwn(t *testing.T) {
	var ids []bundle.ID
	for range 2 {
		cfg := config(t.TempDir())
		registry := prometheus.NewRegistry()
		cfg.Registerer, cfg.Gatherer = registry, registry
		inst := open(t, cfg)
		ids = append(ids, inst.ID())
		if _, err := admin(t, cfg.Data).CreateCollection(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(gather(t, registry)).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("promlint: %v %v", problems, err)
		}
	}
	if ids[0] == ids[1] {
		t.Errorf("both are instance %s", ids[0])
	}
}

func TestAnInstanceOpensAgainAfterCloseWithWhatItHeld(t *testing.T) {
	cfg := config(t.TempDir())
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry // the same one: Close must have unregistered
	first, err := blockstored.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	id := first.ID()
	made, err := admin(t, cfg.Data).CreateCollection(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	closeInstance(t, first)
	closeInstance(t, first) // a second Close answers as the first

	again := open(t, cfg)
	if again.ID() != id {
		t.Errorf("the instance was %s and is %s", id, again.ID())
	}
	found, err := admin(t, cfg.Data).Collection(t.Context(), made.ID)
	if err != nil || found.Title != "kept" {
		t.Errorf("collection after reopening: %+v, %v", found, err)
	}
}

func TestASecondProcessOnTheSameFolderIsRefused(t *testing.T) {
	cfg := config(t.TempDir())
	open(t, cfg)
	_, err := blockstored.Open(t.Context(), cfg)
	if !bundle.IsKind(err, bundle.KindConflict) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second Open answered %v", err)
	}
}

func TestStorageOfAnotherInstanceIsRefused(t *testing.T) {
	shared := t.TempDir()
	cfg := config(t.TempDir())
	cfg.Storage.Dir.Path = shared
	open(t, cfg)

	other := config(t.TempDir())
	other.Storage.Dir.Path = shared
	_, err := blockstored.Open(t.Context(), other)
	if !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("Open over another instance's storage answered %v", err)
	}
}

func TestOpenLeavesNothingBehindWhenAStepFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config(t.TempDir())
	cfg.Peer.Listen = taken.Addr().String()
	_, err = blockstored.Open(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "peer.listen") {
		t.Fatalf("Open with a taken port answered %v, which does not name the key", err)
	}
	cfg.Peer.Listen = "127.0.0.1:0"
	open(t, cfg) // the folder's lock is free again
}

func TestInitMakesAnInstanceOnce(t *testing.T) {
	cfg := config(filepath.Join(t.TempDir(), "data"))
	if done, err := blockstored.Initialized(cfg.Data); err != nil || done {
		t.Fatalf("before Init: %v, %v", done, err)
	}
	if err := blockstored.Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if done, err := blockstored.Initialized(cfg.Data); err != nil || !done {
		t.Fatalf("after Init: %v, %v", done, err)
	}
	if err := blockstored.Init(t.Context(), cfg); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("a second Init answered %v", err)
	}
}

func TestALostInstanceKeyIsNotReplaced(t *testing.T) {
	cfg := config(t.TempDir())
	if err := blockstored.Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cfg.Data, "instance.key")); err != nil {
		t.Fatal(err)
	}
	_, err := blockstored.Open(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "instance.key") {
		t.Errorf("Open without the key answered %v", err)
	}
}

func TestTheAdminSocketIsFoundWhenTheFoldersPathIsTooLongForOne(t *testing.T) {
	cfg := config(filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 10)))
	open(t, cfg)
	socket, err := blockstored.FindAdminSocket(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %s: %v, %v", socket, info, err)
	}
	if err := admin(t, cfg.Data).Healthy(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestThePeerListenerServesThePeerProtocolAlone(t *testing.T) {
	inst := open(t, config(t.TempDir()))
	for path, want := range map[string]int{
		"/peer/v1/descriptor": http.StatusOK,
		"/api/v1/":            http.StatusNotFound,
		"/admin/v1/status":    http.StatusNotFound,
		"/metrics":            http.StatusNotFound,
	} {
		resp, err := http.Get(inst.Addresses().Peer + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s on the peer listener: %d, want %d", path, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func gather(t *testing.T, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}
