// Package transform turns the members of a sample into a float image, augments it and gathers batches. Every random draw is keyed by what
// it is for: an op draws from the key of its name under the key of (position, view), so adding an op shifts no draw of another one.
//
// All arithmetic gives the same bits on every CPU: plain float32 and float64 operations with explicit conversions where the compiler could
// fuse a product and a sum, and powers and normal draws from our own polynomials. PNG and npy decode without rounding. JPEG decodes with the Go
// standard library, which is Go code without assembly and hence the same on every machine, but may change with the Go release (it did in
// Go 1.26): all workers of a job on JPEG data must run one build.
package transform

import "errors"

// ErrCorrupt is returned for a sample that cannot be decoded. The caller may replace it by another.
var ErrCorrupt = errors.New("corrupt sample")

// Image is H×W pixels of C channels (1 grey, 3 red-green-blue), row-major with channels last, values in [0, 1] until Normalize.
type Image struct {
	H, W, C int
	Pix     []float32 // H·W·C
}

// The weights of red, green and blue in grey: ITU-R BT.601, as in PIL and torchvision.
const (
	lumaR = 0.299
	lumaG = 0.587
	lumaB = 0.114
)

// withChannels converts between grey and RGB: grey is the luma 0.299·R + 0.587·G + 0.114·B, and RGB of grey repeats it.
func (m Image) withChannels(c int) (Image, bool) {
	switch {
	case c == 0 || c == m.C:
		return m, true
	case m.C == 3 && c == 1:
		out := Image{m.H, m.W, 1, make([]float32, m.H*m.W)}
		for i := range out.Pix {
			p := m.Pix[3*i : 3*i+3]
			out.Pix[i] = min(1, float32(lumaR*p[0])+float32(lumaG*p[1])+float32(lumaB*p[2]))
		}
		return out, true
	case m.C == 1 && c == 3:
		out := Image{m.H, m.W, 3, make([]float32, 3*m.H*m.W)}
		for i, v := range m.Pix {
			out.Pix[3*i], out.Pix[3*i+1], out.Pix[3*i+2] = v, v, v
		}
		return out, true
	}
	return Image{}, false
}
