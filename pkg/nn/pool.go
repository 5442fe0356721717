package nn

// pool averages maps of h×w down to size×size cells and flattens them channel by channel: (n, h, w, C) → (n, C·size·size), the order
// that torch.flatten gives an NCHW map. Cell i covers rows ⌊i·h/size⌋ to ⌈(i+1)·h/size⌉−1, columns alike, as
// torch.nn.AdaptiveAvgPool2d: cells overlap where size does not divide h.
type pool struct {
	h, w, channels, size int
	y                    []float32
	cell                 []float32 // (C)
}

func newPool(h, w, channels, size int) *pool {
	return &pool{h: h, w: w, channels: channels, size: size, cell: make([]float32, channels)}
}

// bounds is the run [lo, hi) of rows or columns, of n, that cell i covers.
func (l *pool) bounds(i, n int) (lo, hi int) {
	return i * n / l.size, ((i+1)*n + l.size - 1) / l.size
}

func (l *pool) forward(p *pass, x []float32) []float32 {
	cells := l.size * l.size
	y := grow(&l.y, p.n*l.channels*cells)
	for s := range p.n {
		image := x[s*l.h*l.w*l.channels:][:l.h*l.w*l.channels]
		out := y[s*l.channels*cells:][:l.channels*cells]
		for k := range cells {
			r0, r1 := l.bounds(k/l.size, l.h)
			c0, c1 := l.bounds(k%l.size, l.w)
			clear(l.cell)
			for r := r0; r < r1; r++ {
				for c := c0; c < c1; c++ {
					for i, v := range image[(r*l.w+c)*l.channels:][:l.channels] {
						l.cell[i] += v
					}
				}
			}
			share := 1 / float32((r1-r0)*(c1-c0))
			for i, v := range l.cell {
				out[i*cells+k] = v * share
			}
		}
	}
	return y
}

func (l *pool) backward(p *pass, dy []float32, _ bool) []float32 {
	cells := l.size * l.size
	dx := p.borrow(p.n * l.h * l.w * l.channels)
	clear(dx)
	for s := range p.n {
		image := dx[s*l.h*l.w*l.channels:][:l.h*l.w*l.channels]
		out := dy[s*l.channels*cells:][:l.channels*cells]
		for k := range cells {
			r0, r1 := l.bounds(k/l.size, l.h)
			c0, c1 := l.bounds(k%l.size, l.w)
			share := 1 / float32((r1-r0)*(c1-c0))
			for i := range l.cell {
				l.cell[i] = out[i*cells+k] * share
			}
			for r := r0; r < r1; r++ {
				for c := c0; c < c1; c++ {
					pixel := image[(r*l.w+c)*l.channels:][:l.channels]
					for i, v := range l.cell {
						pixel[i] += v
					}
				}
			}
		}
	}
	return dx
}
