package transform

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// normal maps a uniform draw from (0, 1) to a standard normal one: the inverse of the normal distribution function, absolute error below 1e-6.
// Rational functions of Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988), PPND7.
// 85 % of the draws need no logarithm, which makes it many times faster than a Box–Muller transform.
func normal(u float64) float32 {
	q := u - 0.5
	if q >= -0.425 && q <= 0.425 {
		r := 0.180625 - float64(q*q)
		num := horner(r, 59.109374720, 159.29113202, 50.434271938, 3.3871327179)
		den := horner(r, 67.187563600, 78.757757664, 17.895169469, 1)
		return float32(q * num / den)
	}
	tail := u
	if q > 0 {
		tail = 1 - u
	}
	r := math.Sqrt(-keyed.Log(tail)) // a correctly rounded operation
	var num, den float64
	if r <= 5 {
		r -= 1.6
		num = horner(r, 0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777)
		den = horner(r, 0, 0.12021132975, 0.73700164250, 1)
	} else {
		r -= 5
		num = horner(r, 0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150)
		den = horner(r, 0, 0.012258202635, 0.24197894225, 1)
	}
	if q < 0 {
		return float32(-(num / den))
	}
	return float32(num / den)
}

// horner is ((a·r + b)·r + c)·r + d.
func horner(r, a, b, c, d float64) float64 {
	p := float64(a*r) + b
	p = float64(p*r) + c
	return float64(p*r) + d
}
