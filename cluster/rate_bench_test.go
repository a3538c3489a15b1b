package cluster_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/cluster/clustertest"
)

func BenchmarkProposeThroughAllNodes(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			c := clustertest.Start(b, clustertest.Options{Nodes: nodes, Configure: patient})
			c.Leader()
			var next atomic.Int64
			var writers sync.WaitGroup
			b.ResetTimer()
			for w := range 32 {
				n := c.Nodes()[w%nodes]
				writers.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if err := n.Put(b.Context(), fmt.Sprint(w), "x"); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			writers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
		})
	}
}
