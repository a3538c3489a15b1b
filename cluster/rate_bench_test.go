package cluster_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/cluster/clustertest"
)

// Writers on all nodes, each of which reads before it writes, as a change does.
// The disks take as long for a write as is said, each for itself; with TMPDIR on a
// tmpfs they take no longer.
func BenchmarkChangesThroughAllNodes(b *testing.B) {
	for _, disk := range []time.Duration{time.Millisecond, 4 * time.Millisecond} {
		for _, nodes := range []int{1, 3} {
			b.Run(fmt.Sprintf("disk=%v/nodes=%d", disk, nodes), func(b *testing.B) { benchmarkChanges(b, nodes, disk) })
		}
	}
}

func benchmarkChanges(b *testing.B, nodes int, disk time.Duration) {
	var writes, next atomic.Int64
	c := clustertest.Start(b, clustertest.Options{Nodes: nodes, Configure: func(n *clustertest.Node, config *cluster.Config) {
		patient(n, config)
		through := config.LogWrite
		config.LogWrite = func(write func() error) error {
			writes.Add(1)
			time.Sleep(disk)
			return through(write)
		}
	}})
	c.Leader()
	var writers sync.WaitGroup
	b.ResetTimer()
	before := writes.Load()
	for w := range 32 {
		n := c.Nodes()[w%nodes]
		writers.Go(func() {
			for next.Add(1) <= int64(b.N) {
				_, _, err := n.Get(b.Context(), cluster.Current, "none")
				if err == nil {
					err = n.Put(b.Context(), fmt.Sprint(w), "x")
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
	b.ReportMetric(float64(writes.Load()-before)/float64(b.N), "log-writes/op")
}
