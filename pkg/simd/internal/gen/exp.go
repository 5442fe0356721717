package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// constants is a table of numbers, each repeated over a vector.
type constants struct {
	mem  Mem
	used int
}

func (t *constants) word(v uint32) Mem {
	m := t.mem.Offset(t.used)
	for i := range lanes {
		DATA(t.used+4*i, U32(v))
	}
	t.used += vector
	return m
}

func (t *constants) float(v float64) Mem { return t.word(math.Float32bits(float32(v))) }

func (t *constants) double(v float64) Mem {
	m := t.mem.Offset(t.used)
	for i := range vector / 8 {
		DATA(t.used+8*i, U64(math.Float64bits(v)))
	}
	t.used += vector
	return m
}

func newConstants(name string) *constants {
	return &constants{mem: GLOBL(name, attr.RODATA|attr.NOPTR)}
}

// expConstants are those of expPortable; exp.go of package simd explains them.
type expConstants struct {
	low, top, log2E, ln2High, ln2Low, bias Mem
	series                                 [7]Mem // of the powers 6 … 0
	first                                  Mem    // of the power 7
}

func (t *constants) exp() expConstants {
	const high = 0.693359375
	return expConstants{
		low: t.float(-104), top: t.float(89), log2E: t.float(math.Log2E),
		ln2High: t.float(high), ln2Low: t.float(math.Ln2 - high), bias: t.word(127),
		first:  t.float(1.0 / 5040),
		series: [7]Mem{t.float(1.0 / 720), t.float(1.0 / 120), t.float(1.0 / 24), t.float(1.0 / 6), t.float(1.0 / 2), t.float(1), t.float(1)},
	}
}

// of returns exp(v), which it overwrites.
func (c expConstants) of(v VecVirtual) VecVirtual {
	// The second source is returned for NaN: v.
	bound := YMM()
	VMOVUPS(c.low, bound)
	VMAXPS(v, bound, v)
	VMOVUPS(c.top, bound)
	VMINPS(v, bound, v)
	k := YMM()
	VMULPS(c.log2E, v, k)
	VROUNDPS(U8(0), k, k)
	VFNMADD231PS(c.ln2High, k, v)
	VFNMADD231PS(c.ln2Low, k, v)
	s := polynomial(v, c.first, c.series[:]...)
	half := YMM()
	VCVTPS2DQ(k, k)
	VPSRAD(U8(1), k, half)
	VPSUBD(half, k, k)
	for _, e := range []VecVirtual{half, k} {
		VPADDD(c.bias, e, e)
		VPSLLD(U8(23), e, e)
		VMULPS(e, s, s)
	}
	return s
}

// polynomial is Horner's scheme at v, the highest coefficient first.
func polynomial(v VecVirtual, first Mem, rest ...Mem) VecVirtual {
	s := YMM()
	VMOVUPS(first, s)
	for _, c := range rest {
		VFMADD213PS(c, v, s)
	}
	return s
}

// expKernels writes the kernel of expBlockPortable.
func expKernels() {
	masks := laneMasks()
	numbers := newConstants("expConstants").exp()

	TEXT("expBlockAVX2", attr.NOSPLIT, "func(dst, x *float32, n int, shift float32) float32")
	Doc("expBlockAVX2 is expBlockPortable over n elements.")
	Pragma("noescape")
	dst, x, n := pointer("dst"), pointer("x"), integer("n")
	shift := broadcast("shift")
	sum := zeroed(1)[0]
	exp := func(v VecVirtual) VecVirtual {
		VSUBPS(shift, v, v)
		return numbers.of(v)
	}

	SUBQ(U32(lanes), n)
	JL(LabelRef("tail"))
	Label("loop")
	v := YMM()
	VMOVUPS(x, v)
	v = exp(v)
	VMOVUPS(v, dst)
	VADDPS(v, sum, sum)
	ADDQ(U32(vector), x.Base)
	ADDQ(U32(vector), dst.Base)
	SUBQ(U32(lanes), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(U32(lanes), n)
	JZ(LabelRef("done"))
	mask := maskOf(masks, n)
	v = YMM()
	VMASKMOVPS(x, mask, v)
	v = exp(v)
	VMASKMOVPS(v, mask, dst)
	VANDPS(mask, v, v)
	VADDPS(v, sum, sum)
	Label("done")
	Store(sumToScalar(sum).AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
