package main

import (
	"fmt"
	"github.com/mmcloughlin/avo/attr"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	lanes  = 8 // floats in a vector register
	vector = 4 * lanes
)

// labels makes label names unique inside a function.
var labels int

func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

func pointer(param string) Mem { return Mem{Base: Load(Param(param), GP64())} }

func integer(param string) GPVirtual { return Load(Param(param), GP64()).(GPVirtual) }

// bytesOf loads a count of floats as a count of bytes.
func bytesOf(param string) GPVirtual {
	r := integer(param)
	SHLQ(U8(2), r)
	return r
}

func zeroed(n int) []VecVirtual {
	acc := make([]VecVirtual, n)
	for i := range acc {
		acc[i] = YMM()
		VXORPS(acc[i], acc[i], acc[i])
	}
	return acc
}

func broadcast(param string) VecVirtual {
	v := YMM()
	addr, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(addr.Addr, v)
	return v
}

// laneMasks is a table from which a mask of any number of leading lanes is read: eight set words, then eight clear ones.
func laneMasks() Mem {
	m := GLOBL("laneMasks", attr.RODATA|attr.NOPTR)
	for i := range 2 * lanes {
		v := uint32(0)
		if i < lanes {
			v = 0xffffffff
		}
		DATA(4*i, U32(v))
	}
	return m
}

// maskOf returns a mask of the first n lanes, n in 0 … 8.
func maskOf(table Mem, n GPVirtual) VecVirtual {
	at, mask := GP64(), YMM()
	LEAQ(table.Offset(vector), at)
	back := GP64()
	MOVQ(n, back)
	SHLQ(U8(2), back)
	SUBQ(back, at)
	VMOVUPS(Mem{Base: at}, mask)
	return mask
}

// sumToScalar adds the lanes of v: halves, then quarters, then neighbours.
func sumToScalar(v VecVirtual) VecVirtual {
	high := XMM()
	low := v.AsX()
	VEXTRACTF128(U8(1), v, high)
	VADDPS(high, low, low)
	VMOVHLPS(low, low, high)
	VADDPS(high, low, low)
	VMOVSHDUP(low, high)
	VADDSS(high, low, low)
	return v
}
