package simd

import (
	"fmt"
	"sync"
)

// Pool is the geometry of two-dimensional pooling with a square window: x is (N, H, W, C), y is (N, OutH, OutW, C). Pixels outside the image
// never win a maximum and count as zeros in an average, as in torch.nn.MaxPool2d and torch.nn.AvgPool2d.
type Pool struct{ N, H, W, C, K, Stride, Pad int }

// OutH returns the height of the output.
func (p Pool) OutH() int { return (p.H+2*p.Pad-p.K)/p.Stride + 1 }

// OutW returns the width of the output.
func (p Pool) OutW() int { return (p.W+2*p.Pad-p.K)/p.Stride + 1 }

// Max computes y from x, overwriting y, and writes to taps, laid out as y, which pixel of its window each maximum is: row·K + column. Of
// equal values the first wins, and NaN wins over all.
func (p Pool) Max(y []float32, taps []uint8, x []float32) { p.run("Max", poolMax, y, taps, x) }

// MaxBackward computes dx, the gradient with respect to x, from dy and the taps that [Pool.Max] wrote, overwriting dx.
func (p Pool) MaxBackward(dx, dy []float32, taps []uint8) {
	p.run("MaxBackward", poolMaxBackward, dy, taps, dx)
}

// Average computes y from x, overwriting y. A window's pixels are added row by row.
func (p Pool) Average(y, x []float32) { p.run("Average", poolAverage, y, nil, x) }

// AverageBackward computes dx, the gradient with respect to x, from dy, overwriting dx.
func (p Pool) AverageBackward(dx, dy []float32) {
	p.run("AverageBackward", poolAverageBackward, dy, nil, dx)
}

func (p Pool) run(op string, kernel func(p Pool, y []float32, taps []uint8, x []float32), y []float32, taps []uint8, x []float32) {
	p.check(op, len(y), len(taps), len(x), taps != nil)
	if p.N == 0 {
		return
	}
	r := poolRuns.Get().(*poolRun)
	r.pool, r.kernel, r.y, r.taps, r.x = p, kernel, y, taps, x
	Parallel(p.N, r.step)
	r.y, r.taps, r.x = nil, nil, nil
	poolRuns.Put(r)
}

func (p Pool) check(op string, y, taps, x int, withTaps bool) {
	if p.N < 0 || p.H < 1 || p.W < 1 || p.C < 1 || p.K < 1 || p.K > poolMaximum || p.Stride < 1 || p.Pad < 0 || 2*p.Pad > p.K ||
		p.H+2*p.Pad < p.K || p.W+2*p.Pad < p.K {
		panic(fmt.Sprintf("simd: Pool.%s: no such pooling: %+v (sizes ≥ 1, windows up to 15, padding up to half a window, and the padded image at least as large as the window)", op, p))
	}
	out, in := p.N*p.OutH()*p.OutW()*p.C, p.N*p.H*p.W*p.C
	if y < out || x < in || withTaps && taps < out {
		panic(fmt.Sprintf("simd: Pool.%s: %d elements of x, %d of y, %d taps; %+v needs %d and %d", op, x, y, taps, p, in, out))
	}
}

// A poolRun is one pooling in progress, image by image. It is pooled itself, with its step bound once.
type poolRun struct {
	pool   Pool
	kernel func(p Pool, y []float32, taps []uint8, x []float32) // of one image
	y, x   []float32
	taps   []uint8
	step   func(int)
}

var poolRuns = sync.Pool{New: func() any {
	r := new(poolRun)
	r.step = r.image
	return r
}}

func (r *poolRun) image(n int) {
	out, in := r.pool.OutH()*r.pool.OutW()*r.pool.C, r.pool.H*r.pool.W*r.pool.C
	var taps []uint8
	if r.taps != nil {
		taps = r.taps[n*out : (n+1)*out]
	}
	r.kernel(r.pool, r.y[n*out:(n+1)*out], taps, r.x[n*in:(n+1)*in])
}

// window is the run of taps [lo, hi) of output position i, along an axis of size pixels, that lie on the image.
func (p Pool) window(i, size int) (lo, hi int) {
	at := i*p.Stride - p.Pad
	return max(0, -at), min(p.K, size-at)
}

// each calls f for every pixel of every window, row by row: the window's output at y, the pixel at x, and its tap.
func (p Pool) each(f func(y, x int, tap uint8)) {
	for oh := range p.OutH() {
		r0, r1 := p.window(oh, p.H)
		for ow := range p.OutW() {
			c0, c1 := p.window(ow, p.W)
			for r := r0; r < r1; r++ {
				for c := c0; c < c1; c++ {
					f((oh*p.OutW()+ow)*p.C, ((oh*p.Stride-p.Pad+r)*p.W+ow*p.Stride-p.Pad+c)*p.C, uint8(r*p.K+c))
				}
			}
		}
	}
}

// poolMaximum is the largest window.
const poolMaximum = 15

func poolMax(p Pool, y []float32, taps []uint8, x []float32) {
	var pixels [poolMaximum * poolMaximum]tap
	for oh := range p.OutH() {
		r0, r1 := p.window(oh, p.H)
		for ow := range p.OutW() {
			c0, c1 := p.window(ow, p.W)
			n := 0
			for r := r0; r < r1; r++ {
				for c := c0; c < c1; c++ {
					pixels[n] = tap{((oh*p.Stride-p.Pad+r)*p.W + ow*p.Stride - p.Pad + c) * p.C, r*p.K + c}
					n++
				}
			}
			at := (oh*p.OutW() + ow) * p.C
			poolMaxWindow(y[at:at+p.C], taps[at:at+p.C], x, pixels[:n])
		}
	}
}

// poolMaxWindowPortable writes the maximum of each channel over the pixels of a window, which begin at pixels[i].a, and the tap pixels[i].b it came from.
func poolMaxWindowPortable(y []float32, which []uint8, x []float32, pixels []tap) {
	for i, pixel := range pixels {
		for c, v := range x[pixel.a : pixel.a+len(y)] {
			if i == 0 || v > y[c] || v != v {
				y[c], which[c] = v, uint8(pixel.b)
			}
		}
	}
}

func poolMaxBackward(p Pool, dy []float32, taps []uint8, dx []float32) {
	clear(dx)
	p.each(func(from, at int, tap uint8) {
		poolMaxScatter(dx[at:at+p.C], dy[from:from+p.C], taps[from:from+p.C], tap)
	})
}

// poolMaxScatterPortable adds dy to dx where which is the tap.
func poolMaxScatterPortable(dx, dy []float32, which []uint8, tap uint8) {
	for i, w := range which {
		if w == tap {
			dx[i] += dy[i]
		}
	}
}

func poolAverage(p Pool, y []float32, _ []uint8, x []float32) {
	clear(y)
	p.each(func(at, from int, _ uint8) { addTo(y[at:at+p.C], x[from:from+p.C]) })
	scale(y, 1/float32(p.K*p.K))
}

func poolAverageBackward(p Pool, dy []float32, _ []uint8, dx []float32) {
	clear(dx)
	share := 1 / float32(p.K*p.K)
	p.each(func(from, at int, _ uint8) { axpy(dx[at:at+p.C], share, dy[from:from+p.C]) })
}
