package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// geluKernels writes both forms of GELU; gelu.go of package simd explains their numbers.
func geluKernels() {
	masks := laneMasks()
	t := newConstants("geluConstants")
	exp := t.exp()
	unit := t.float(1)
	sign, magnitude := t.word(0x80000000), t.word(0x7fffffff)

	minusHalf, density, decay := t.float(-0.5), t.float(0.39894228040143267794), t.float(0.3)
	tail := make([]Mem, 8)
	for i, c := range []float64{0.036223373834, -0.15935454725, 0.20981958577, -0.056644973401, 0.130004988, 0.09951351372, 0.1208121848, 0.11962587077} {
		tail[i] = t.float(c)
	}
	geluKernel(masks, "gelu", func(x VecVirtual) (y, slope VecVirtual) {
		e := YMM()
		VMULPS(x, x, e)
		VMULPS(minusHalf, e, e)
		e = exp.of(e)
		a, one := YMM(), YMM()
		VANDPS(magnitude, x, a)
		VMOVUPS(unit, one)
		VMULPS(decay, a, a)
		VADDPS(one, a, a)
		VDIVPS(a, one, a) // t
		q := polynomial(a, tail[0], tail[1:]...)
		VMULPS(a, q, q)
		VMULPS(e, q, q)
		upper := YMM()
		VSUBPS(q, one, upper)
		VBLENDVPS(x, q, upper, q) // Φ(x): q where x is negative
		y, slope = YMM(), e
		VMULPS(x, q, y)
		VMULPS(density, slope, slope)
		VMULPS(x, slope, slope)
		VADDPS(q, slope, slope)
		return y, slope
	})

	cubic, twoRoot, cubicSlope := t.float(0.044715), t.float(1.59576912160573071176), t.float(3*0.044715)
	geluKernel(masks, "geluTanh", func(x VecVirtual) (y, slope VecVirtual) {
		square, u, one := YMM(), YMM(), YMM()
		VMULPS(x, x, square)
		VMULPS(square, x, u)
		VMULPS(cubic, u, u)
		VADDPS(x, u, u)
		VMULPS(twoRoot, u, u)
		VXORPS(sign, u, u)
		e := exp.of(u)
		VMOVUPS(unit, one)
		VADDPS(one, e, e)
		s := YMM()
		VDIVPS(e, one, s)
		y, slope = YMM(), YMM()
		VMULPS(x, s, y)
		VSUBPS(s, one, slope)
		VMULPS(y, slope, slope)
		VMULPS(cubicSlope, square, square)
		VADDPS(one, square, square)
		VMULPS(twoRoot, square, square)
		VMULPS(square, slope, slope)
		VADDPS(s, slope, slope)
		return y, slope
	})
}

// geluKernel writes a kernel of two results an element.
func geluKernel(masks Mem, name string, body func(x VecVirtual) (y, slope VecVirtual)) {
	TEXT(name+"AVX2", attr.NOSPLIT, "func(y, slope, x *float32, n int)")
	Doc(name + "AVX2 is " + name + "Portable over n elements.")
	Pragma("noescape")
	y, slope, x, n := pointer("y"), pointer("slope"), pointer("x"), integer("n")
	SUBQ(U32(lanes), n)
	JL(LabelRef("tail"))
	Label("loop")
	v := YMM()
	VMOVUPS(x, v)
	value, derivative := body(v)
	VMOVUPS(value, y)
	VMOVUPS(derivative, slope)
	for _, m := range []Mem{x, y, slope} {
		ADDQ(U32(vector), m.Base)
	}
	SUBQ(U32(lanes), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("done"))
	mask := maskOf(masks, n)
	v = YMM()
	VMASKMOVPS(x, mask, v)
	value, derivative = body(v)
	VMASKMOVPS(value, mask, y)
	VMASKMOVPS(derivative, mask, slope)
	Label("done")
	VZEROUPPER()
	RET()
}
