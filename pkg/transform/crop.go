package transform

import (
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// RandomResizedCrop cuts a random box and scales it to a size, bilinearly and without low-pass filter (as the affine grid sampling of PyTorch with
// align_corners=False and zero padding). The box has a part of the image's area that is uniform in Area and sides in a ratio (width to
// height, relative to those of the image) that is log-uniform in Ratio; a side that would be longer than the image's is cut to it. Its
// place is uniform inside the image.
type RandomResizedCrop struct {
	Height, Width int // of the result; 0 keeps that of the image
	Area          [2]float64
	Ratio         [2]float64 // {0, 0} stands for {3/4, 4/3}
}

// Name implements Op.
func (RandomResizedCrop) Name() string { return "randomResizedCrop" }

// Check implements Op.
func (r RandomResizedCrop) Check() error {
	return checkAll(r, checkTarget(r.Height, r.Width), interval("area", r.Area, 0, 1), interval("ratio", r.ratio(), 0, 100))
}

func (r RandomResizedCrop) ratio() [2]float64 {
	if r.Ratio == [2]float64{} {
		return [2]float64{3. / 4, 4. / 3}
	}
	return r.Ratio
}

// Size implements Op.
func (r RandomResizedCrop) Size(h, w int) (int, int) { return target(r.Height, r.Width, h, w) }

// Apply implements Op.
func (r RandomResizedCrop) Apply(dst, src Image, key keyed.Key) {
	ys, xs := r.box(key)
	ys.in, ys.out, xs.in, xs.out = src.H, dst.H, src.W, dst.W
	sample(dst, src, ys, xs)
}

// box draws the box: scale is the part of the axis that it covers, shift its centre, where the image reaches from −1 to 1.
func (r RandomResizedCrop) box(key keyed.Key) (ys, xs axis) {
	area, ratio := key.Uniform(0, r.Area[0], r.Area[1]), logUniform(key, 1, r.ratio())
	xs.scale = min(1, math.Sqrt(area*ratio)) // square roots are correctly rounded on every CPU
	ys.scale = min(1, math.Sqrt(area/ratio))
	xs.shift = float64(key.Uniform(2, -1, 1) * (1 - xs.scale))
	ys.shift = float64(key.Uniform(3, -1, 1) * (1 - ys.scale))
	return ys, xs
}

// Resize scales the image to a size, bilinearly, without low-pass filter; edge pixels are repeated outwards. An image that has the size is left
// as it is, to the bit.
type Resize struct{ Height, Width int }

// Name implements Op.
func (Resize) Name() string { return "resize" }

// Check implements Op.
func (r Resize) Check() error { return checkAll(r, checkTarget(r.Height, r.Width)) }

// Size implements Op.
func (r Resize) Size(h, w int) (int, int) { return target(r.Height, r.Width, h, w) }

// Apply implements Op.
func (r Resize) Apply(dst, src Image, _ keyed.Key) {
	if dst.H == src.H && dst.W == src.W {
		copy(dst.Pix, src.Pix)
		return
	}
	sample(dst, src, axis{in: src.H, out: dst.H, scale: 1, edge: true}, axis{in: src.W, out: dst.W, scale: 1, edge: true})
}

func checkTarget(h, w int) error {
	if h < 0 || w < 0 || h > 1<<13 || w > 1<<13 {
		return fmt.Errorf("size is %d×%d: expected sides from 1 to %d, or 0 to keep that of the image", h, w, 1<<13)
	}
	return nil
}

func target(height, width, h, w int) (int, int) {
	if height != 0 {
		h = height
	}
	if width != 0 {
		w = width
	}
	return h, w
}
