package simd

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// layerFixture is an operation on (rows, cols) with its gradients, computed by PyTorch in float64.
type layerFixture struct {
	Params  struct{ Eps float64 }
	Inputs  struct{ X, Gamma, Beta, Upstream fixtureTensor }
	Outputs struct{ Y fixtureTensor }
	Grads   struct{ X, Gamma, Beta fixtureTensor }
}

func loadLayer(t *testing.T, name string) (f layerFixture) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return f
}

func TestGELUAgainstPyTorch(t *testing.T) {
	for name, kernel := range map[string]func(y, slope, x []float32){"gelu_erf": GELU, "gelu_tanh": GELUTanh} {
		f := loadLayer(t, name)
		eachPath(t, func(t *testing.T) {
			x := rounded(f.Inputs.X.Data)
			y := make([]float32, len(x))
			kernel(y, x, x)
			wantClose(t, name, y, f.Outputs.Y.Data, 1e-6)
			Mul(x, rounded(f.Inputs.Upstream.Data))
			wantClose(t, name+" gradient", x, f.Grads.X.Data, 1e-6)
		})
	}
}

// The error is relative to the value itself, far into the tails, where Φ comes from the complementary error function.
func TestGELUAccuracy(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		var x []float32
		for v := float32(-12); v < 12; v += 0.0137 {
			x = append(x, v)
		}
		y, slope, approximate, rise := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		GELU(y, slope, x)
		GELUTanh(approximate, rise, x)
		for i, v := range x {
			a := float64(v)
			phi := math.Erfc(-a/math.Sqrt2) / 2
			if want := a * phi; math.Abs(float64(y[i])-want) > 1e-5*math.Abs(want) {
				t.Fatalf("GELU(%v) = %v, want %v", v, y[i], want)
			}
			if want := phi + a*math.Exp(-a*a/2)/math.Sqrt(2*math.Pi); math.Abs(float64(slope[i])-want) > 1e-6 {
				t.Fatalf("GELU'(%v) = %v, want %v", v, slope[i], want)
			}
			u := math.Sqrt(2/math.Pi) * (a + 0.044715*a*a*a)
			if want := a / 2 * (1 + math.Tanh(u)); math.Abs(float64(approximate[i])-want) > 1e-6 {
				t.Fatalf("GELUTanh(%v) = %v, want %v", v, approximate[i], want)
			}
			du := math.Sqrt(2/math.Pi) * (1 + 3*0.044715*a*a)
			if want := (1+math.Tanh(u))/2 + a/2*du/math.Cosh(u)/math.Cosh(u); math.Abs(float64(rise[i])-want) > 2e-6 {
				t.Fatalf("GELUTanh'(%v) = %v, want %v", v, rise[i], want)
			}
		}
	})
}

func TestGELUIsTheSameAtEveryPlace(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		x := random(50, 1)
		for _, kernel := range []func(y, slope, x []float32){GELU, GELUTanh} {
			whole, slopes := make([]float32, len(x)), make([]float32, len(x))
			kernel(whole, slopes, x)
			for i := range x {
				part, slope := make([]float32, len(x)-i), make([]float32, len(x)-i)
				kernel(part, slope, x[i:])
				wantSame(t, part, whole[i:])
				wantSame(t, slope, slopes[i:])
			}
		}
	})
}

func TestLayerNormAgainstPyTorch(t *testing.T) {
	f := loadLayer(t, "layernorm")
	rows, cols := f.Inputs.X.Shape[0], f.Inputs.X.Shape[1]
	eachPath(t, func(t *testing.T) {
		x, dy := rounded(f.Inputs.X.Data), rounded(f.Inputs.Upstream.Data)
		gamma, beta := rounded(f.Inputs.Gamma.Data), rounded(f.Inputs.Beta.Data)
		y, mean, inv := make([]float32, len(x)), make([]float32, rows), make([]float32, rows)
		LayerNorm(y, mean, inv, x, gamma, beta, rows, cols, f.Params.Eps)
		wantClose(t, "y", y, f.Outputs.Y.Data, 2e-6)
		dx, dGamma, dBeta := make([]float32, len(x)), random(cols, 1), random(cols, 2) // overwritten
		LayerNormBackward(dx, dGamma, dBeta, dy, nil, x, mean, inv, gamma, rows, cols)
		wantClose(t, "dx", dx, f.Grads.X.Data, 2e-6)
		wantClose(t, "dgamma", dGamma, f.Grads.Gamma.Data, 2e-6)
		wantClose(t, "dbeta", dBeta, f.Grads.Beta.Data, 2e-6)
		residual := random(len(x), 3)
		want := append([]float32(nil), residual...)
		Add(want, dx)
		LayerNormBackward(dy, dGamma, dBeta, dy, residual, x, mean, inv, gamma, rows, cols)
		wantSame(t, dy, want)
	})
}

// A mean far from zero costs no more digits than the inputs have.
func TestLayerNormOfALargeMean(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const cols = 37
		x, want, mean, square := random(cols, 1), make([]float64, cols), 0.0, 0.0
		for i := range x {
			x[i] += 1000
			mean += float64(x[i]) / cols
		}
		for i := range x {
			want[i] = float64(x[i]) - mean
			square += want[i] * want[i] / cols
		}
		for i := range x {
			want[i] /= math.Sqrt(square + 1e-6)
		}
		ones, zeros := make([]float32, cols), make([]float32, cols)
		for i := range ones {
			ones[i] = 1
		}
		y, mean32, inv := make([]float32, cols), make([]float32, 1), make([]float32, 1)
		LayerNorm(y, mean32, inv, x, ones, zeros, 1, cols, 1e-6)
		wantClose(t, "y", y, want, 1e-4)
	})
}

func TestSoftmax(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, cols := range awkward {
			const rows = 3
			x, dy := random(rows*cols, 1), random(rows*cols, 2)
			want, wantD := make([]float64, len(x)), make([]float64, len(x))
			for r := range rows {
				z, dot := 0.0, 0.0
				for c := r * cols; c < (r+1)*cols; c++ {
					z += math.Exp(float64(x[c]))
				}
				for c := r * cols; c < (r+1)*cols; c++ {
					want[c] = math.Exp(float64(x[c])) / z
					dot += want[c] * float64(dy[c])
				}
				for c := r * cols; c < (r+1)*cols; c++ {
					wantD[c] = want[c] * (float64(dy[c]) - dot)
				}
			}
			Softmax(x, rows, cols)
			wantClose(t, "softmax", x, want, 1e-6)
			SoftmaxBackward(dy, x, rows, cols)
			if cols > 1 { // of a single class the gradient is zero but for rounding
				wantClose(t, "gradient", dy, wantD, 2e-6)
			}
		}
	})
}
