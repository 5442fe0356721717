package allreduce_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/task"
)

// narrow is small with gradients of 16 bits.
func narrow(c *allreduce.Config) {
	small(c)
	c.Wire, c.Seed = allreduce.WireInt16, 77
}

func TestInt16SameBitsForAnyWorld(t *testing.T) {
	for _, n := range []int{1, 129, 5003} {
		all := vectors(8, n, uint64(n))
		var want map[string][]float32
		for _, w := range []int{1, 2, 3, 8} {
			groups := allreducetest.Ring(t, &allreducetest.Network{}, 8, w, narrow)
			got := results(t, groups, all)
			allreducetest.CloseAll(t, groups)
			if want == nil {
				want = got
			}
			for name := range want {
				equalBits(t, fmt.Sprintf("n=%d W=%d %s", n, w, name), got[name], want[name])
			}
		}
	}
}

// One sum is off by up to a unit a virtual rank; the mean over many steps is not. Values below half a unit, which would be lost for good if
// they were rounded to the nearest, come through.
func TestInt16IsWithoutBias(t *testing.T) {
	const v, n, steps = 16, 256, 2000
	r := rand.New(rand.NewPCG(3, 4))
	all := make([][]float32, v)
	want := make([]float64, n)
	for i := range all {
		all[i] = make([]float32, n)
		for j := range all[i] {
			all[i][j] = float32(r.NormFloat64() * 1e-5)
			if j%allreduce.Block == 0 {
				all[i][j] = 0.9 // all others are below half a unit
			}
			want[j] += float64(all[i][j])
		}
	}
	g := allreducetest.Ring(t, &allreducetest.Network{}, v, 1, narrow)[0]
	mean := make([]float64, n)
	total := dense(make([]float32, n), n)
	const unit = 1.0 / (1<<11 - 1)
	for step := range uint64(steps) {
		g.SetStep(step)
		if err := g.SumGradients(deadline(t), total, owned(g, all, n)); err != nil {
			t.Fatal(err)
		}
		for j, s := range total.Float32s() {
			if d := math.Abs(float64(s) - want[j]); d > v*unit {
				t.Fatalf("element %d is off by %g, more than a unit for each virtual rank (%g)", j, d, v*unit)
			}
			mean[j] += float64(s) / steps
		}
	}
	for j := range mean {
		// The variance of one rounding is at most a quarter of unit².
		if d := math.Abs(mean[j] - want[j]); d > 5*unit*math.Sqrt(v/4.0/steps) {
			t.Errorf("the mean of element %d is %g, want %g", j, mean[j], want[j])
		}
	}
}

func TestInt16NotFinite(t *testing.T) {
	groups := allreducetest.Ring(t, &allreducetest.Network{}, 4, 2, narrow)
	for _, odd := range []float64{math.NaN(), math.Inf(1), math.MaxFloat32} {
		all := vectors(4, 1000, 1)
		for i := range all {
			all[i][700] = float32(odd) // four of the largest number exceed float32
		}
		for r, err := range func() []error {
			errs := make([]error, 2)
			allreducetest.Each(groups, func(g *allreduce.Group) error {
				lo, _ := g.Owned()
				errs[lo/2] = g.SumGradients(deadline(t), dense(make([]float32, 1000), 1000), owned(g, all, 1000))
				return nil
			})
			return errs
		}() {
			if !errors.Is(err, task.ErrNotFinite) {
				t.Errorf("a sum with %g on rank %d returns %v, want ErrNotFinite", odd, r, err)
			}
		}
	}
}
