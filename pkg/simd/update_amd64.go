package simd

func descend(p, g []float32, s *Descent) {
	if !vectorised {
		descendPortable(p, g, s)
		return
	}
	descendAVX2(at(p), at(g), &s.LR, len(p))
}

func descendMomentum(p, b, g []float32, s *Descent) {
	if !vectorised {
		descendMomentumPortable(p, b, g, s)
		return
	}
	descendMomentumAVX2(at(p), at(b), at(g), &s.LR, len(p))
}

func descendNesterov(p, b, g []float32, s *Descent) {
	if !vectorised {
		descendNesterovPortable(p, b, g, s)
		return
	}
	descendNesterovAVX2(at(p), at(b), at(g), &s.LR, len(p))
}

func adam(p, m, v, g []float32, s *Adam) {
	if !vectorised {
		adamPortable(p, m, v, g, s)
		return
	}
	adamAVX2(at(p), at(m), at(v), at(g), &s.Keep, len(p))
}
