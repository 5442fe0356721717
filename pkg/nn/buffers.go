package nn

// buffers are runs of memory that layers borrow for a while in a pass: gradients, and outputs that only the next layer reads. Few are in use at
// once, so that a model needs as many as that, and not one a layer.
type buffers struct {
	free    [][]float32
	largest int
}

// borrow returns n elements of undefined content, which the caller gives back.
func (b *buffers) borrow(n int) []float32 {
	b.largest = max(b.largest, n)
	last := len(b.free) - 1
	for i := last; i >= 0; i-- {
		if s := b.free[i]; cap(s) >= n {
			b.free[i] = b.free[last]
			b.free = b.free[:last]
			return s[:n]
		}
	}
	if last >= 0 { // too small: its place is taken by the new one
		b.free = b.free[:last]
	}
	// As large as the largest so far, since passes go from large maps to small ones and back.
	return make([]float32, n, b.largest)
}

// giveBack takes a run that borrow returned.
func (b *buffers) giveBack(s []float32) { b.free = append(b.free, s) }

// alike tells whether two runs lie at the same place.
func alike(a, b []float32) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }
