package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// squaresKernels writes sums of squares in float64, where the square of a float32 is exact.
func squaresKernels() {
	masks := laneMasks()
	squaresKernel(masks, false)
	squaresKernel(masks, true)
}

// squaresKernel adds the squares of x, or of x + decay·p, in four lanes of float64. Product and sum are two instructions: the sum, on which the
// next waits, then takes a cycle less than a multiply-add.
func squaresKernel(masks Mem, decayed bool) {
	name, params := "squares", "x *float32"
	if decayed {
		name, params = "squaresDecayed", "x, p *float32, decay float32"
	}
	TEXT(name+"AVX2", attr.NOSPLIT, "func("+params+", n int) float64")
	Doc(name + "AVX2 is " + name + "Portable over n elements.")
	Pragma("noescape")
	in, decay := []Mem{pointer("x")}, VecVirtual(nil)
	if decayed {
		in, decay = append(in, pointer("p")), broadcast("decay")
	}
	n, sum := integer("n"), zeroed(1)[0]
	// fold adds eight squares.
	fold := func(load func(m Mem, v VecVirtual)) {
		v := YMM()
		load(in[0], v)
		if decayed {
			p := YMM()
			load(in[1], p)
			addProduct(v, decay, p)
		}
		low, high, upper := YMM(), YMM(), XMM()
		VCVTPS2PD(v.AsX(), low)
		VEXTRACTF128(U8(1), v, upper)
		VCVTPS2PD(upper, high)
		for _, d := range []VecVirtual{low, high} {
			VMULPD(d, d, d)
			VADDPD(d, sum, sum)
		}
	}
	SUBQ(U32(lanes), n)
	JL(LabelRef("tail"))
	Label("loop")
	fold(func(m Mem, v VecVirtual) { VMOVUPS(m, v) })
	for _, m := range in {
		ADDQ(U32(vector), m.Base)
	}
	SUBQ(U32(lanes), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("end"))
	mask := maskOf(masks, n)
	fold(func(m Mem, v VecVirtual) { VMASKMOVPS(m, mask, v) })
	Label("end")
	// The lanes in order.
	low, high, next := sum.AsX(), XMM(), XMM()
	VEXTRACTF128(U8(1), sum, high)
	VPERMILPD(U8(1), low, next)
	VADDSD(next, low, low)
	VADDSD(high, low, low)
	VPERMILPD(U8(1), high, next)
	VADDSD(next, low, low)
	Store(low, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
