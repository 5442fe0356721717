package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fixed16Kernels writes the conversions between float32 and fixed-point numbers of 16 bits, rounded at random.
func fixed16Kernels() {
	numbers := GLOBL("laneNumbers", attr.RODATA|attr.NOPTR)
	for i := range lanes {
		DATA(4*i, U32(i))
	}
	mix := GLOBL("mixWords", attr.RODATA|attr.NOPTR)
	for i, v := range []uint32{0x7feb352d, 0x846ca68b, lanes} {
		DATA(4*i, U32(v))
	}
	encodeFixed16(numbers, mix, "encodeFixed16", false)
	encodeFixed16(numbers, mix, "addFixed16", true)
	decodeFixed16()
}

func encodeFixed16(numbers, mix Mem, name string, add bool) {
	TEXT(name+"AVX2", attr.NOSPLIT, "func(q *int16, x *float32, scale float32, a, b, first uint32, n int)")
	Doc(name + "AVX2 is " + name + "Portable over n elements, a multiple of 16.")
	Pragma("noescape")
	q, x, scale := pointer("q"), pointer("x"), broadcast("scale")
	a, b, number := broadcast("a"), broadcast("b"), broadcast("first")
	VPADDD(numbers, number, number)
	words := make([]VecVirtual, 3)
	for i := range words {
		words[i] = YMM()
		VPBROADCASTD(mix.Offset(4*i), words[i])
	}
	n := integer("n")
	eight := func(offset int) VecVirtual {
		h, t, v := YMM(), YMM(), YMM()
		VPXOR(number, a, h)
		VPSRLD(U8(16), h, t)
		VPXOR(t, h, h)
		VPMULLD(words[0], h, h)
		VPSRLD(U8(15), h, t)
		VPXOR(t, h, h)
		VPADDD(b, h, h)
		VPMULLD(words[1], h, h)
		VPSRLD(U8(16), h, h)
		VPADDD(words[2], number, number)
		VMULPS(x.Offset(offset), scale, v)
		VCVTPS2DQ(v, v)
		VPADDD(h, v, v)
		VPSRAD(U8(16), v, v)
		return v
	}
	Label("sixteen")
	v, w := eight(0), eight(vector)
	VPACKSSDW(w, v, v) // of each half of the registers by itself
	VPERMQ(U8(0b11_01_10_00), v, v)
	if add {
		VPADDW(q, v, v)
	}
	VMOVDQU(v, q)
	ADDQ(U32(2*vector), x.Base)
	ADDQ(U32(vector), q.Base)
	SUBQ(U32(2*lanes), n)
	JNZ(LabelRef("sixteen"))
	VZEROUPPER()
	RET()
}

func decodeFixed16() {
	TEXT("decodeFixed16AVX2", attr.NOSPLIT, "func(x *float32, q *int16, unit float32, n int)")
	Doc("decodeFixed16AVX2 is decodeFixed16Portable over n elements, a multiple of 16.")
	Pragma("noescape")
	x, q, unit, n := pointer("x"), pointer("q"), broadcast("unit"), integer("n")
	Label("sixteen")
	for i := range 2 {
		v := YMM()
		VPMOVSXWD(q.Offset(vector/2*i), v)
		VCVTDQ2PS(v, v)
		VMULPS(unit, v, v)
		VMOVUPS(v, x.Offset(vector*i))
	}
	ADDQ(U32(2*vector), x.Base)
	ADDQ(U32(vector), q.Base)
	SUBQ(U32(2*lanes), n)
	JNZ(LabelRef("sixteen"))
	VZEROUPPER()
	RET()
}
