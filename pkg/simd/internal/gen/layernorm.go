package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// layerNormKernels writes the kernels of layer norm, row by row; layernorm_portable.go of package simd has what they compute.
func layerNormKernels() {
	masks := laneMasks()
	layerNorm(masks)
	layerNormBackward(masks, "layerNormBackward", false)
	layerNormBackward(masks, "layerNormBackwardAdd", true)
}

// rowVectors writes a loop over the vectors of a row: body gets the vector's place in an unrolled run of four, 0 outside runs, and a mask for the
// last, partial one.
func rowVectors(cols GPVirtual, masks Mem, body func(u int, at GPVirtual, offset int, mask Op)) {
	const unroll = 4
	many, few, one, tail, done := label("many"), label("few"), label("one"), label("tail"), label("done")
	at, left := GP64(), GP64()
	XORQ(at, at)
	MOVQ(cols, left)
	SUBQ(U32(lanes*unroll), left)
	JL(LabelRef(few))
	Label(many)
	for u := range unroll {
		body(u, at, vector*u, nil)
	}
	ADDQ(U32(vector*unroll), at)
	SUBQ(U32(lanes*unroll), left)
	JGE(LabelRef(many))
	Label(few)
	ADDQ(U32(lanes*unroll-lanes), left)
	JL(LabelRef(tail))
	Label(one)
	body(0, at, 0, nil)
	ADDQ(U32(vector), at)
	SUBQ(U32(lanes), left)
	JGE(LabelRef(one))
	Label(tail)
	ADDQ(U32(lanes), left)
	JZ(LabelRef(done))
	body(0, at, 0, maskOf(masks, left))
	Label(done)
}

// sumFour adds four vectors, and the lanes of the sum, and leaves it in all lanes.
func sumFour(acc []VecVirtual) VecVirtual {
	VADDPS(acc[1], acc[0], acc[0])
	VADDPS(acc[3], acc[2], acc[2])
	VADDPS(acc[2], acc[0], acc[0])
	return spread(sumToScalar(acc[0]))
}

// spread copies the first lane to all others.
func spread(v VecVirtual) VecVirtual {
	all := YMM()
	VBROADCASTSS(v.AsX(), all)
	return all
}

func layerNorm(masks Mem) {
	TEXT("layerNormAVX2", attr.NOSPLIT, "func(y, mean, invStd, x, gamma, beta *float32, share float32, eps float64, rows, cols int)")
	Doc("layerNormAVX2 is layerNormPortable for at least one row.")
	Pragma("noescape")
	y, mean, invStd, x, gamma, beta := pointer("y"), pointer("mean"), pointer("invStd"), pointer("x"), pointer("gamma"), pointer("beta")
	cols, stride, rows := integer("cols"), bytesOf("cols"), integer("rows")
	one := GLOBL("one", attr.RODATA|attr.NOPTR)
	DATA(0, U64(math.Float64bits(1)))
	Label("row")
	share := broadcast("share")
	acc := zeroed(4)
	rowVectors(cols, masks, func(u int, at GPVirtual, offset int, mask Op) {
		VADDPS(load(x.Idx(at, 1).Offset(offset), mask), acc[u], acc[u])
	})
	m := sumFour(acc)
	VMULPS(share, m, m)
	VMOVSS(m.AsX(), mean)
	acc = zeroed(4)
	rowVectors(cols, masks, func(u int, at GPVirtual, offset int, mask Op) {
		v := load(x.Idx(at, 1).Offset(offset), mask)
		VSUBPS(m, v, v)
		if mask != nil {
			VANDPS(mask, v, v)
		}
		VFMADD231PS(v, v, acc[u])
	})
	inv := sumFour(acc)
	VMULPS(share, inv, inv)
	s := inv.AsX()
	VCVTSS2SD(s, s, s)
	eps, unit := XMM(), XMM()
	VMOVSD(paramAddr("eps"), eps)
	VADDSD(eps, s, s)
	VSQRTSD(s, s, s)
	VMOVSD(one, unit)
	VDIVSD(s, unit, s)
	VCVTSD2SS(s, s, s)
	VMOVSS(s, invStd)
	inv = spread(inv)
	rowVectors(cols, masks, func(_ int, at GPVirtual, offset int, mask Op) {
		v := load(x.Idx(at, 1).Offset(offset), mask)
		VSUBPS(m, v, v)
		VMULPS(inv, v, v)
		store(scaledShifted(v, load(gamma.Idx(at, 1).Offset(offset), mask), load(beta.Idx(at, 1).Offset(offset), mask)), mask, y.Idx(at, 1).Offset(offset))
	})
	ADDQ(U32(4), mean.Base)
	ADDQ(U32(4), invStd.Base)
	ADDQ(stride, x.Base)
	ADDQ(stride, y.Base)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

func paramAddr(name string) Mem {
	addr, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return addr.Addr
}

func layerNormBackward(masks Mem, name string, residual bool) {
	params := "func(dx, dGamma, dBeta, dy, x, mean, invStd, gamma *float32, share float32, rows, cols int)"
	if residual {
		params = "func(dx, dGamma, dBeta, dy, r, x, mean, invStd, gamma *float32, share float32, rows, cols int)"
	}
	TEXT(name+"AVX2", attr.NOSPLIT, params)
	Doc(name + "AVX2 is " + name + "Portable for at least one row.")
	Pragma("noescape")
	dx, dGamma, dBeta, dy, x := pointer("dx"), pointer("dGamma"), pointer("dBeta"), pointer("dy"), pointer("x")
	gamma := pointer("gamma")
	var r Mem
	if residual {
		r = pointer("r")
	}
	cols := integer("cols")
	row := GP64()
	XORQ(row, row)
	Label("row")
	m, inv := YMM(), YMM()
	for _, v := range []struct {
		name string
		to   VecVirtual
	}{{"mean", m}, {"invStd", inv}} {
		p := GP64()
		MOVQ(paramAddr(v.name), p)
		VBROADCASTSS(Mem{Base: p}.Idx(row, 4), v.to)
	}
	normalised := func(at GPVirtual, offset int, mask Op) VecVirtual {
		v := load(x.Idx(at, 1).Offset(offset), mask)
		VSUBPS(m, v, v)
		VMULPS(inv, v, v)
		return v
	}
	sums := zeroed(2)
	rowVectors(cols, masks, func(_ int, at GPVirtual, offset int, mask Op) {
		hat, g := normalised(at, offset, mask), load(dy.Idx(at, 1).Offset(offset), mask)
		d := load(dBeta.Idx(at, 1).Offset(offset), mask)
		VADDPS(g, d, d)
		store(d, mask, dBeta.Idx(at, 1).Offset(offset))
		d = load(dGamma.Idx(at, 1).Offset(offset), mask)
		VFMADD231PS(hat, g, d)
		store(d, mask, dGamma.Idx(at, 1).Offset(offset))
		VMULPS(load(gamma.Idx(at, 1).Offset(offset), mask), g, g)
		VADDPS(g, sums[0], sums[0])
		VFMADD231PS(hat, g, sums[1])
	})
	share := broadcast("share")
	factor := YMM() // −invStd/cols
	VMULPS(inv, share, factor)
	level, slope := spread(sumToScalar(sums[0])), spread(sumToScalar(sums[1]))
	VMULPS(factor, level, level)
	VMULPS(factor, slope, slope)
	rowVectors(cols, masks, func(_ int, at GPVirtual, offset int, mask Op) {
		hat, g := normalised(at, offset, mask), load(dy.Idx(at, 1).Offset(offset), mask)
		VMULPS(load(gamma.Idx(at, 1).Offset(offset), mask), g, g)
		d := scaledShifted(g, inv, scaledShifted(hat, slope, level))
		if residual {
			VADDPS(load(r.Idx(at, 1).Offset(offset), mask), d, d)
		}
		store(d, mask, dx.Idx(at, 1).Offset(offset))
	})
	stride := bytesOf("cols")
	for _, p := range []Mem{dx, dy, x} {
		ADDQ(stride, p.Base)
	}
	if residual {
		ADDQ(stride, r.Base)
	}
	INCQ(row)
	rows := integer("rows")
	CMPQ(row, rows)
	JL(LabelRef("row"))
	VZEROUPPER()
	RET()
}
