package nn

// join ends a residual block: max(norm(x) + shortcut, 0), the shortcut a map, or the norm of one.
type join struct {
	main, short *norm // short is nil where the shortcut has no norm
	y           []float32
	shift       []float32 // of both norms together
}

func (l *join) forward(p *pass, x, shortcut []float32) []float32 {
	y := grow(&l.y, len(x))
	l.main.prepare(p, x)
	if l.short == nil {
		l.main.strata.ScaleShiftAddReLU(y, x, shortcut, l.main.factor, l.main.shift)
		return y
	}
	l.short.prepare(p, shortcut)
	shift := grow(&l.shift, len(l.main.shift))
	for i, v := range l.main.shift {
		shift[i] = v + l.short.shift[i]
	}
	l.main.strata.Affine2ReLU(y, x, shortcut, l.main.factor, l.short.factor, shift)
	return y
}

// backward returns the gradients of x and of the shortcut: the former lies where x lay, the latter where dy lay.
func (l *join) backward(p *pass, dy []float32) (dx, dShortcut []float32) {
	m := l.main
	m.strata.SumDotDevMasked(m.sum, m.dot, dy, l.y, m.x, m.mean)
	m.finishSums(p)
	m.strata.Affine2(m.x, dy, m.x, m.factor, m.dot, m.sum)
	if l.short != nil {
		l.short.backward(p, dy, true)
	}
	return m.x, dy
}
