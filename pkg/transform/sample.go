package transform

// tap says how one output row or column is read from the input: from lines lo and hi with their weights.
type tap struct {
	lo, hi   int32
	wlo, whi float32
}

// axis describes the sampling along one axis: output pixel i of out reads the place scale·n + shift of the input, where n = (2i+1)/out − 1 is the
// pixel's centre and ±1 are the outer edges of the axis (the affine grid with align_corners=False of PyTorch).
type axis struct {
	in, out      int
	scale, shift float64
	edge         bool // beyond the outermost pixel centres: repeat them if true; else fade to zero
}

func (a axis) tap(i int) tap {
	n := float64(2*i+1)/float64(a.out) - 1
	g := float64(a.scale*n) + a.shift
	at := (float64((g+1)*float64(a.in)) - 1) / 2
	at = min(max(at, -2), float64(a.in)+1) // farther away nothing changes, and the conversion below stays in range
	lo := int(at+4) - 4                    // floor: at+4 is positive
	w := float32(at - float64(lo))
	t := tap{int32(lo), int32(lo + 1), 1 - w, w}
	last := int32(a.in - 1)
	if a.edge {
		t.lo, t.hi = min(max(t.lo, 0), last), min(max(t.hi, 0), last)
		return t
	}
	if t.lo < 0 || t.lo > last {
		t.lo, t.wlo = 0, 0
	}
	if t.hi < 0 || t.hi > last {
		t.hi, t.whi = 0, 0
	}
	return t
}

// sample fills dst from src, bilinearly, along two independent axes.
func sample(dst, src Image, ys, xs axis) {
	const tile = 64 // columns whose taps are computed once for all rows
	var columns [tile]tap
	c := src.C
	for x0 := 0; x0 < dst.W; x0 += tile {
		n := min(tile, dst.W-x0)
		for i := range n {
			columns[i] = xs.tap(x0 + i)
			columns[i].lo *= int32(c)
			columns[i].hi *= int32(c)
		}
		for y := range dst.H {
			t := ys.tap(y)
			top := src.Pix[int(t.lo)*src.W*c:][:src.W*c]
			bottom := src.Pix[int(t.hi)*src.W*c:][:src.W*c]
			out := dst.Pix[(y*dst.W+x0)*c:][:n*c]
			for i, x := range columns[:n] {
				for ch := range int32(c) {
					a := float32(top[x.lo+ch]*x.wlo) + float32(top[x.hi+ch]*x.whi)
					b := float32(bottom[x.lo+ch]*x.wlo) + float32(bottom[x.hi+ch]*x.whi)
					out[i*c+int(ch)] = float32(a*t.wlo) + float32(b*t.whi)
				}
			}
		}
	}
}
