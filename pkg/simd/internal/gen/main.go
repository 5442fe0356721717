// Command gen writes the assembly kernels of package simd: AVX2 and FMA, Go assembly, no cgo. `go generate` in pkg/simd runs it once a set.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"

	. "github.com/mmcloughlin/avo/build"
)

// sets are the files that can be generated.
var sets = map[string]func(){
	"tile":      tileKernels,
	"tile512":   wideTileKernels,
	"pack":      packKernels,
	"pool":      poolKernels,
	"vector":    vectorKernels,
	"exp":       expKernels,
	"gelu":      geluKernels,
	"column":    columnKernels,
	"update":    updateKernels,
	"squares":   squaresKernels,
	"fixed":     fixedKernels,
	"fixed16":   fixed16Kernels,
	"image":     imageKernels,
	"columns":   columnsKernels,
	"panel":     panelKernels,
	"panel512":  panelWideKernels,
	"layernorm": layerNormKernels,
}

func main() {
	set := flag.String("set", "", "the kernels to generate")
	flag.Parse()
	write, ok := sets[*set]
	if !ok {
		fmt.Fprintf(os.Stderr, "gen: -set is %q, want one of %v\n", *set, slices.Sorted(maps.Keys(sets)))
		os.Exit(2)
	}
	ConstraintExpr("amd64")
	write()
	Generate()
}
