package transform

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Op is one step of a pipeline. Ops are values without state, so they may be used from many goroutines.
type Op interface {
	// Name is the purpose of the op's draws.
	Name() string
	// Check reports parameters that make no sense.
	Check() error
	// Size is the size of the image that the op makes of one of h×w pixels.
	Size(h, w int) (outH, outW int)
	// Apply fills dst, which has the right size and the channels of src and does not share its memory. Its draws come from key alone.
	Apply(dst, src Image, key keyed.Key)
}

// checkAll joins the errors of parameters, under the op's name.
func checkAll(op Op, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("transform %s: %w", op.Name(), err)
	}
	return nil
}

// within checks lo ≤ v ≤ hi; it fails for NaN.
func within(name string, v, lo, hi float64) error {
	if !(v >= lo && v <= hi) {
		return fmt.Errorf("%s is %v: expected %v … %v", name, v, lo, hi)
	}
	return nil
}

// interval checks lo < v[0] ≤ v[1] ≤ hi.
func interval(name string, v [2]float64, lo, hi float64) error {
	if !(v[0] > lo && v[0] <= v[1] && v[1] <= hi) {
		return fmt.Errorf("%s is %v: expected two ascending numbers above %v and up to %v", name, v, lo, hi)
	}
	return nil
}

// logUniform is draw i of key, log-uniform in [r[0], r[1]].
func logUniform(key keyed.Key, i uint64, r [2]float64) float64 {
	if r[0] == r[1] {
		return r[0]
	}
	return keyed.Exp(key.Uniform(i, keyed.Log(r[0]), keyed.Log(r[1])))
}

// Flip mirrors the image left to right with a probability.
type Flip struct{ Probability float64 }

// Name implements Op.
func (Flip) Name() string { return "flip" }

// Check implements Op.
func (f Flip) Check() error { return checkAll(f, within("probability", f.Probability, 0, 1)) }

// Size implements Op.
func (Flip) Size(h, w int) (int, int) { return h, w }

// Apply implements Op.
func (f Flip) Apply(dst, src Image, key keyed.Key) {
	if key.Float64(0) >= f.Probability {
		copy(dst.Pix, src.Pix)
		return
	}
	row := src.W * src.C
	for y := range src.H {
		mirror(dst.Pix[y*row:][:row], src.Pix[y*row:][:row], src.C)
	}
}

// mirror writes the pixels of a row in reverse.
func mirror(to, from []float32, c int) {
	switch c {
	case 1:
		for i, v := range from {
			to[len(from)-1-i] = v
		}
	case 3:
		for i, j := 0, len(from)-3; j >= 0; i, j = i+3, j-3 {
			to[i], to[i+1], to[i+2] = from[j], from[j+1], from[j+2]
		}
	default:
		for i, j := 0, len(from)-c; j >= 0; i, j = i+c, j-c {
			copy(to[i:i+c], from[j:j+c])
		}
	}
}

// Normalize subtracts a mean and divides by a standard deviation, both for each channel or, with one value, for all alike.
type Normalize struct{ Mean, Std []float32 }

// Name implements Op.
func (Normalize) Name() string { return "normalize" }

// Check implements Op.
func (n Normalize) Check() error {
	var bad error
	if len(n.Mean) == 0 || len(n.Mean) != len(n.Std) {
		bad = fmt.Errorf("mean has %d values and std %d: expected one for all channels or one for each", len(n.Mean), len(n.Std))
	}
	if slices.ContainsFunc(n.Std, func(s float32) bool { return !(s > 0) }) {
		bad = errors.Join(bad, fmt.Errorf("std is %v: expected positive values", n.Std))
	}
	return checkAll(n, bad)
}

// Size implements Op.
func (Normalize) Size(h, w int) (int, int) { return h, w }

// Apply implements Op.
func (n Normalize) Apply(dst, src Image, _ keyed.Key) {
	channels := len(n.Mean) // 1, or those of the image: the pipeline has checked it
	if simd.StandardRun%channels == 0 {
		var mean, std [simd.StandardRun]float32
		for i := range mean {
			mean[i], std[i] = n.Mean[i%channels], n.Std[i%channels]
		}
		simd.Standardize(dst.Pix, src.Pix, &mean, &std)
		return
	}
	for ch := range channels {
		mean, std := n.Mean[ch], n.Std[ch]
		for i := ch; i < len(src.Pix); i += channels {
			dst.Pix[i] = (src.Pix[i] - mean) / std
		}
	}
}

// Noise adds independent normal noise of a standard deviation to every value, in the units that the values have at its place in the pipeline.
type Noise struct{ Std float64 }

// Name implements Op.
func (Noise) Name() string { return "noise" }

// Check implements Op.
func (n Noise) Check() error { return checkAll(n, within("std", n.Std, 0, 1e3)) }

// Size implements Op.
func (Noise) Size(h, w int) (int, int) { return h, w }

// Apply implements Op.
func (n Noise) Apply(dst, src Image, key keyed.Key) {
	std := float32(n.Std)
	for i, v := range src.Pix {
		u := (float64(key.Uint64(uint64(i))>>11) + 0.5) * 0x1p-53 // in (0, 1)
		dst.Pix[i] = v + float32(std*normal(u))
	}
}
