package transform

import "github.com/sslctl/sslctl/pkg/simd"

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

// sampleTile is how many values of a row are made at a time.
const sampleTile = 192

// sample fills dst from src, bilinearly, along two independent axes: first along the rows of src, then between two of them.
func sample(dst, src Image, ys, xs axis) {
	c := src.C
	width := dst.W * c
	var columns [sampleTile]tap
	for from := 0; from < width; from += sampleTile {
		n := min(sampleTile, width-from)
		t := xs.tap(from / c)
		for i := range columns[:n] {
			ch := int32((from + i) % c)
			if ch == 0 {
				t = xs.tap((from + i) / c)
			}
			columns[i] = tap{t.lo*int32(c) + ch, t.hi*int32(c) + ch, t.wlo, t.whi}
		}
		rows := sampledRows{src: src, columns: columns[:n], at: [2]int32{-1, -1}}
		for y := range dst.H {
			t := ys.tap(y)
			top := rows.row(t.lo, t.hi)
			bottom := rows.row(t.hi, t.lo)
			simd.Mix(dst.Pix[y*width+from:][:n], top, bottom, t.wlo, t.whi)
		}
	}
}

// sampledRows holds two rows of src, sampled along the columns: neighbours in dst often lie between the same ones.
type sampledRows struct {
	src     Image
	columns []tap
	at      [2]int32 // which rows they are; −1: none yet
	values  [2][sampleTile]float32
}

// row returns a row, sampled; it leaves the row other where it is.
func (r *sampledRows) row(which, other int32) []float32 {
	i := 0
	switch {
	case r.at[0] == which:
		return r.values[0][:len(r.columns)]
	case r.at[1] == which:
		return r.values[1][:len(r.columns)]
	case r.at[0] == other:
		i = 1
	}
	r.at[i] = which
	width := r.src.W * r.src.C
	from, to := r.src.Pix[int(which)*width:][:width], r.values[i][:len(r.columns)]
	for k, t := range r.columns {
		to[k] = float32(from[t.lo]*t.wlo) + float32(from[t.hi]*t.whi)
	}
	return to
}
