package allreduce_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/task"
)

var _ task.Group = (*allreduce.Group)(nil)

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func dense(values []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// small makes many frames and buckets of little data.
func small(c *allreduce.Config) {
	c.FrameBytes, c.BucketElements, c.WindowBytes = 1024, 512, 8<<10
}

// vectors returns the n values of each of v virtual ranks: blocks of very different sizes, zeros, denormals, values near the largest.
func vectors(v, n int, seed uint64) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	scales := []float64{1, 1e-3, 1e-30, 1e-44, 3e37, 0, 1e10}
	out := make([][]float32, v)
	for i := range out {
		out[i] = make([]float32, n)
	}
	for b := 0; b*allreduce.Block < n; b++ {
		scale := scales[r.IntN(len(scales))]
		for j := b * allreduce.Block; j < min((b+1)*allreduce.Block, n); j++ {
			for i := range out {
				out[i][j] = float32(r.NormFloat64() * scale / float64(1+r.IntN(4)))
			}
		}
	}
	return out
}

func owned(g *allreduce.Group, all [][]float32, shape ...int) []*tensor.Dense {
	lo, hi := g.Owned()
	var own []*tensor.Dense
	for _, x := range all[lo:hi] {
		own = append(own, dense(x, shape...))
	}
	return own
}

// equalBits compares to the bit, NaN and −0 included.
func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %x (%g), want %x (%g)", what, i, math.Float32bits(got[i]), got[i], math.Float32bits(want[i]), want[i])
		}
	}
}

// results runs every collective in a ring and returns, by name, what all ranks agree on.
func results(t *testing.T, groups []*allreduce.Group, all [][]float32) map[string][]float32 {
	t.Helper()
	ctx := deadline(t)
	v, n := len(all), len(all[0])
	type outcome struct{ sum, max, gather, scatter, gradients []float32 }
	outcomes := make([]outcome, len(groups))
	unit := make([][]float32, v) // (V, n) each, every sum within ±1
	for i := range unit {
		unit[i] = make([]float32, v*n)
		for j := range unit[i] {
			unit[i][j] = float32(math.Sin(float64(i*7+j))) / float32(v)
		}
	}
	err := allreducetest.Each(groups, func(g *allreduce.Group) error {
		var o outcome
		for step := range uint64(2) { // twice: buffers are used again
			g.SetStep(step)
			sum, err := g.Sum(ctx, owned(g, all, n))
			if err != nil {
				return err
			}
			top, err := g.Max(ctx, owned(g, all, n))
			if err != nil {
				return err
			}
			gather, err := g.AllGather(ctx, owned(g, all, 1, n))
			if err != nil {
				return err
			}
			if got, want := gather.Shape(), (tensor.Shape{v, n}); !got.Eq(want) {
				return fmt.Errorf("AllGather's shape is %v, want %v", got, want)
			}
			parts, err := g.SumScatter(ctx, owned(g, unit, v, n), 1)
			if err != nil {
				return err
			}
			// A second sum of the step is rounded by other draws; the step's number brings the same ones back.
			gradients := [2]*tensor.Dense{dense(make([]float32, n), n), dense(make([]float32, n), n)}
			for _, total := range gradients {
				if err := g.SumGradients(ctx, total, owned(g, all, n)); err != nil {
					return err
				}
			}
			if len(o.gradients) > 0 {
				g.SetStep(0)
				again := dense(make([]float32, n), n)
				if err := g.SumGradients(ctx, again, owned(g, all, n)); err != nil {
					return err
				}
				equalBits(t, "SumGradients of a step done again", again.Float32s(), o.gradients)
			}
			o = outcome{gradients: gradients[0].Float32s(), sum: sum.Float32s(), max: top.Float32s(), gather: gather.Float32s()}
			for _, p := range parts {
				if !p.Shape().Eq(tensor.Shape{1, n}) {
					return fmt.Errorf("SumScatter's shape is %v, want (1, %d)", p.Shape(), n)
				}
				o.scatter = append(o.scatter, p.Float32s()...)
			}
		}
		for r := range groups {
			if groups[r] == g {
				outcomes[r] = o
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{"SumGradients": outcomes[0].gradients, "Sum": outcomes[0].sum, "Max": outcomes[0].max, "AllGather": outcomes[0].gather}
	for r, o := range outcomes {
		equalBits(t, fmt.Sprintf("Sum on rank %d", r), o.sum, outcomes[0].sum)
		equalBits(t, fmt.Sprintf("SumGradients on rank %d", r), o.gradients, outcomes[0].gradients)
		equalBits(t, fmt.Sprintf("Max on rank %d", r), o.max, outcomes[0].max)
		equalBits(t, fmt.Sprintf("AllGather on rank %d", r), o.gather, outcomes[0].gather)
		out["SumScatter"] = append(out["SumScatter"], o.scatter...)
	}
	return out
}

func TestSameBitsForAnyWorld(t *testing.T) {
	for _, v := range []int{8, 16} {
		for _, n := range []int{1, 127, 128, 129, 1000, 5003} {
			all := vectors(v, n, uint64(n))
			var want map[string][]float32
			for _, w := range []int{1, 2, 3, 4, 5, 8} {
				groups := allreducetest.Ring(t, &allreducetest.Network{}, v, w, small)
				got := results(t, groups, all)
				allreducetest.CloseAll(t, groups)
				if want == nil {
					want = got
					checkAgainstFloat64(t, want["Sum"], all)
					checkExact(t, want, all)
				}
				for name := range want {
					equalBits(t, fmt.Sprintf("V=%d n=%d W=%d %s", v, n, w, name), got[name], want[name])
				}
			}
		}
	}
}

// checkAgainstFloat64 compares a sum, block by block, with the float64 sum: the error is relative to the largest input of the block.
func checkAgainstFloat64(t *testing.T, got []float32, all [][]float32) {
	t.Helper()
	for b := 0; b*allreduce.Block < len(got); b++ {
		worst, scale := 0.0, 0.0
		for j := b * allreduce.Block; j < min((b+1)*allreduce.Block, len(got)); j++ {
			want := 0.0
			for _, x := range all {
				want += float64(x[j])
				scale = max(scale, math.Abs(float64(x[j])))
			}
			worst = max(worst, math.Abs(float64(got[j])-want))
		}
		// Rounding to float32 at the end is 2^-25 of the sum, or half a denormal.
		if worst > 1e-6*scale+0x1p-150 {
			t.Fatalf("block %d: error %g, largest value %g", b, worst, scale)
		}
	}
}

func checkExact(t *testing.T, got map[string][]float32, all [][]float32) {
	t.Helper()
	n := len(all[0])
	top := append([]float32(nil), all[0]...)
	var gather []float32
	for _, x := range all {
		gather = append(gather, x...)
		for j, v := range x {
			top[j] = max(top[j], v)
		}
	}
	equalBits(t, "AllGather", got["AllGather"], gather)
	equalBits(t, "Max", got["Max"], top)
	v := len(all)
	for j, s := range got["SumScatter"] {
		want := 0.0
		for i := range v {
			want += float64(float32(math.Sin(float64(i*7+j))) / float32(v))
		}
		if math.Abs(float64(s)-want) > 1e-7 {
			t.Fatalf("SumScatter of %d: element %d is %g, want %g", n, j, s, want)
		}
	}
}

func TestRelativeErrorOfASum(t *testing.T) {
	const v, n = 16, 100_000
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]float32, v)
	for i := range all {
		all[i] = make([]float32, n)
		for j := range all[i] {
			all[i][j] = float32(r.NormFloat64() * math.Exp(3*r.NormFloat64()))
		}
	}
	groups := allreducetest.Ring(t, &allreducetest.Network{}, v, 1, nil)
	got, err := groups[0].Sum(deadline(t), owned(groups[0], all, n))
	if err != nil {
		t.Fatal(err)
	}
	worst, top, squares, norm := 0.0, 0.0, 0.0, 0.0
	for j, s := range got.Float32s() {
		want := 0.0
		for i := range all {
			want += float64(all[i][j])
		}
		d := float64(s) - want
		worst, top = max(worst, math.Abs(d)), max(top, math.Abs(want))
		squares, norm = squares+d*d, norm+want*want
	}
	t.Logf("max|a−b|/max|b| = %.2g, ‖a−b‖/‖b‖ = %.2g", worst/top, math.Sqrt(squares/norm))
	if worst/top > 1e-6 || math.Sqrt(squares/norm) > 1e-6 {
		t.Fatalf("relative error %g (largest), %g (norm); want at most 1e-6", worst/top, math.Sqrt(squares/norm))
	}
}

// Any cut of the virtual ranks and any frame, bucket and window size give the bits of one rank alone.
func TestSameBitsForAnyCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := rapid.IntRange(1, 12).Draw(rt, "V")
		w := rapid.IntRange(1, min(v, 5)).Draw(rt, "W")
		n := rapid.IntRange(1, 2000).Draw(rt, "n")
		starts := []int{0}
		for r := 1; r < w; r++ {
			starts = append(starts, rapid.IntRange(starts[r-1]+1, v-w+r).Draw(rt, "start"))
		}
		starts = append(starts, v)
		frame := rapid.SampledFrom([]int{512, 700, 4096, 1 << 18}).Draw(rt, "frame")
		bucket := rapid.IntRange(1, 1000).Draw(rt, "bucket")
		all := vectors(v, n, rapid.Uint64().Draw(rt, "seed"))
		alone := allreducetest.Ring(t, &allreducetest.Network{}, v, 1, nil)
		groups := allreducetest.Ring(t, &allreducetest.Network{}, v, w, func(c *allreduce.Config) {
			c.Starts, c.FrameBytes, c.BucketElements = starts, frame, bucket
		})
		want, got := results(t, alone, all), results(t, groups, all)
		allreducetest.CloseAll(t, groups)
		for name := range want {
			equalBits(t, name, got[name], want[name])
		}
	})
}
