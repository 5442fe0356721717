package allreduce_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/task"
)

// inRings runs f on every rank of a ring of one and of a ring of three.
func inRings(t *testing.T, v int, f func(g *allreduce.Group) error) {
	t.Helper()
	for _, w := range []int{1, 3} {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, v, w, small)
		if err := allreducetest.Each(groups, f); err != nil {
			t.Errorf("W=%d: %v", w, err)
		}
	}
}

// filled returns v vectors of n small numbers.
func filled(v, n int) [][]float32 {
	all := make([][]float32, v)
	for i := range all {
		all[i] = make([]float32, n)
		for j := range all[i] {
			all[i][j] = float32(i-j) / 64
		}
	}
	return all
}

func TestSumOfSpecialValues(t *testing.T) {
	const most, tiny = math.MaxFloat32, math.SmallestNonzeroFloat32
	below2 := math.Nextafter32(2, 0)
	for name, c := range map[string]struct {
		in   [4]float32
		want float32
	}{
		"zeros":             {[4]float32{0, 0, 0, 0}, 0},
		"one denormal":      {[4]float32{tiny, 0, 0, 0}, tiny},
		"denormals":         {[4]float32{tiny, tiny, tiny, -tiny}, 2 * tiny},
		"smallest normals":  {[4]float32{0x1p-126, tiny, -0x1p-126, 0}, tiny},
		"largest alone":     {[4]float32{most, 0, 0, 0}, most},
		"largest cancel":    {[4]float32{most, -most, most, -most}, 0},
		"largest negative":  {[4]float32{-most, 0, 0, 0}, -most},
		"just below 2":      {[4]float32{below2, 0, 0, 0}, below2},
		"just below 2 each": {[4]float32{below2, below2, below2, below2}, 4 * below2},
		"exact fractions":   {[4]float32{1.5, 1.5, -1, 0.25}, 2.25},
	} {
		all := [][]float32{{c.in[0]}, {c.in[1]}, {c.in[2]}, {c.in[3]}}
		inRings(t, 4, func(g *allreduce.Group) error {
			sum, err := g.Sum(deadline(t), owned(g, all, 1))
			if err == nil && sum.Float32s()[0] != c.want {
				t.Errorf("%s: the sum is %g, want %g", name, sum.Float32s()[0], c.want)
			}
			return err
		})
	}
}

func TestNotFiniteOnEveryRankAlike(t *testing.T) {
	const n = 700
	good := filled(6, n)
	for name, bad := range map[string]float32{
		"NaN": float32(math.NaN()), "+Inf": float32(math.Inf(1)), "-Inf": float32(math.Inf(-1)), "sum too large": math.MaxFloat32,
	} {
		all := filled(6, n)
		all[4][300] = bad
		if name == "sum too large" {
			all[1][300] = bad
		}
		inRings(t, 6, func(g *allreduce.Group) error {
			ctx := deadline(t)
			if _, err := g.Sum(ctx, owned(g, all, n)); !errors.Is(err, task.ErrNotFinite) {
				t.Errorf("%s: Sum returns %v, want ErrNotFinite", name, err)
			}
			_, err := g.Sum(ctx, owned(g, good, n))
			return err
		})
	}
}

func TestScatterBounds(t *testing.T) {
	good := filled(3, 6*100)
	for name, c := range map[string]struct {
		bad  float32
		want error
	}{
		"NaN": {float32(math.NaN()), task.ErrNotFinite}, "Inf": {float32(math.Inf(1)), task.ErrNotFinite}, "large": {64.5, allreduce.ErrBound},
	} {
		all := filled(3, 6*100)
		all[1][77] = c.bad
		inRings(t, 3, func(g *allreduce.Group) error {
			if _, err := g.SumScatter(deadline(t), owned(g, all, 6, 100), 64); !errors.Is(err, c.want) {
				t.Errorf("%s: SumScatter returns %v, want %v", name, err, c.want)
			}
			_, err := g.SumScatter(deadline(t), owned(g, good, 6, 100), 64)
			return err
		})
	}
	// Rounding on both sides of the promise is no breach of it.
	near := [][]float32{{1.0000004, -1.0000004, 0.5}, {0, 0, 0.25}, {0, 0, 0.2500002}}
	inRings(t, 3, func(g *allreduce.Group) error {
		parts, err := g.SumScatter(deadline(t), owned(g, near, 3), 1)
		lo, _ := g.Owned()
		for i, p := range parts {
			if want := []float32{1.0000004, -1.0000004, 1.0000002}[lo+i]; math.Abs(float64(p.Float32s()[0]-want)) > 1e-8 {
				t.Errorf("sum %d is %v, want %v", lo+i, p.Float32s()[0], want)
			}
		}
		return err
	})
	// The promise about sums is broken: its owner notices.
	ones := [][]float32{{1, 0, 0}, {1, 0, 0}, {0.5, 0, 0}}
	inRings(t, 3, func(g *allreduce.Group) error {
		_, err := g.SumScatter(deadline(t), owned(g, ones, 3), 1)
		if lo, _ := g.Owned(); lo == 0 && !errors.Is(err, allreduce.ErrBound) {
			t.Errorf("sum of 2.5 within ±1: SumScatter returns %v, want ErrBound", err)
		}
		return nil
	})
}

func TestMaxOfSpecialValues(t *testing.T) {
	nan, inf, zero := float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
	all := [][]float32{
		{-inf, -inf, zero, nan, -1, 1},
		{-inf, -2, 0, inf, -2, math.MaxFloat32},
		{-inf, -inf, zero, -inf, -3, inf},
	}
	inRings(t, 3, func(g *allreduce.Group) error {
		top, err := g.Max(deadline(t), owned(g, all, 2, 3))
		if err != nil {
			return err
		}
		got := top.Float32s()
		equalBits(t, "Max", append(got[:3:3], got[4:]...), []float32{-inf, -2, 0, -1, inf})
		if got[3] == got[3] {
			t.Errorf("the maximum with a NaN is %g, want NaN", got[3])
		}
		return nil
	})
}

func TestGatherOfOtherTypes(t *testing.T) {
	inRings(t, 8, func(g *allreduce.Group) error {
		lo, hi := g.Owned()
		var own []*tensor.Dense
		for v := lo; v < hi; v++ {
			own = append(own, tensor.New(tensor.WithShape(2), tensor.WithBacking([]uint64{uint64(v), ^uint64(v)})))
		}
		all, err := g.AllGather(deadline(t), own)
		if err != nil {
			return err
		}
		for v := range 8 {
			if got := all.Uint64s()[2*v : 2*v+2]; got[0] != uint64(v) || got[1] != ^uint64(v) {
				t.Errorf("virtual rank %d: %v", v, got)
			}
		}
		return nil
	})
}

func TestExchange(t *testing.T) {
	blobs := []string{strings.Repeat("a long one ", 1000), "", "short"}
	groups := allreducetest.Ring(t, &allreducetest.Network{}, 3, 3, small)
	for range 3 {
		if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
			r, _ := g.Owned()
			all, err := g.Exchange(deadline(t), []byte(blobs[r]))
			if err != nil {
				return err
			}
			for i, b := range blobs {
				if string(all[i]) != b {
					t.Errorf("rank %d has %d bytes of rank %d, want %d", r, len(all[i]), i, len(b))
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInputErrors(t *testing.T) {
	matrix := dense(make([]float32, 12), 3, 4)
	column, err := matrix.Slice(nil, tensor.S(1))
	if err != nil {
		t.Fatal(err)
	}
	g := allreducetest.Ring(t, &allreducetest.Network{}, 1, 1, nil)[0]
	ctx := deadline(t)
	for want, own := range map[string][]*tensor.Dense{
		"0 tensors":                          nil,
		"is nil":                             {nil},
		"2 tensors; expected one for each":   {matrix, matrix},
		"expected a contiguous row-major":    {column.(*tensor.Dense)},
		"tensors of int64; expected float32": {tensor.New(tensor.WithShape(2), tensor.WithBacking([]int64{1, 2}))},
	} {
		if _, err := g.Sum(ctx, own); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Sum returns %v, want %q", err, want)
		}
	}
	for _, bound := range []float32{0, -1, float32(math.NaN()), float32(math.Inf(1))} {
		if _, err := g.SumScatter(ctx, []*tensor.Dense{matrix}, bound); err == nil || !strings.Contains(err.Error(), "positive finite") {
			t.Errorf("SumScatter with bound %g returns %v", bound, err)
		}
	}
	two := allreducetest.Ring(t, &allreducetest.Network{}, 2, 1, nil)[0]
	if _, err := two.SumScatter(ctx, []*tensor.Dense{matrix, matrix}, 1); err == nil || !strings.Contains(err.Error(), "multiple of 2") {
		t.Errorf("SumScatter of 3 rows for 2 virtual ranks returns %v", err)
	}
	if _, err := two.Sum(ctx, []*tensor.Dense{matrix, dense(make([]float32, 12), 4, 3)}); err == nil || !strings.Contains(err.Error(), "expected the same") {
		t.Errorf("Sum of two shapes returns %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	ok := allreduce.Config{World: 2, VirtualRanks: 4}
	for want, edit := range map[string]func(*allreduce.Config){
		"expected 1 to 64":               func(c *allreduce.Config) { c.VirtualRanks = 65 },
		"surplus workers are spares":     func(c *allreduce.Config) { c.World = 5 },
		"expected 0 to 1":                func(c *allreduce.Config) { c.Rank = 2 },
		"expected 3 numbers":             func(c *allreduce.Config) { c.Starts = []int{0, 4} },
		"rank 1 owns no virtual rank":    func(c *allreduce.Config) { c.Starts = []int{0, 4, 4} },
		"must not be negative":           func(c *allreduce.Config) { c.FrameBytes = -1 },
		"expected at least 512":          func(c *allreduce.Config) { c.FrameBytes = 100 },
		"expected at least four frames":  func(c *allreduce.Config) { c.WindowBytes = 128 << 10 },
		"expected at least 10ms":         func(c *allreduce.Config) { c.DetectWithin = 1 },
		"raise the server's max_payload": func(c *allreduce.Config) { c.FrameBytes, c.WindowBytes = 1<<20, 8<<20 },
	} {
		c := ok
		edit(&c)
		network := &allreducetest.Network{MaxFrame: 1 << 20}
		if _, err := allreduce.NewGroup(c, network.Transport(0)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewGroup returns %v, want %q", err, want)
		}
	}
	if _, err := allreduce.NewGroup(ok, nil); err == nil || !strings.Contains(err.Error(), "needs a Transport") {
		t.Errorf("NewGroup without a transport returns %v", err)
	}
	if got := allreduce.Cut(8, 3); got[1] != 3 || got[2] != 6 || got[3] != 8 {
		t.Errorf("Cut(8, 3) is %v", got)
	}
}
