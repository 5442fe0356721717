package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func vectorKernels() {
	masks := laneMasks()
	elementwise(masks, "addTo", "dst, x *float32", []string{"dst", "x"}, nil, func(in, _ []VecVirtual) VecVirtual {
		VADDPS(in[1], in[0], in[0])
		return in[0]
	})
	elementwise(masks, "mulBy", "dst, x *float32", []string{"dst", "x"}, nil, func(in, _ []VecVirtual) VecVirtual {
		VMULPS(in[1], in[0], in[0])
		return in[0]
	})
	elementwise(masks, "axpy", "dst *float32, a float32, x *float32", []string{"dst", "x"}, []string{"a"}, func(in, s []VecVirtual) VecVirtual {
		VFMADD231PS(in[1], s[0], in[0])
		return in[0]
	})
	elementwise(masks, "scale", "dst *float32, a float32", []string{"dst"}, []string{"a"}, func(in, s []VecVirtual) VecVirtual {
		VMULPS(s[0], in[0], in[0])
		return in[0]
	})
	elementwise(masks, "blend", "dst, x, y *float32, a, b, c float32", []string{"x", "y"}, []string{"a", "b", "c"}, func(in, s []VecVirtual) VecVirtual {
		VFMADD213PS(s[2], s[1], in[1])
		VFMADD231PS(in[0], s[0], in[1])
		return in[1]
	})
	elementwise(masks, "relu", "y, x *float32", []string{"x"}, nil, func(in, _ []VecVirtual) VecVirtual {
		zero := YMM()
		VXORPS(zero, zero, zero)
		VMAXPS(in[0], zero, in[0]) // the second source is returned for NaN and for two zeros: x
		return in[0]
	})
	elementwise(masks, "reluBackward", "dx, dy, y *float32", []string{"dy", "y"}, nil, func(in, _ []VecVirtual) VecVirtual {
		zero := YMM()
		VXORPS(zero, zero, zero)
		VCMPPS(U8(greaterThan), zero, in[1], in[1])
		VANDPS(in[1], in[0], in[0])
		return in[0]
	})
	reduction(masks, "dotBlock", "x, y *float32", func(acc, x VecVirtual, y Op) { VFMADD231PS(y, x, acc) })
	reduction(masks, "sumBlock", "x *float32", func(acc, x VecVirtual, _ Op) { VADDPS(x, acc, acc) })
	maximum(masks)
}

const greaterThan = 0x1e // VCMPPS predicate: ordered, quiet

// elementwise writes a kernel that computes its first parameter from the inputs and scalars, element by element.
func elementwise(masks Mem, name, params string, inputs, scalars []string, body func(in, scalars []VecVirtual) VecVirtual) {
	TEXT(name+"AVX2", attr.NOSPLIT, "func("+params+", n int)")
	Doc(name + "AVX2 is " + name + "Portable over n elements.")
	Pragma("noescape")
	var s []VecVirtual
	for _, p := range scalars {
		s = append(s, broadcast(p))
	}
	dst := pointerAt(0)
	in := make([]Mem, len(inputs))
	for i, p := range inputs {
		in[i] = pointer(p)
	}
	n := integer("n")
	at := GP64() // bytes done
	XORQ(at, at)
	step := func(unroll int) {
		for u := range unroll {
			v := make([]VecVirtual, len(in))
			for i, m := range in {
				v[i] = YMM()
				VMOVUPS(m.Idx(at, 1).Offset(vector*u), v[i])
			}
			VMOVUPS(body(v, s), dst.Idx(at, 1).Offset(vector*u))
		}
		ADDQ(U32(vector*unroll), at)
	}

	const unroll = 4
	SUBQ(U32(lanes*unroll), n)
	JL(LabelRef("few"))
	Label("many")
	step(unroll)
	SUBQ(U32(lanes*unroll), n)
	JGE(LabelRef("many"))
	Label("few")
	ADDQ(U32(lanes*unroll-lanes), n)
	JL(LabelRef("tail"))
	Label("one")
	step(1)
	SUBQ(U32(lanes), n)
	JGE(LabelRef("one"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("done"))
	mask := maskOf(masks, n)
	v := make([]VecVirtual, len(in))
	for i, m := range in {
		v[i] = YMM()
		VMASKMOVPS(m.Idx(at, 1), mask, v[i])
	}
	VMASKMOVPS(body(v, s), mask, dst.Idx(at, 1))
	Label("done")
	VZEROUPPER()
	RET()
}

func pointerAt(i int) Mem { return Mem{Base: Load(ParamIndex(i), GP64())} }

// reduction writes a kernel that folds its inputs into 32 lanes, element i into lane i mod 32, and adds the lanes.
func reduction(masks Mem, name, params string, fold func(acc, x VecVirtual, y Op)) {
	two := params != "x *float32"
	TEXT(name+"AVX2", attr.NOSPLIT, "func("+params+", n int) float32")
	Doc(name + "AVX2 is " + name + "Portable over n elements.")
	Pragma("noescape")
	x := pointer("x")
	y := Mem{}
	if two {
		y = pointer("y")
	}
	n := integer("n")
	const width = 4
	acc := zeroed(width)
	SUBQ(U32(lanes*width), n)
	JL(LabelRef("rest"))
	Label("loop")
	for u := range width {
		v := YMM()
		VMOVUPS(x.Offset(vector*u), v)
		fold(acc[u], v, y.Offset(vector*u))
	}
	ADDQ(U32(vector*width), x.Base)
	if two {
		ADDQ(U32(vector*width), y.Base)
	}
	SUBQ(U32(lanes*width), n)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U32(lanes*width), n)
	for u := range width {
		// The next eight elements, as many of them as there are.
		here := GP64()
		MOVQ(n, here)
		limit := GP64()
		MOVQ(U32(lanes), limit)
		CMPQ(here, limit)
		CMOVQGT(limit, here)
		mask := maskOf(masks, here)
		v := YMM()
		VMASKMOVPS(x.Offset(vector*u), mask, v)
		if two {
			w := YMM()
			VMASKMOVPS(y.Offset(vector*u), mask, w)
			fold(acc[u], v, w)
		} else {
			fold(acc[u], v, nil)
		}
		SUBQ(here, n)
	}
	VADDPS(acc[1], acc[0], acc[0])
	VADDPS(acc[3], acc[2], acc[2])
	VADDPS(acc[2], acc[0], acc[0])
	Store(sumToScalar(acc[0]).AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func maximum(masks Mem) {
	TEXT("maxOfAVX2", attr.NOSPLIT, "func(x *float32, n int) float32")
	Doc("maxOfAVX2 is maxOfPortable over n elements.")
	Pragma("noescape")
	low := GLOBL("minusInfinity", attr.RODATA|attr.NOPTR)
	DATA(0, U32(math.Float32bits(float32(math.Inf(-1)))))
	x, n := pointer("x"), integer("n")
	const width = 4
	acc := make([]VecVirtual, width)
	for i := range acc {
		acc[i] = YMM()
		VBROADCASTSS(low, acc[i])
	}
	// The first source is kept only where it is greater, so NaN in x is passed over.
	fold := func(acc, v VecVirtual) { VMAXPS(acc, v, acc) }
	SUBQ(U32(lanes*width), n)
	JL(LabelRef("few"))
	Label("many")
	for u := range width {
		v := YMM()
		VMOVUPS(x.Offset(vector*u), v)
		fold(acc[u], v)
	}
	ADDQ(U32(vector*width), x.Base)
	SUBQ(U32(lanes*width), n)
	JGE(LabelRef("many"))
	Label("few")
	ADDQ(U32(lanes*width-lanes), n)
	JL(LabelRef("tail"))
	Label("one")
	v := YMM()
	VMOVUPS(x, v)
	fold(acc[0], v)
	ADDQ(U32(vector), x.Base)
	SUBQ(U32(lanes), n)
	JGE(LabelRef("one"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("done"))
	mask := maskOf(masks, n)
	v = YMM()
	VMASKMOVPS(x, mask, v)
	least := YMM()
	VBROADCASTSS(low, least)
	VBLENDVPS(mask, v, least, v)
	fold(acc[1], v)
	Label("done")
	fold(acc[0], acc[1])
	fold(acc[2], acc[3])
	fold(acc[0], acc[2])
	high := XMM()
	r := acc[0].AsX()
	VEXTRACTF128(U8(1), acc[0], high)
	VMAXPS(high, r, r)
	VMOVHLPS(r, r, high)
	VMAXPS(high, r, r)
	VMOVSHDUP(r, high)
	VMAXSS(high, r, r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
