package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// imageKernels writes the changes of images. They have no multiply-adds, so that portable code gives the same bits.
func imageKernels() {
	masks := laneMasks()
	elementwise(masks, "mix", "dst, x, y *float32, a, b float32", []string{"x", "y"}, []string{"a", "b"}, func(in, s []VecVirtual) VecVirtual {
		VMULPS(s[0], in[0], in[0])
		addProduct(in[0], s[1], in[1])
		return in[0]
	})
	t := newConstants("imageConstants")
	unit := t.float(1)
	elementwise(masks, "adjust", "dst, x *float32, mean, contrast, brightness float32", []string{"x"}, []string{"mean", "contrast", "brightness"}, func(in, s []VecVirtual) VecVirtual {
		v, zero := in[0], YMM()
		VSUBPS(s[0], v, v)
		VMULPS(s[1], v, v)
		VADDPS(s[0], v, v)
		VMULPS(s[2], v, v)
		VXORPS(zero, zero, zero)
		VMAXPS(zero, v, v) // the second source is returned for NaN: zero
		VMINPS(unit, v, v)
		return v
	})
	standardize(masks)
	power(masks, t)
}

// standardize takes means and deviations of 24 elements over and over: as many as three registers have, and a multiple of one and of three channels.
func standardize(masks Mem) {
	TEXT("standardizeAVX2", attr.NOSPLIT, "func(dst, x, mean, std *float32, n int)")
	Doc("standardizeAVX2 is standardizePortable over n elements.")
	Pragma("noescape")
	const registers = 3
	dst, x := pointer("dst"), pointer("x")
	from, by := pointer("mean"), pointer("std")
	n := integer("n")
	var mean, std [registers]VecVirtual
	for i := range registers {
		mean[i], std[i] = YMM(), YMM()
		VMOVUPS(from.Offset(vector*i), mean[i])
		VMOVUPS(by.Offset(vector*i), std[i])
	}
	SUBQ(U32(lanes*registers), n)
	JL(LabelRef("rest"))
	Label("loop")
	for i := range registers {
		v := YMM()
		VMOVUPS(x.Offset(vector*i), v)
		VSUBPS(mean[i], v, v)
		VDIVPS(std[i], v, v)
		VMOVUPS(v, dst.Offset(vector*i))
	}
	ADDQ(U32(vector*registers), x.Base)
	ADDQ(U32(vector*registers), dst.Base)
	SUBQ(U32(lanes*registers), n)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U32(lanes*registers), n)
	for i := range registers {
		here, limit := GP64(), GP64()
		MOVQ(n, here)
		MOVQ(U32(lanes), limit)
		CMPQ(here, limit)
		CMOVQGT(limit, here)
		mask, v := maskOf(masks, here), YMM()
		VMASKMOVPS(x.Offset(vector*i), mask, v)
		VSUBPS(mean[i], v, v)
		VDIVPS(std[i], v, v)
		VMASKMOVPS(v, mask, dst.Offset(vector*i))
		SUBQ(here, n)
	}
	VZEROUPPER()
	RET()
}

// power computes four elements at a time in float64.
func power(masks Mem, t *constants) {
	low, high := t.float(1e-4), t.float(1)
	mantissa, exponentOfOne, bias, lineBits, expMask := t.word(0x7fffff), t.word(0x3f800000), t.word(127), t.word(127), t.word(63)
	bias64 := t.word(1023)
	d := t.double
	one, third, quarter, half, sixth, perLn2, ln2 := d(1), d(1./3), d(1./4), d(1./2), d(1./6), d(1/math.Ln2), d(math.Ln2)
	minusHalf, shift, steps, least := d(-1./2), d(0x1.8p46), d(64), d(-200)

	TEXT("powerAVX2", attr.NOSPLIT, "func(dst, x *float32, y float64, inverse, log2, exp2 *float64, n int)")
	Doc("powerAVX2 is powerPortable over n elements.")
	Pragma("noescape")
	dst, x := pointer("dst"), pointer("x")
	y := YMM()
	at, err := Param("y").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSD(at.Addr, y)
	inverse, log2, exp2 := pointer("inverse"), pointer("log2"), pointer("exp2")
	n := integer("n")
	gather := func(table Mem, index VecVirtual) VecVirtual {
		v, all := YMM(), YMM()
		VPCMPEQD(all, all, all)
		VXORPS(v, v, v)
		VGATHERDPD(all, table.Idx(index, 8), v)
		return v
	}
	times := func(a VecVirtual, b Op) VecVirtual {
		p := YMM()
		VMULPD(b, a, p)
		return p
	}
	// four computes the powers of the four floats of v.
	four := func(v Op) VecVirtual {
		index, m, e := XMM(), XMM(), XMM()
		VPSRLD(U8(16), v, index)
		VPAND(lineBits, index, index)
		VPAND(mantissa, v, m)
		VPOR(exponentOfOne, m, m)
		VPSRLD(U8(23), v, e)
		VPSUBD(bias, e, e)
		r, tt := YMM(), YMM()
		VCVTPS2PD(m, r)
		r = times(r, gather(inverse, index))
		VSUBPD(one, r, r)
		VCVTDQ2PD(e, tt)
		VADDPD(gather(log2, index), tt, tt)
		p := YMM()
		VMOVUPD(third, p)
		VSUBPD(times(r, quarter), p, p)
		p = times(p, r)
		VADDPD(minusHalf, p, p)
		p = times(p, r)
		VADDPD(one, p, p)
		VADDPD(times(times(r, perLn2), p), tt, tt)
		tt = times(tt, y)

		k, s := YMM(), YMM()
		VADDPD(shift, tt, k)
		VSUBPD(shift, k, k)
		VSUBPD(k, tt, s)
		s = times(s, ln2)
		q := times(s, sixth)
		VADDPD(half, q, q)
		q = times(q, s)
		VADDPD(one, q, q)
		q = times(q, s)
		VADDPD(one, q, q)
		whole, scale := XMM(), YMM()
		VCVTPD2DQY(times(k, steps), whole)
		part := XMM()
		VPAND(expMask, whole, part)
		VPSRAD(U8(6), whole, whole)
		VPADDD(bias64, whole, whole)
		VPMOVZXDQ(whole, scale)
		VPSLLQ(U8(52), scale, scale)
		q = times(q, gather(exp2, part))
		q = times(q, scale)
		VCMPPD(U8(notLess), least, tt, tt)
		VANDPD(tt, q, q)
		result := XMM()
		VCVTPD2PSY(q, result)
		return result
	}
	eight := func(v VecVirtual) VecVirtual {
		VMAXPS(low, v, v)
		VMINPS(high, v, v)
		upper, r := XMM(), YMM()
		VEXTRACTF128(U8(1), v, upper)
		VINSERTF128(U8(1), four(upper), four(v.AsX()).AsY(), r)
		return r
	}
	SUBQ(U32(lanes), n)
	JL(LabelRef("tail"))
	Label("loop")
	v := YMM()
	VMOVUPS(x, v)
	VMOVUPS(eight(v), dst)
	ADDQ(U32(vector), x.Base)
	ADDQ(U32(vector), dst.Base)
	SUBQ(U32(lanes), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("end"))
	mask := maskOf(masks, n)
	v = YMM()
	VMASKMOVPS(x, mask, v)
	VMASKMOVPS(eight(v), mask, dst)
	Label("end")
	VZEROUPPER()
	RET()
}

const notLess = 0x1d // VCMPPD predicate: greater or equal, ordered, quiet
