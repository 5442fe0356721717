package allreduce_test

import (
	"fmt"
	"testing"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
)

// Traffic tells to the byte what every rank of a real ring sends.
func TestTrafficIsWhatIsSent(t *testing.T) {
	for i, ring := range []struct{ v, w, n int }{{8, 1, 100}, {8, 2, 1000}, {8, 3, 5003}, {5, 5, 129}, {16, 7, 3}} {
		t.Run(fmt.Sprintf("V=%d,W=%d,n=%d", ring.v, ring.w, ring.n), func(t *testing.T) {
			edit := small
			if i%2 == 1 {
				edit = narrow
			}
			groups := allreducetest.Ring(t, &allreducetest.Network{}, ring.v, ring.w, edit)
			config := allreduce.Config{World: ring.w, VirtualRanks: ring.v}
			edit(&config)
			traffic, err := allreduce.NewTraffic(config)
			if err != nil {
				t.Fatal(err)
			}
			traffic.Exchange(make([]int, ring.w)) // by Join
			blobs := make([]int, ring.w)
			for r := range blobs {
				blobs[r] = 700 * r
			}
			traffic.Exchange(blobs)
			for range 2 { // as results does
				traffic.Sum(ring.n)
				traffic.SumGradients(ring.n)
				traffic.SumGradients(ring.n)
				traffic.Max(ring.n)
				traffic.AllGather(4 * ring.n)
				traffic.SumScatter(ring.v * ring.n)
			}
			traffic.SumGradients(ring.n) // the first step again
			starts := allreduce.Cut(ring.v, ring.w)
			err = allreducetest.Each(groups, func(g *allreduce.Group) error {
				lo, _ := g.Owned()
				for r, blob := range blobs {
					if starts[r] == lo {
						if _, err := g.Exchange(deadline(t), make([]byte, blob)); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			results(t, groups, vectors(ring.v, ring.n, 1))
			for r, g := range groups {
				if got, want := g.Stats().BytesSent, traffic.Sent()[r]; got != want {
					t.Errorf("rank %d sent %d bytes, %d were foretold", r, got, want)
				}
			}
			allreducetest.CloseAll(t, groups)
		})
	}
}
