package metrics

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

var update = flag.Bool("update", false, "rewrite the table in README.md")

// feedAll calls every method that feeds a family.
func feedAll(m *Metrics) {
	m.SetBuildInfo("1.0", "abc", "go1.26")
	m.Request("/api/v1/bundles/{uuid}/", 200, time.Millisecond)
	m.Commit(time.Millisecond)
	m.Visible(time.Second)
	m.SetBundles("own", 3)
	m.ObjectWritten("pack", 1<<20, time.Millisecond)
	m.StorageRead(100)
	m.SetRaft(RaftState{
		Leader: true, Term: 2, CommitIndex: 30, AppliedIndex: 29, LogEntries: 28, LogBytes: 4096, Voters: 3, LastContact: -1,
		Lag: 1, Behind: time.Second,
	})
	m.LogAppend(time.Millisecond)
	m.Election()
	m.LeaderChange()
	m.MemberRemoved("operator")
	m.Proposal("ok")
	m.Forwarded("ok")
	m.Read("consistent", "fresh")
	m.CopyBegins(Sent)
	m.CopyBytes(Sent, 100)
	m.CopyEnds(Sent, time.Second, nil)
	m.SetCertificateExpiry(time.Unix(1_800_000_000, 0))
	m.SetReady(true)
	m.RaftApply(time.Millisecond)
	m.SetCatalogSize(4096)
	m.SetLogRecords(12)
	m.SetPeerCheckpointAge("north", time.Minute)
	m.SetPeerOldestUnapplied("north", 0)
	m.PeerBytes("north", Received, 10)
	m.PeerBytes("north", Sent, 5)
	m.PeerUsefulBytes("north", 9)
	m.PeerRequest("north", "ok")
	m.SetAlarm("north", "FORK", true)
}

func newMetrics(t *testing.T) (*Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	m, err := New(registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m, registry
}

func TestEveryFamilyIsFedAndPassesPromlint(t *testing.T) {
	m, registry := newMetrics(t)
	feedAll(m)
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(gathered) != int(numFamilies) {
		t.Errorf("%d families gathered, the table has %d", len(gathered), numFamilies)
	}
	problems, err := promlint.NewWithMetricFamilies(gathered).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestValuesAreInBaseUnits(t *testing.T) {
	m, registry := newMetrics(t)
	feedAll(m)
	const want = `
# HELP blockstored_alarms 1 while an alarm about a peer stands, 0 after it was resolved.
# TYPE blockstored_alarms gauge
blockstored_alarms{alarm="FORK",peer="north"} 1
# HELP blockstored_blob_bytes_stored_total Bytes of objects written to storage, as stored there.
# TYPE blockstored_blob_bytes_stored_total counter
blockstored_blob_bytes_stored_total 1.048576e+06
# HELP blockstored_http_requests_total HTTP requests answered, by route pattern and status code.
# TYPE blockstored_http_requests_total counter
blockstored_http_requests_total{code="200",route="/api/v1/bundles/{uuid}/"} 1
# HELP blockstored_peer_checkpoint_age_seconds Age of the newest verified checkpoint of a peer that is followed.
# TYPE blockstored_peer_checkpoint_age_seconds gauge
blockstored_peer_checkpoint_age_seconds{peer="north"} 60
# HELP blockstored_raft_applied_index Highest log index applied to the catalog.
# TYPE blockstored_raft_applied_index gauge
blockstored_raft_applied_index 29
# HELP blockstored_raft_last_contact_seconds Time since this node heard from its leader; 0 on the leader, +Inf before the first word.
# TYPE blockstored_raft_last_contact_seconds gauge
blockstored_raft_last_contact_seconds +Inf
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"blockstored_alarms", "blockstored_blob_bytes_stored_total", "blockstored_http_requests_total",
		"blockstored_peer_checkpoint_age_seconds", "blockstored_raft_applied_index", "blockstored_raft_last_contact_seconds"); err != nil {
		t.Error(err)
	}
}

func TestCopiesAreCountedFromBeginningToEnd(t *testing.T) {
	m, _ := newMetrics(t)
	m.CopyBegins(Received)
	m.CopyBegins(Received)
	m.CopyEnds(Received, time.Second, errors.New("cut off"))
	if got := testutil.ToFloat64(m.gauges[catalogCopiesRunning].WithLabelValues("received")); got != 1 {
		t.Errorf("%v under way, want 1", got)
	}
	m.CopyEnds(Received, time.Second, nil)
	for result, want := range map[string]float64{"ok": 1, "failed": 1} {
		if got := testutil.ToFloat64(m.counters[catalogCopies].WithLabelValues("received", result)); got != want {
			t.Errorf("%v copies %s, want %v", got, result, want)
		}
	}
}

func TestNilMetricsDoNothing(t *testing.T) {
	m, err := New(nil)
	if m != nil || err != nil {
		t.Fatalf("New(nil) = %v, %v", m, err)
	}
	feedAll(m)
	m.OnScrape(func() { t.Error("called") })()
	m.ForgetPeer("north")
	m.Close()
}

func TestOpenAfterCloseOnTheSameRegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for range 3 {
		m, err := New(registry)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(registry); err == nil {
			t.Fatal("two instances share a registry without a label")
		}
		feedAll(m)
		m.Close()
		m.Close()
		feedAll(m)
		if n, err := testutil.GatherAndCount(registry); n != 0 || err != nil {
			t.Fatalf("%d metrics left after Close, %v", n, err)
		}
	}
}

func TestTwoInstancesOnOneRegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, site := range []string{"north", "south"} {
		m, err := New(prometheus.WrapRegistererWith(prometheus.Labels{"site": site}, registry))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		feedAll(m)
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

func TestHooksRunBeforeEachScrapeUntilRemoved(t *testing.T) {
	m, registry := newMetrics(t)
	calls := 0
	remove := m.OnScrape(func() {
		calls++
		m.SetLogRecords(int64(calls))
	})
	for range 2 {
		if _, err := registry.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	if got := testutil.ToFloat64(m.gauges[logRecords].WithLabelValues()); calls != 2 || got != 2 {
		t.Errorf("%d calls, gauge at %v", calls, got)
	}
	if _, err := registry.Gather(); err != nil || calls != 2 {
		t.Errorf("%d calls after removal, %v", calls, err)
	}
}

func TestForgetPeerLeavesOtherPeers(t *testing.T) {
	m, _ := newMetrics(t)
	feedAll(m)
	m.PeerRequest("south", "ok")
	m.ForgetPeer("north")
	for i, want := range map[id]int{peerRequests: 1, peerBytes: 0} {
		if got := testutil.CollectAndCount(m.counters[i]); got != want {
			t.Errorf("%s: %d series, want %d", families[i].name, got, want)
		}
	}
	if got := testutil.CollectAndCount(m.gauges[alarms]); got != 0 {
		t.Errorf("%d alarms left", got)
	}
}

func TestScrapesAndUpdatesRunConcurrently(t *testing.T) {
	m, registry := newMetrics(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				feedAll(m)
				m.OnScrape(func() { m.SetLogRecords(1) })()
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestReadmeDocumentsTheTable(t *testing.T) {
	const begin, end = "<!-- table -->\n", "<!-- end of table -->\n"
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(readme), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("README.md lacks the marks of its table")
	}
	var want bytes.Buffer
	want.WriteString(head + begin + "| name | type | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		fmt.Fprintf(&want, "| `%s_%s` | %s | %s | %s |\n", namespace, f.name, f.kind, strings.Join(f.labels, ", "), f.help)
	}
	want.WriteString(end + tail)
	if *update {
		if err := os.WriteFile("README.md", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want.String() != string(readme) {
		t.Error("README.md differs from the table in table.go; run go test ./metrics -update")
	}
}
