package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// updateKernels writes the updates of optimizers. They have no multiply-adds, so that portable code gives the same bits.
func updateKernels() {
	masks := laneMasks()
	updateKernel(masks, "descend", []string{"p"}, 2, func(s, v []VecVirtual) {
		p, d := v[0], v[1]
		addProduct(d, s[1], p)
		subtractProduct(p, s[0], d)
	})
	updateKernel(masks, "descendMomentum", []string{"p", "b"}, 4, func(s, v []VecVirtual) {
		p, b, d := v[0], v[1], v[2]
		addProduct(d, s[1], p)
		VMULPS(s[2], b, b)
		addProduct(b, s[3], d)
		subtractProduct(p, s[0], b)
	})
	updateKernel(masks, "descendNesterov", []string{"p", "b"}, 3, func(s, v []VecVirtual) {
		p, b, d := v[0], v[1], v[2]
		addProduct(d, s[1], p)
		VMULPS(s[2], b, b)
		VADDPS(d, b, b)
		addProduct(d, s[2], b)
		subtractProduct(p, s[0], d)
	})
	updateKernel(masks, "adam", []string{"p", "m", "v"}, 8, func(s, v []VecVirtual) {
		keep, decay, new1, beta2, new2, size, invRoot, eps := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		p, mean, square, g := v[0], v[1], v[2], v[3]
		addProduct(g, decay, p)
		t := YMM()
		VSUBPS(mean, g, t)
		VMULPS(new1, t, t)
		VADDPS(t, mean, mean)
		VMULPS(g, g, g)
		VMULPS(beta2, square, square)
		addProduct(square, new2, g)
		VSQRTPS(square, t)
		VMULPS(invRoot, t, t)
		VADDPS(eps, t, t)
		VMULPS(size, mean, g)
		VDIVPS(t, g, g)
		VMULPS(keep, p, p)
		VSUBPS(g, p, p)
	})
}

// addProduct adds a·b to sum, rounding both.
func addProduct(sum, a, b VecVirtual) {
	t := YMM()
	VMULPS(a, b, t)
	VADDPS(t, sum, sum)
}

// subtractProduct takes a·b off from, rounding both.
func subtractProduct(from, a, b VecVirtual) {
	t := YMM()
	VMULPS(a, b, t)
	VSUBPS(t, from, from)
}

// updateKernel writes a kernel that changes the vectors named in state from them and from the gradient, element by element. body gets the scalars,
// which lie one behind the other, and the vectors, the gradient last.
func updateKernel(masks Mem, name string, state []string, scalars int, body func(s, v []VecVirtual)) {
	params := ""
	for _, p := range append(state, "grad", "s") {
		if params != "" {
			params += ", "
		}
		params += p
	}
	TEXT(name+"AVX2", attr.NOSPLIT, "func("+params+" *float32, n int)")
	Doc(name + "AVX2 is " + name + "Portable over n elements.")
	Pragma("noescape")
	var at []Mem
	for _, p := range append(state, "grad") {
		at = append(at, pointer(p))
	}
	from := pointer("s")
	s := make([]VecVirtual, scalars)
	for i := range s {
		s[i] = YMM()
		VBROADCASTSS(from.Offset(4*i), s[i])
	}
	n, done := integer("n"), GP64()
	XORQ(done, done)
	v := make([]VecVirtual, len(at))

	SUBQ(U32(lanes), n)
	JL(LabelRef("tail"))
	Label("loop")
	for i, m := range at {
		v[i] = YMM()
		VMOVUPS(m.Idx(done, 1), v[i])
	}
	body(s, v)
	for i := range state {
		VMOVUPS(v[i], at[i].Idx(done, 1))
	}
	ADDQ(U32(vector), done)
	SUBQ(U32(lanes), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("end"))
	mask := maskOf(masks, n)
	for i, m := range at {
		v[i] = YMM()
		VMASKMOVPS(m.Idx(done, 1), mask, v[i])
	}
	body(s, v)
	for i := range state {
		VMASKMOVPS(v[i], mask, at[i].Idx(done, 1))
	}
	Label("end")
	VZEROUPPER()
	RET()
}
