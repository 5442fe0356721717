package objective

import (
	"math"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// guessed runs both directions from raw guesses and targets, L = shift − scale·Σ(cos(p₁, z₂) + cos(p₂, z₁)): the loss, and its gradient by
// the raw guesses.
func guessed(p1, p2, z1, z2 []float32, d int, shift, scale float64) (loss float64, dp1, dp2 []float32) {
	n := len(p1) / d
	direction := func(p, z []float32) (cosines float64, dp []float32) {
		u, norms, target := make([]float32, len(p)), make([]float32, n), make([]float32, len(z))
		Normalize(target, z, norms, n, d)
		Normalize(u, p, norms, n, d)
		dp = make([]float32, len(p))
		cosines = Guess(dp, u, target, d, float32(scale))
		NormalizeBackward(dp, dp, u, norms, n, d)
		return cosines, dp
	}
	a, dp1 := direction(p1, z2)
	b, dp2 := direction(p2, z1)
	return shift - scale*(a+b), dp1, dp2
}

// guessedDefinition is ∑ over both directions of the mean of shift/2 − scale·cos, in float64, with its gradient by the guesses.
func guessedDefinition(p1, p2, z1, z2 []float64, d int, shift, scale float64) (loss float64, dp1, dp2 []float64) {
	direction := func(p, z []float64) (dp []float64) {
		dp = make([]float64, len(p))
		for i := 0; i < len(p); i += d {
			dot, pp, zz := 0.0, 0.0, 0.0
			for c := i; c < i+d; c++ {
				dot, pp, zz = dot+p[c]*z[c], pp+p[c]*p[c], zz+z[c]*z[c]
			}
			cosine := dot / math.Sqrt(pp*zz)
			loss -= scale * cosine
			for c := i; c < i+d; c++ {
				dp[c] = -scale * (z[c]/math.Sqrt(zz) - cosine*p[c]/math.Sqrt(pp)) / math.Sqrt(pp)
			}
		}
		return dp
	}
	loss = shift
	dp1 = direction(p1, z2)
	dp2 = direction(p2, z1)
	return loss, dp1, dp2
}

func TestGuessesAgainstPyTorch(t *testing.T) {
	for _, c := range []struct {
		name         string
		shift, scale float64
	}{{"byol", 4, 2.0 / 4}, {"simsiam", 0, 0.5 / 4}} {
		f := load(t, c.name)
		in := func(name string) []float64 { return f.Inputs[name].Data }
		in32 := func(name string) []float32 { return f.Inputs[name].f32() }
		loss, dp1, dp2 := guessed(in32("p1"), in32("p2"), in32("z1"), in32("z2"), 5, c.shift, c.scale)
		loss64, dp164, dp264 := guessedDefinition(in("p1"), in("p2"), in("z1"), in("z2"), 5, c.shift, c.scale)
		agrees(t, c.name+": loss", []float64{loss}, []float64{loss64}, f.Outputs["loss"].Data)
		agrees(t, c.name+": ∂L/∂p₁", widened(dp1), dp164, f.Grads["p1"].Data)
		agrees(t, c.name+": ∂L/∂p₂", widened(dp2), dp264, f.Grads["p2"].Data)
	}
}

func TestGuessGradientByCentralDifferences(t *testing.T) {
	const n, d, h = 3, 4, 1e-6
	draw := func(name string) []float64 { return widened(random(keyed.New(6).For(name), n*d)) }
	p1, p2, z1, z2 := draw("p1"), draw("p2"), draw("z1"), draw("z2")
	_, dp1, _ := guessed(narrowed(p1), narrowed(p2), narrowed(z1), narrowed(z2), d, 4, 2.0/n)
	differences(t, dp1, p1, h, func() float64 {
		loss, _, _ := guessedDefinition(p1, p2, z1, z2, d, 4, 2.0/n)
		return loss
	})
}
