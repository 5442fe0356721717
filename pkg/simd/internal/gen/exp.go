package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// expTable holds the constants of exp, each repeated over a vector.
type expTable struct {
	mem  Mem
	used int
}

func (t *expTable) word(v uint32) Mem {
	m := t.mem.Offset(t.used)
	for i := range lanes {
		DATA(t.used+4*i, U32(v))
	}
	t.used += vector
	return m
}

func (t *expTable) float(v float64) Mem { return t.word(math.Float32bits(float32(v))) }

// expKernels writes the kernel of expBlockPortable; the constants are explained in exp.go of package simd.
func expKernels() {
	masks := laneMasks()
	table := &expTable{mem: GLOBL("expConstants", attr.RODATA|attr.NOPTR)}
	const high = 0.693359375
	var (
		low, top         = table.float(-104), table.float(89)
		log2E            = table.float(math.Log2E)
		ln2High, ln2Low  = table.float(high), table.float(math.Ln2 - high)
		bias             = table.word(127)
		c7, c6, c5       = table.float(1.0 / 5040), table.float(1.0 / 720), table.float(1.0 / 120)
		c4, c3, c2, unit = table.float(1.0 / 24), table.float(1.0 / 6), table.float(1.0 / 2), table.float(1)
	)

	TEXT("expBlockAVX2", attr.NOSPLIT, "func(dst, x *float32, n int, shift float32) float32")
	Doc("expBlockAVX2 is expBlockPortable over n elements.")
	Pragma("noescape")
	dst, x, n := pointer("dst"), pointer("x"), integer("n")
	shift := broadcast("shift")
	sum := zeroed(1)[0]

	exp := func(v VecVirtual) VecVirtual {
		VSUBPS(shift, v, v)
		// The second source is returned for NaN: v.
		bound := YMM()
		VMOVUPS(low, bound)
		VMAXPS(v, bound, v)
		VMOVUPS(top, bound)
		VMINPS(v, bound, v)
		k := YMM()
		VMULPS(log2E, v, k)
		VROUNDPS(U8(0), k, k)
		VFNMADD231PS(ln2High, k, v)
		VFNMADD231PS(ln2Low, k, v)
		s := YMM()
		VMOVUPS(c7, s)
		for _, c := range []Mem{c6, c5, c4, c3, c2, unit, unit} {
			VFMADD213PS(c, v, s)
		}
		half := YMM()
		VCVTPS2DQ(k, k)
		VPSRAD(U8(1), k, half)
		VPSUBD(half, k, k)
		for _, e := range []VecVirtual{half, k} {
			VPADDD(bias, e, e)
			VPSLLD(U8(23), e, e)
			VMULPS(e, s, s)
		}
		return s
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
