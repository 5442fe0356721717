package simd

// Descent holds the numbers of an update of gradient descent, in PyTorch's convention. Every operation is rounded by itself, so the bits are the
// same in every profile.
type Descent struct {
	LR       float32
	Decay    float32 // weight decay, in the gradient
	Momentum float32 // of DescendMomentum and DescendNesterov
	Rate     float32 // of DescendMomentum: what the gradient counts for; 1 but in LARS
}

// Descend computes d = g + Decay·p and p ← p − LR·d over all of p.
func (s *Descent) Descend(p, g []float32) {
	wantLen("Descend", "g", g, len(p))
	descend(p, g[:len(p)], s)
}

// DescendMomentum computes d = g + Decay·p, b ← Momentum·b + Rate·d and p ← p − LR·b over all of p.
func (s *Descent) DescendMomentum(p, b, g []float32) {
	wantLen("DescendMomentum", "b", b, len(p))
	wantLen("DescendMomentum", "g", g, len(p))
	descendMomentum(p, b[:len(p)], g[:len(p)], s)
}

// DescendNesterov computes d = g + Decay·p, b ← Momentum·b + d and p ← p − LR·(d + Momentum·b) over all of p.
func (s *Descent) DescendNesterov(p, b, g []float32) {
	wantLen("DescendNesterov", "b", b, len(p))
	wantLen("DescendNesterov", "g", g, len(p))
	descendNesterov(p, b[:len(p)], g[:len(p)], s)
}

// Adam holds the numbers of an update of Adam or AdamW. Every operation is rounded by itself, so the bits are the same in every profile.
type Adam struct {
	Keep         float32 // 1 − lr·wd of AdamW, 1 of Adam
	Decay        float32 // weight decay in the gradient, of Adam
	New1         float32 // 1 − β₁
	Beta2, New2  float32 // β₂ and 1 − β₂
	Size         float32 // lr/(1 − β₁ᵗ)
	InvRoot, Eps float32 // 1/√(1 − β₂ᵗ) and what is added to the denominator
}

// Update computes d = g + Decay·p, m ← m + New1·(d − m), v ← Beta2·v + New2·d² and p ← Keep·p − Size·m/(√v·InvRoot + Eps) over all of p.
func (s *Adam) Update(p, m, v, g []float32) {
	wantLen("Adam", "m", m, len(p))
	wantLen("Adam", "v", v, len(p))
	wantLen("Adam", "g", g, len(p))
	adam(p, m[:len(p)], v[:len(p)], g[:len(p)], s)
}
