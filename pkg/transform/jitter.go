package transform

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// Jitter changes the intensities of an image in [0, 1], in this order:
//
//  1. gamma: v ↦ max(v, 1e-4)^exp(u), u uniform in ±Gamma;
//  2. contrast about the mean m of the image over all channels: v ↦ (v − m)·u + m, u uniform in 1 ± Contrast;
//  3. brightness: v ↦ v·u, u uniform in 1 ± Brightness;
//  4. clamping to [0, 1].
//
// A step whose parameter is 0 is left out. With the complement of Probability the three changes are left out together.
type Jitter struct{ Brightness, Contrast, Gamma, Probability float64 }

// Name implements Op.
func (Jitter) Name() string { return "jitter" }

// Check implements Op.
func (j Jitter) Check() error {
	return checkAll(j, within("brightness", j.Brightness, 0, 1), within("contrast", j.Contrast, 0, 1), within("gamma", j.Gamma, 0, 3), within("probability", j.Probability, 0, 1))
}

// Size implements Op.
func (Jitter) Size(h, w int) (int, int) { return h, w }

// Apply implements Op.
func (j Jitter) Apply(dst, src Image, key keyed.Key) {
	gamma, contrast, brightness := 1.0, float32(1), float32(1)
	if key.Float64(0) < j.Probability {
		gamma = keyed.Exp(key.Uniform(1, -j.Gamma, j.Gamma))
		contrast = float32(key.Uniform(2, 1-j.Contrast, 1+j.Contrast))
		brightness = float32(key.Uniform(3, 1-j.Brightness, 1+j.Brightness))
	}
	x := dst.Pix
	switch {
	case j.Gamma == 0:
		copy(x, src.Pix)
	case gamma == 1:
		for i, v := range src.Pix {
			x[i] = min(max(v, 1e-4), 1)
		}
	default:
		powers.Power(x, src.Pix, gamma)
	}
	m := float32(0)
	if contrast != 1 { // of 1, the values stay what they are to the bit
		m = mean(x)
	}
	simd.Adjust(x, x, m, contrast, brightness)
}

// mean adds in four lanes, in float64: independent of the compiler and fast.
func mean(x []float32) float32 {
	var s [4]float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		s[0] += float64(x[i])
		s[1] += float64(x[i+1])
		s[2] += float64(x[i+2])
		s[3] += float64(x[i+3])
	}
	for ; i < len(x); i++ {
		s[0] += float64(x[i])
	}
	return float32(((s[0] + s[1]) + (s[2] + s[3])) / float64(len(x)))
}

// Erase sets a random box to 0 with a probability (Zhong et al., "Random erasing data augmentation", AAAI 2020). The box has a part of the
// image's area that is uniform in Area and sides in a ratio (width to height, relative to those of the image) that is log-uniform in
// Ratio. Its sides are rounded to pixels, at least one and at most the image's; its place is uniform inside the image.
type Erase struct {
	Probability float64
	Area        [2]float64
	Ratio       [2]float64 // {0, 0} stands for {0.3, 1/0.3}
}

// Name implements Op.
func (Erase) Name() string { return "erase" }

// Check implements Op.
func (e Erase) Check() error {
	return checkAll(e, within("probability", e.Probability, 0, 1), interval("area", e.Area, 0, 1), interval("ratio", e.ratio(), 0, 100))
}

func (e Erase) ratio() [2]float64 {
	if e.Ratio == [2]float64{} {
		return [2]float64{0.3, 1 / 0.3}
	}
	return e.Ratio
}

// Size implements Op.
func (Erase) Size(h, w int) (int, int) { return h, w }

// Apply implements Op.
func (e Erase) Apply(dst, src Image, key keyed.Key) {
	copy(dst.Pix, src.Pix)
	if key.Float64(0) >= e.Probability {
		return
	}
	area, ratio := key.Uniform(1, e.Area[0], e.Area[1]), logUniform(key, 2, e.ratio())
	w := side(math.Sqrt(area*ratio), src.W)
	h := side(math.Sqrt(area/ratio), src.H)
	x0 := int(key.IntN(3, uint64(src.W-w+1)))
	y0 := int(key.IntN(4, uint64(src.H-h+1)))
	for y := y0; y < y0+h; y++ {
		clear(dst.Pix[(y*src.W+x0)*src.C:][:w*src.C])
	}
}

// side is a part of n pixels, rounded, from 1 to n.
func side(part float64, n int) int { return min(max(int(float64(part*float64(n))+0.5), 1), n) }
