package cluster_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
	"github.com/blockstored/blockstored/metrics"
)

// gathered returns the values of a registry: of histograms, their counts.
func gathered(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetGauge() != nil:
				out[name] = m.GetGauge().GetValue()
			case m.GetCounter() != nil:
				out[name] = m.GetCounter().GetValue()
			case m.GetHistogram() != nil:
				out[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return out
}

func TestNodesMeasureThemselves(t *testing.T) {
	t.Parallel()
	registries := map[*clustertest.Node]*prometheus.Registry{}
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, TLS: true, Configure: func(n *clustertest.Node, config *cluster.Config) {
		registries[n] = prometheus.NewRegistry()
		m, err := metrics.New(registries[n])
		if err != nil {
			t.Fatal(err)
		}
		config.Metrics = m
	}})
	leader := c.Leader()
	follower := c.Followers(leader)[0]
	leader.MustPut("key", "1")
	follower.MustPut("key", "2")
	for _, l := range []cluster.Level{cluster.Consistent, cluster.Local, cluster.Strong} {
		if _, _, err := follower.Live().ReadBarrier(within(t, 60*time.Second), l); err != nil {
			t.Fatal(err)
		}
	}
	c.Converge()
	got := gathered(t, registries[follower])
	for _, name := range []string{
		"raft_term", "raft_commit_index", "raft_applied_index", "raft_log_entries", "raft_log_bytes", "raft_log_append_duration_seconds",
		"raft_apply_duration_seconds", "raft_leader_changes_total", "proposals_total ok", "forwarded_commands_total ok",
		"reads_total consistent fresh", "reads_total local fresh", "reads_total strong fresh",
	} {
		if got["blockstored_"+name] < 1 {
			t.Errorf("%s is %v", name, got["blockstored_"+name])
		}
	}
	if got["blockstored_raft_members voter"] != 3 || got["blockstored_raft_members nonvoter"] != 0 {
		t.Errorf("members %v and %v", got["blockstored_raft_members voter"], got["blockstored_raft_members nonvoter"])
	}
	expires := time.Unix(int64(got["blockstored_node_certificate_expiry_timestamp_seconds"]), 0)
	if left := time.Until(expires); left < time.Hour || left > 2*cluster.CertificateLife {
		t.Errorf("the certificate expires at %v", expires)
	}
	if err := c.Leader().Live().Remove(within(t, 60*time.Second), follower.ID()); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, r := range registries {
		sum += gathered(t, r)["blockstored_raft_members_removed_total operator"]
	}
	if sum != 1 {
		t.Errorf("%v nodes removed", sum)
	}
	// A node that is left alone knows that what it answers may be old.
	var last *clustertest.Node
	for _, n := range c.Nodes() {
		switch {
		case n == follower:
		case last == nil:
			last = n
		default:
			n.Kill()
		}
	}
	c.Eventually("a read is stale, and it stands for election, hearing nobody", func() bool {
		_, stale, err := last.Live().ReadBarrier(within(t, 60*time.Second), cluster.Consistent)
		got := gathered(t, registries[last])
		return err == nil && stale && got["blockstored_reads_total consistent stale"] >= 1 && got["blockstored_raft_elections_total"] >= 1 &&
			got["blockstored_raft_last_contact_seconds"] > 0
	})
}
