package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fixedKernels writes the conversions between float32 and fixed-point numbers of 32 bits.
func fixedKernels() {
	masks := laneMasks()
	maxMagnitude(masks)
	encodeFixed(masks, "encodeFixed", false)
	encodeFixed(masks, "addFixed", true)
	decodeFixed(masks)
}

func maxMagnitude(masks Mem) {
	TEXT("maxMagnitudeAVX2", attr.NOSPLIT, "func(x *float32, n int) uint32")
	Doc("maxMagnitudeAVX2 is maxMagnitudePortable over n elements.")
	Pragma("noescape")
	x, n := pointer("x"), integer("n")
	acc, sign := zeroed(4), YMM()
	VPCMPEQD(sign, sign, sign)
	VPSRLD(U8(1), sign, sign)
	const unroll = 4
	SUBQ(U32(lanes*unroll), n)
	JL(LabelRef("few"))
	Label("many")
	for u, m := range acc {
		v := YMM()
		VPAND(x.Offset(vector*u), sign, v)
		VPMAXUD(v, m, m)
	}
	ADDQ(U32(vector*unroll), x.Base)
	SUBQ(U32(lanes*unroll), n)
	JGE(LabelRef("many"))
	Label("few")
	ADDQ(U32(lanes*unroll-lanes), n)
	JL(LabelRef("tail"))
	Label("one")
	v := YMM()
	VPAND(x, sign, v)
	VPMAXUD(v, acc[0], acc[0])
	ADDQ(U32(vector), x.Base)
	SUBQ(U32(lanes), n)
	JGE(LabelRef("one"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("end"))
	mask := maskOf(masks, n)
	v = YMM()
	VMASKMOVPS(x, mask, v)
	VPAND(sign, v, v)
	VPMAXUD(v, acc[1], acc[1])
	Label("end")
	VPMAXUD(acc[1], acc[0], acc[0])
	VPMAXUD(acc[3], acc[2], acc[2])
	VPMAXUD(acc[2], acc[0], acc[0])
	high, low := XMM(), acc[0].AsX()
	VEXTRACTI128(U8(1), acc[0], high)
	VPMAXUD(high, low, low)
	VPSHUFD(U8(0b01_00_11_10), low, high)
	VPMAXUD(high, low, low)
	VPSHUFD(U8(0b10_11_00_01), low, high)
	VPMAXUD(high, low, low)
	result := GP32()
	VMOVD(low, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// encodeFixed multiplies twice, by the halves of the exponent: the whole scale may be no float32. Scaling up is exact; what scaling down makes
// inexact rounds to 0 in any case.
func encodeFixed(masks Mem, name string, add bool) {
	TEXT(name+"AVX2", attr.NOSPLIT, "func(q *int32, x *float32, half, rest float32, n int)")
	Doc(name + "AVX2 is " + name + "Portable over n elements with the scale half·rest.")
	Pragma("noescape")
	q, x, half, rest := pointer("q"), pointer("x"), broadcast("half"), broadcast("rest")
	encoded := func(x Op) VecVirtual {
		v := YMM()
		VMULPS(x, half, v)
		VMULPS(rest, v, v)
		VCVTPS2DQ(v, v)
		return v
	}
	eachEight(masks, []Mem{q, x}, func(offset int) {
		v := encoded(x.Offset(offset))
		if add {
			VPADDD(q.Offset(offset), v, v)
		}
		VMOVDQU(v, q.Offset(offset))
	}, func(mask VecVirtual) {
		v := YMM()
		VMASKMOVPS(x, mask, v)
		v = encoded(v)
		if add {
			old := YMM()
			VPMASKMOVD(q, mask, old)
			VPADDD(old, v, v)
		}
		VPMASKMOVD(v, mask, q)
	})
}

// decodeFixed goes through float64, where the product is exact, so that a result is rounded once even below the normal numbers.
func decodeFixed(masks Mem) {
	TEXT("decodeFixedAVX2", attr.NOSPLIT, "func(x *float32, q *int32, unit float64, n int)")
	Doc("decodeFixedAVX2 is decodeFixedPortable over n elements.")
	Pragma("noescape")
	x, q, unit := pointer("x"), pointer("q"), YMM()
	at, err := Param("unit").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSD(at.Addr, unit)
	scaled := func(from Op) VecVirtual {
		v, r := YMM(), XMM()
		VCVTDQ2PD(from, v)
		VMULPD(unit, v, v)
		VCVTPD2PSY(v, r)
		return r
	}
	eachEight(masks, []Mem{x, q}, func(offset int) {
		VMOVUPS(scaled(q.Offset(offset)), x.Offset(offset))
		VMOVUPS(scaled(q.Offset(offset+vector/2)), x.Offset(offset+vector/2))
	}, func(mask VecVirtual) {
		v, high := YMM(), XMM()
		VPMASKMOVD(q, mask, v)
		VEXTRACTI128(U8(1), v, high)
		r := YMM()
		VINSERTF128(U8(1), scaled(high), scaled(v.AsX()).AsY(), r)
		VMASKMOVPS(r, mask, x)
	})
}

// eachEight writes the loops of a kernel over the parameter n: body does eight elements at an offset, last the fewer that are left, at the
// pointers, which move along.
func eachEight(masks Mem, pointers []Mem, body func(offset int), last func(mask VecVirtual)) {
	n := integer("n")
	step := func(unroll int) {
		for u := range unroll {
			body(vector * u)
		}
		for _, m := range pointers {
			ADDQ(U32(vector*unroll), m.Base)
		}
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
	JZ(LabelRef("end"))
	last(maskOf(masks, n))
	Label("end")
	VZEROUPPER()
	RET()
}
