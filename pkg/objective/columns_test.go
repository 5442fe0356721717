package objective

import (
	"math"
	"slices"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// ranksOf cuts samples over virtual ranks: part v has the rows [lo, hi).
func ranksOf(samples, ranks int, part func(lo, hi int)) {
	for v := range ranks {
		part(v*samples/ranks, (v+1)*samples/ranks)
	}
}

// centred are the rows of both views less the mean of the batch, from the sums of what each virtual rank adds up.
func centred(views [2][]float32, d, ranks int) (out [2][]float32) {
	samples := len(views[0]) / d
	for view, z := range views {
		sums, part := make([]float32, d), make([]float32, d)
		ranksOf(samples, ranks, func(lo, hi int) {
			simd.ColumnSum(part, z[lo*d:hi*d], hi-lo, d)
			simd.Add(sums, part)
		})
		simd.Scale(sums, -1/float32(samples))
		out[view] = slices.Clone(z)
		simd.AddRow(out[view], sums, samples, d)
	}
	return out
}

func vicregOf(v VICReg, views [2][]float32, ranks int) (loss float64, terms VICRegTerms, gradients [2][]float32) {
	d, distance := v.D, 0.0
	z := centred(views, d, ranks)
	var m [2][]float32
	for view := range m {
		m[view] = make([]float32, d*d)
		part := make([]float32, d*d)
		ranksOf(v.Samples, ranks, func(lo, hi int) {
			v.Scatter(part, z[view][lo*d:hi*d])
			simd.Add(m[view], part)
		})
	}
	ranksOf(v.Samples, ranks, func(lo, hi int) { distance += v.Distance(views[0][lo*d:hi*d], views[1][lo*d:hi*d]) })
	terms = v.Terms(m, distance)
	for view := range m {
		gradients[view] = make([]float32, v.Samples*d)
		ranksOf(v.Samples, ranks, func(lo, hi int) {
			v.Gradient(gradients[view][lo*d:hi*d], z[view][lo*d:hi*d], views[view][lo*d:hi*d], views[1-view][lo*d:hi*d], m[view])
		})
	}
	return v.Loss(terms), terms, gradients
}

func barlowOf(b Barlow, views [2][]float32, ranks int) (loss float64, correlation []float32, gradients [2][]float32) {
	d := b.D
	z, none := centred(views, d, ranks), make([]float32, d)
	var scales [2][]float32
	for view := range z {
		squares, part := make([]float32, d), make([]float32, d)
		ranksOf(b.Samples, ranks, func(lo, hi int) {
			simd.ColumnSqDev(part, z[view][lo*d:hi*d], none, hi-lo, d)
			simd.Add(squares, part)
		})
		scales[view] = make([]float32, d)
		b.Scales(scales[view], squares)
		simd.ScaleShift(z[view], z[view], scales[view], none, b.Samples, d)
	}
	total, part := make([]float32, d*d), make([]float32, d*d)
	ranksOf(b.Samples, ranks, func(lo, hi int) {
		b.Correlation(part, z[0][lo*d:hi*d], z[1][lo*d:hi*d])
		simd.Add(total, part)
	})
	for _, x := range total {
		correlation = append(correlation, x/float32(b.Samples))
	}
	var terms BarlowTerms
	b.Terms(&terms, total, scales)
	for view := range z {
		gradients[view] = make([]float32, b.Samples*d)
		ranksOf(b.Samples, ranks, func(lo, hi int) {
			b.Gradient(gradients[view][lo*d:hi*d], z[view][lo*d:hi*d], z[1-view][lo*d:hi*d], &terms, view)
		})
	}
	return b.Loss(&terms), correlation, gradients
}

// means64 are the means of the columns of z (n, d).
func means64(z []float64, d int) []float64 {
	mean := make([]float64, d)
	for i, x := range z {
		mean[i%d] += x / float64(len(z)/d)
	}
	return mean
}

// product64 is aᵀb (d, d) of a and b (n, d).
func product64(a, b []float64, d int) []float64 {
	p := make([]float64, d*d)
	for i := 0; i < len(a); i += d {
		for j := range d {
			for k := range d {
				p[j*d+k] += a[i+j] * b[i+k]
			}
		}
	}
	return p
}

// vicregDefinition is the loss with its gradient in float64, term by term as the paper has them.
func vicregDefinition(v VICReg, views [2][]float64) (loss float64, gradients [2][]float64) {
	d, n := v.D, float64(v.Samples)
	for view, z := range views {
		g, mean := make([]float64, len(z)), means64(z, d)
		c := make([]float64, len(z))
		for i, x := range z {
			c[i] = x - mean[i%d]
			difference := x - views[1-view][i]
			loss += v.Invariance * difference * difference / (n * float64(d)) / 2 // each view adds half
			g[i] = 2 * v.Invariance * difference / (n * float64(d))
		}
		s := product64(c, c, d)
		for j := range d {
			deviation := math.Sqrt(s[j*d+j]/(n-1) + 1e-4)
			loss += v.Variance / 2 / float64(d) * max(0, 1-deviation)
			for k := range d {
				if k != j {
					loss += v.Covariance / float64(d) * (s[j*d+k] / (n - 1)) * (s[j*d+k] / (n - 1))
				}
			}
			for i := j; i < len(z); i += d {
				if deviation < 1 {
					g[i] -= v.Variance / 2 / float64(d) * c[i] / (n - 1) / deviation
				}
				for k := range d {
					if k != j { // S_jk and S_kj
						g[i] += 4 * v.Covariance / float64(d) * s[j*d+k] / (n - 1) * c[i-j+k] / (n - 1)
					}
				}
			}
		}
		gradients[view] = g
	}
	return loss, gradients
}

// barlowDefinition is the loss with its gradient in float64: back through C, then through a batch norm without parameters.
func barlowDefinition(b Barlow, views [2][]float64) (loss float64, gradients [2][]float64) {
	d, n := b.D, float64(b.Samples)
	var hat [2][]float64
	var deviations [2][]float64
	for view, z := range views {
		mean := means64(z, d)
		deviations[view] = make([]float64, d)
		for i, x := range z {
			deviations[view][i%d] += (x - mean[i%d]) * (x - mean[i%d]) / n
		}
		for j, variance := range deviations[view] {
			deviations[view][j] = math.Sqrt(variance + 1e-5)
		}
		for i, x := range z {
			hat[view] = append(hat[view], (x-mean[i%d])/deviations[view][i%d])
		}
	}
	c := product64(hat[0], hat[1], d)
	slope := make([]float64, d*d)
	for i := range c {
		c[i] /= n
		if i/d == i%d {
			loss += (c[i] - 1) * (c[i] - 1)
			slope[i] = 2 * (c[i] - 1)
		} else {
			loss += b.Redundancy * c[i] * c[i]
			slope[i] = 2 * b.Redundancy * c[i]
		}
	}
	for view := range views {
		g := make([]float64, len(hat[view]))
		for i := range g {
			for k := range d {
				at := i%d*d + k
				if view == 1 {
					at = k*d + i%d
				}
				g[i] += hat[1-view][i-i%d+k] * slope[at] / n
			}
		}
		mean, along := means64(g, d), make([]float64, len(g))
		for i := range g {
			along[i] = g[i] * hat[view][i]
		}
		meanAlong := means64(along, d)
		for i := range g {
			gradients[view] = append(gradients[view], (g[i]-mean[i%d]-hat[view][i]*meanAlong[i%d])/deviations[view][i%d])
		}
	}
	return loss, gradients
}

func TestColumnsAgainstPyTorch(t *testing.T) {
	f := load(t, "vicreg")
	views := [2][]float64{f.Inputs["a"].Data, f.Inputs["b"].Data}
	views32 := [2][]float32{f.Inputs["a"].f32(), f.Inputs["b"].f32()}
	for _, ranks := range []int{1, 2, 3, 8} {
		v := VICReg{D: 5, Samples: 8, Invariance: f.Params["sim"], Variance: f.Params["std"], Covariance: f.Params["cov"]}
		loss, terms, got := vicregOf(v, views32, ranks)
		loss64, want := vicregDefinition(v, views)
		agrees(t, "VICReg's loss", []float64{loss}, []float64{loss64}, f.Outputs["loss"].Data)
		agrees(t, "VICReg's ∂L/∂a", widened(got[0]), want[0], f.Grads["a"].Data)
		agrees(t, "VICReg's ∂L/∂b", widened(got[1]), want[1], f.Grads["b"].Data)
		for name, term := range map[string]float64{"inv": terms.Invariance, "var": terms.Variance, "cov": terms.Covariance} {
			if e := relative([]float32{float32(term)}, f.Outputs[name].Data); e > 1e-5 {
				t.Errorf("VICReg's term %s is %v, want %v", name, term, f.Outputs[name].Data)
			}
		}
	}
	f = load(t, "barlow_twins")
	views = [2][]float64{f.Inputs["a"].Data, f.Inputs["b"].Data}
	views32 = [2][]float32{f.Inputs["a"].f32(), f.Inputs["b"].f32()}
	for _, ranks := range []int{1, 2, 3, 8} {
		b := Barlow{D: 5, Samples: 8, Redundancy: f.Params["lambda_"]}
		loss, c, got := barlowOf(b, views32, ranks)
		loss64, want := barlowDefinition(b, views)
		agrees(t, "Barlow Twins' loss", []float64{loss}, []float64{loss64}, f.Outputs["loss"].Data)
		agrees(t, "Barlow Twins' ∂L/∂a", widened(got[0]), want[0], f.Grads["a"].Data)
		agrees(t, "Barlow Twins' ∂L/∂b", widened(got[1]), want[1], f.Grads["b"].Data)
		if e := relative(c, f.Outputs["c"].Data); e > 1e-5 {
			t.Errorf("the correlation is off by %.2e", e)
		}
	}
}

func TestColumnGradientsByCentralDifferences(t *testing.T) {
	const samples, d, h = 6, 4, 1e-5
	var views [2][]float64
	for view := range views {
		views[view] = widened(random(keyed.New(7).At(uint64(view)), samples*d))
	}
	for i := range views[0] {
		views[0][i] *= 0.7 // so that some deviations lie above 1 and others below
	}
	narrow := [2][]float32{narrowed(views[0]), narrowed(views[1])}
	v, b := VICReg{D: d, Samples: samples, Invariance: 2, Variance: 3, Covariance: 1}, Barlow{D: d, Samples: samples, Redundancy: 0.1}
	_, _, byVICReg := vicregOf(v, narrow, 2)
	_, _, byBarlow := barlowOf(b, narrow, 2)
	for view := range views {
		differences(t, byVICReg[view], views[view], h, func() float64 { loss, _ := vicregDefinition(v, views); return loss })
		differences(t, byBarlow[view], views[view], h, func() float64 { loss, _ := barlowDefinition(b, views); return loss })
	}
}

// Embeddings that are all alike: no deviation, no direction to move in, and nothing divided by zero.
func TestColumnsOfACollapsedEncoder(t *testing.T) {
	const samples, d = 8, 4
	same := make([]float32, samples*d)
	for i := range same {
		same[i] = 3
	}
	v, b := VICReg{D: d, Samples: samples, Invariance: 25, Variance: 25, Covariance: 1}, Barlow{D: d, Samples: samples, Redundancy: 0.01}
	loss, _, byVICReg := vicregOf(v, [2][]float32{same, same}, 2)
	if math.Abs(loss-v.Collapsed()) > 1e-5 {
		t.Errorf("VICReg's loss is %v, want %v", loss, v.Collapsed())
	}
	loss, _, byBarlow := barlowOf(b, [2][]float32{same, same}, 2)
	if math.Abs(loss-d) > 1e-5 {
		t.Errorf("Barlow Twins' loss is %v, want %d", loss, d)
	}
	for view := range 2 {
		for i := range same {
			if byVICReg[view][i] != 0 || byBarlow[view][i] != 0 {
				t.Fatalf("gradient element %d is %v and %v, want 0", i, byVICReg[view][i], byBarlow[view][i])
			}
		}
	}
}
