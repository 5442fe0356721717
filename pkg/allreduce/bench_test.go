package allreduce_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"gorgonia.org/tensor"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
)

func benchmarkSum(b *testing.B, groups []*allreduce.Group, elements int) {
	v := groups[0].Size()
	all := make([][]float32, v)
	for i := range all {
		all[i] = make([]float32, elements)
		for j := range all[i] {
			all[i][j] = float32(j%1000)*1e-3 - 0.5
		}
	}
	own := make([][]*tensor.Dense, len(groups))
	for r, g := range groups {
		own[r] = owned(g, all, elements)
	}
	b.SetBytes(int64(4 * elements))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
			for r := range groups {
				if groups[r] == g {
					_, err := g.Sum(context.Background(), own[r])
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	s := groups[0].Stats()
	b.ReportMetric(s.WaitTime.Seconds()*1e3/float64(b.N), "ms-waiting/op")
	b.ReportMetric(float64(s.FramesResent)/float64(b.N), "resent/op")
}

func BenchmarkSumOverNATS(b *testing.B) {
	for _, frame := range []int{64 << 10, 256 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("16MB-4ranks-frames-%dKiB", frame>>10), func(b *testing.B) {
			s := natsCluster(b, 1, nil)[0]
			var conns []*nats.Conn
			for range 4 {
				conns = append(conns, natsConn(b, s.ClientURL()))
			}
			benchmarkSum(b, natsRing(b, conns, 4, func(c *allreduce.Config) { c.FrameBytes = frame }, nil), 4<<20)
		})
	}
}

func BenchmarkSumInMemory(b *testing.B) {
	for _, w := range []int{1, 4} {
		b.Run(fmt.Sprintf("16MB-%dranks", w), func(b *testing.B) {
			benchmarkSum(b, allreducetest.Ring(b, &allreducetest.Network{}, 4, w, nil), 4<<20)
		})
	}
}

// The latency of the smallest sum: two trips around the ring, exponents and data.
func BenchmarkSmallSumOverNATS(b *testing.B) {
	s := natsCluster(b, 1, nil)[0]
	var conns []*nats.Conn
	for range 4 {
		conns = append(conns, natsConn(b, s.ClientURL()))
	}
	benchmarkSum(b, natsRing(b, conns, 4, nil, nil), 1)
}
