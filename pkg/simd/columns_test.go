package simd

import (
	"fmt"
	"testing"
)

// TestColumns compares each pass with one written element by element in float64, for one and several groups and all kinds of strips and blocks.
func TestColumns(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, c := range []Columns{
			{1, 0, 3}, {0, 4, 4}, {1, 1, 1}, {3, 2, 7}, {2, columnRun, 8}, {1, columnRun + 1, 19}, {5, 3, 64}, {2, 2*columnRun + 9, 33}, {1, 520, 71},
		} {
			t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) { checkPasses(t, c) })
		}
	})
}

func checkPasses(t *testing.T, c Columns) {
	n, values := c.Groups*c.Rows*c.Cols, c.Groups*c.Cols
	x, y, dy := random(n, 1), random(n, 2), random(n, 3)
	f, g, h, m := random(values, 4), random(values, 5), random(values, 6), random(values, 7)
	at := func(i int) int { return i/max(1, c.Rows*c.Cols)*c.Cols + i%max(1, c.Cols) } // of element i, its column's values
	positive := func(v float64) float64 { return max(v, 0) }
	masked := func(v, y float64) float64 {
		if y > 0 {
			return v
		}
		return 0
	}
	for _, pass := range []struct {
		name  string
		run   func(dst []float32) // dst is dy at first
		value func(dy, x, y, f, g, h, m float64) float64
	}{
		{"ScaleShift", func(dst []float32) { c.ScaleShift(dst, x, f, g) }, func(_, x, _, f, g, _, _ float64) float64 { return x*f + g }},
		{"ScaleShiftReLU", func(dst []float32) { c.ScaleShiftReLU(dst, x, f, g) }, func(_, x, _, f, g, _, _ float64) float64 { return positive(x*f + g) }},
		{"ScaleShiftAddReLU", func(dst []float32) { c.ScaleShiftAddReLU(dst, dst, y, f, g) },
			func(dy, _, y, f, g, _, _ float64) float64 { return positive(dy*f + g + y) }},
		{"Affine2", func(dst []float32) { c.Affine2(dst, dst, y, f, g, h) }, func(dy, _, y, f, g, h, _ float64) float64 { return dy*f + y*g + h }},
		{"Affine2ReLU", func(dst []float32) { c.Affine2ReLU(dst, x, dst, f, g, h) },
			func(dy, x, _, f, g, h, _ float64) float64 { return positive(x*f + dy*g + h) }},
		{"Affine2Masked", func(dst []float32) { c.Affine2Masked(dst, dst, x, f, g, h, m) },
			func(dy, x, _, f, g, h, m float64) float64 { return masked(dy, x*f+g)*f + x*h + m }},
		{"SumDotDevMasked", func(dst []float32) { c.SumDotDevMasked(random(values, 8), random(values, 9), dst, y, x, m) },
			func(dy, _, y, _, _, _, _ float64) float64 { return masked(dy, y) }},
	} {
		got, want := append([]float32(nil), dy...), make([]float64, n)
		pass.run(got)
		for i := range want {
			j := at(i)
			want[i] = pass.value(float64(dy[i]), float64(x[i]), float64(y[i]), float64(f[j]), float64(g[j]), float64(h[j]), float64(m[j]))
		}
		wantClose(t, pass.name, got, want, 5e-7)
	}
	for _, pass := range []struct {
		name string
		run  func(sum, dot []float32)
		kept func(dy, x, y, f, g float64) float64
	}{
		{"SumDotDev", func(sum, dot []float32) { c.SumDotDev(sum, dot, dy, x, m) }, func(dy, _, _, _, _ float64) float64 { return dy }},
		{"SumDotDevReLU", func(sum, dot []float32) { c.SumDotDevReLU(sum, dot, dy, x, f, g, m) },
			func(dy, x, _, f, g float64) float64 { return masked(dy, x*f+g) }},
		{"SumDotDevMasked", func(sum, dot []float32) { c.SumDotDevMasked(sum, dot, append([]float32(nil), dy...), y, x, m) },
			func(dy, _, y, _, _ float64) float64 { return masked(dy, y) }},
	} {
		sum, dot := random(values, 8), random(values, 9) // overwritten
		wantSum, wantDot := make([]float64, values), make([]float64, values)
		pass.run(sum, dot)
		for i := range dy {
			j := at(i)
			v := pass.kept(float64(dy[i]), float64(x[i]), float64(y[i]), float64(f[j]), float64(g[j]))
			wantSum[j] += v
			wantDot[j] += v * (float64(x[i]) - float64(m[j]))
		}
		wantClose(t, pass.name+": sum", sum, wantSum, 2e-6)
		wantClose(t, pass.name+": dot", dot, wantDot, 2e-6)
	}
	checkMoments(t, c, at)
}

// checkMoments has columns far from zero, whose squares would lose all digits of the deviations.
func checkMoments(t *testing.T, c Columns, at func(int) int) {
	if c.Rows == 0 {
		return
	}
	x, values := random(c.Groups*c.Rows*c.Cols, 1), c.Groups*c.Cols
	mean, sqDev := random(values, 8), random(values, 9)
	wantMean, wantSqDev := make([]float64, values), make([]float64, values)
	for i := range x {
		x[i] += 1000
		wantMean[at(i)] += float64(x[i]) / float64(c.Rows)
	}
	for i := range x {
		d := float64(x[i]) - wantMean[at(i)]
		wantSqDev[at(i)] += d * d
	}
	c.Moments(mean, sqDev, x)
	wantClose(t, "Moments: mean", mean, wantMean, 2e-7)
	wantClose(t, "Moments: sqDev", sqDev, wantSqDev, 1e-5)
}

func TestColumnsAreTheSameOnAnyNumberOfThreads(t *testing.T) {
	c := Columns{Groups: 2, Rows: 5*columnRun + 3, Cols: 40}
	n, values := c.Groups*c.Rows*c.Cols, c.Groups*c.Cols
	x, dy, m := random(n, 1), random(n, 2), random(values, 3)
	defer SetThreads(0)
	var want []float32
	for _, threads := range []int{1, 2, 5} {
		SetThreads(threads)
		sums, y := make([]float32, 4*values), make([]float32, n)
		c.Moments(sums[:values], sums[values:], x)
		c.SumDotDev(sums[2*values:], sums[3*values:], dy, x, m)
		c.ScaleShiftReLU(y, x, m, sums)
		got := append(sums, y...)
		if want == nil {
			want = got
		}
		wantSame(t, got, want)
	}
}
