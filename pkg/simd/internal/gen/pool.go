package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

const unordered = 0x03 // VCMPPS predicate: one of the two is NaN, quiet

func poolKernels() {
	poolMaxWindow()
	poolMaxScatter()
}

// poolMaxWindow keeps eight channels' maxima and the numbers of their taps in registers while the pixels of a window pass.
func poolMaxWindow() {
	TEXT("poolMaxWindowAVX2", attr.NOSPLIT, "func(y *float32, which *uint8, x *float32, pixels *int, count int, channels int)")
	Doc("poolMaxWindowAVX2 is poolMaxWindowPortable for at least one pixel and channels that are a positive multiple of 8.")
	Pragma("noescape")
	y, which, x, first, channels := pointer("y"), pointer("which"), pointer("x"), pointer("pixels"), integer("channels")
	Label("block")
	pixels, left, from := Mem{Base: GP64()}, integer("count"), GP64()
	MOVQ(first.Base, pixels.Base)
	best, tap := YMM(), YMM()
	MOVQ(pixels, from)
	VMOVUPS(Mem{Base: x.Base, Index: from, Scale: floatBytes}, best)
	VPBROADCASTD(pixels.Offset(8), tap)
	JMP(LabelRef("next"))
	Label("pixel")
	v, wins, nan, number := YMM(), YMM(), YMM(), YMM()
	MOVQ(pixels, from)
	VMOVUPS(Mem{Base: x.Base, Index: from, Scale: floatBytes}, v)
	VPBROADCASTD(pixels.Offset(8), number)
	VCMPPS(U8(greaterThan), best, v, wins)
	VCMPPS(U8(unordered), v, v, nan)
	VORPS(nan, wins, wins)
	VBLENDVPS(wins, v, best, best)
	VBLENDVPS(wins, number, tap, tap)
	Label("next")
	ADDQ(U32(tapBytes), pixels.Base)
	DECQ(left)
	JNZ(LabelRef("pixel"))
	VMOVUPS(best, y)
	high := XMM()
	VEXTRACTI128(U8(1), tap, high)
	VPACKUSDW(high, tap.AsX(), high)
	VPACKUSWB(high, high, high)
	VMOVQ(high, which)
	ADDQ(U32(vector), x.Base)
	ADDQ(U32(vector), y.Base)
	ADDQ(U32(lanes), which.Base)
	SUBQ(U32(lanes), channels)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// poolMaxScatter adds a window's gradients to one of its pixels, each where that pixel was the maximum.
func poolMaxScatter() {
	TEXT("poolMaxScatterAVX2", attr.NOSPLIT, "func(dx, dy *float32, which *uint8, tap int, channels int)")
	Doc("poolMaxScatterAVX2 is poolMaxScatterPortable for channels that are a positive multiple of 8.")
	Pragma("noescape")
	dx, dy, which, channels := pointer("dx"), pointer("dy"), pointer("which"), integer("channels")
	tap := YMM()
	number, err := Param("tap").Resolve()
	if err != nil {
		panic(err)
	}
	VPBROADCASTD(number.Addr, tap)
	Label("block")
	mask, d := YMM(), YMM()
	VPMOVZXBD(which, mask)
	VPCMPEQD(tap, mask, mask)
	VANDPS(dy, mask, d)
	VADDPS(dx, d, d)
	VMOVUPS(d, dx)
	ADDQ(U32(vector), dx.Base)
	ADDQ(U32(vector), dy.Base)
	ADDQ(U32(lanes), which.Base)
	SUBQ(U32(lanes), channels)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}
