package evaluate

import (
	"math"
	"testing"
)

// referenceLoss is the objective in float64 from its definition, on standardised features.
func referenceLoss(x matrix, labels []int, n int, l2 float64, params []float64) (loss float64, grad []float64) {
	grad = make([]float64, len(params))
	bias := x.cols * n
	for i := range x.rows {
		z := make([]float64, n)
		sum := 0.0
		for c := range n {
			z[c] = params[bias+c]
			for j, v := range x.row(i) {
				z[c] += float64(v) * params[j*n+c]
			}
			sum += math.Exp(z[c])
		}
		loss += (math.Log(sum) - z[labels[i]]) / float64(x.rows)
		for c := range n {
			g := math.Exp(z[c]) / sum
			if c == labels[i] {
				g--
			}
			g /= float64(x.rows)
			grad[bias+c] += g
			for j, v := range x.row(i) {
				grad[j*n+c] += g * float64(v)
			}
		}
	}
	for i := range bias {
		loss += l2 * params[i] * params[i]
		grad[i] += 2 * l2 * params[i]
	}
	return loss, grad
}

func fitted(t *testing.T, l2 float64, iterations int) (*probe, []float64) {
	t.Helper()
	train := blobs(3, 600, 6, 3, 1.5)
	m, err := toMatrix("x", train.Features)
	check(t, err)
	labels, n := classes(train.Labels, train.Labels)
	p := &probe{x: fitStandard(m).apply(m), labels: labels, classes: n, l2: l2}
	w, err := p.fit(t.Context(), iterations)
	check(t, err)
	return p, w
}

func TestProbeObjectiveEqualsTheDefinition(t *testing.T) {
	p, _ := fitted(t, 0.01, 1)
	params := make([]float64, p.size())
	for i := range params {
		params[i] = math.Sin(float64(i))
	}
	g := make([]float64, len(params))
	p.grad(g, params) // on its own: it must not rely on a call of loss before
	want, wantGrad := referenceLoss(p.x, p.labels, p.classes, p.l2, params)
	if got := p.loss(params); !near(got, want, 1e-6) {
		t.Errorf("loss %v, want %v", got, want)
	}
	for i := range g {
		if !near(g[i], wantGrad[i], 1e-6) {
			t.Errorf("gradient %d is %v, want %v", i, g[i], wantGrad[i])
		}
	}
}

// The objective is convex: at its minimum the gradient of the definition vanishes.
func TestProbeFindsTheMinimum(t *testing.T) {
	for _, l2 := range []float64{1e-4, 1e-2, 1} {
		p, w := fitted(t, l2, 100)
		_, grad := referenceLoss(p.x, p.labels, p.classes, l2, w)
		for i, g := range grad {
			if math.Abs(g) > 1e-4 {
				t.Errorf("l2 %v: gradient %d is %v at the result", l2, i, g)
			}
		}
	}
}

func TestProbeStandardises(t *testing.T) {
	train := blobs(3, 400, 5, 2, 1)
	m, err := toMatrix("x", train.Features)
	check(t, err)
	for i := range m.rows {
		m.row(i)[1] *= 1000
		m.row(i)[2] = 7 // constant
	}
	x := fitStandard(m).apply(m)
	for j := range x.cols {
		var mean, squares float64
		for i := range x.rows {
			mean += float64(x.row(i)[j]) / float64(x.rows)
			squares += float64(x.row(i)[j]) * float64(x.row(i)[j]) / float64(x.rows-1)
		}
		want := 1.0
		if j == 2 {
			want = 0
		}
		if !near(mean, 0, 1e-5) || !near(squares, want, 1e-4) {
			t.Errorf("column %d has mean %v and mean square %v", j, mean, squares)
		}
	}
}

func TestLinearProbeAccuracy(t *testing.T) {
	train, test := blobs(3, 2000, 6, 3, 1.5), blobs(4, 900, 6, 3, 1.5)
	got, err := LinearProbe(t.Context(), train, test, Probe{1e-4, 100})
	check(t, err)
	// The best rule for equal round clouds is the nearest centre; the probe must come close to it.
	centres := normals(999, 3, 6).Float32s()
	right := 0
	for i, label := range test.Labels {
		best, bestLabel := math.Inf(1), 0
		for c := range 3 {
			d := 0.0
			for j := range 6 {
				v := float64(test.Features.Float32s()[i*6+j] - 3 - centres[c*6+j])
				d += v * v
			}
			if d < best {
				best, bestLabel = d, 10+3*c
			}
		}
		if bestLabel == label {
			right++
		}
	}
	if want := float64(right) / 900; got < want-0.02 || got > want+0.02 || got == 1 {
		t.Errorf("accuracy %v, the best rule has %v", got, want)
	}
	// A label that training does not have is wrong, not an error.
	test.Labels = make([]int, len(test.Labels))
	if got, err = LinearProbe(t.Context(), train, test, Probe{1e-4, 5}); err != nil || got != 0 {
		t.Errorf("unknown labels: %v, %v", got, err)
	}
}

func TestOneClassIsNoError(t *testing.T) {
	one := Set{normals(1, 4, 2), []int{5, 5, 5, 5}}
	got, err := LinearProbe(t.Context(), one, one, Probe{1e-4, 10})
	check(t, err)
	if got != 1 {
		t.Errorf("accuracy %v, want 1", got)
	}
}
