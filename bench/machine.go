package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/pkg/simd"
)

// telling are the CPU flags that kernels choose by.
var telling = []string{"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16"}

// machine describes what the figures were measured on: cores, CPU, its vector extensions, our arithmetic and which of its paths ran.
func machine() string {
	model, flags := cpu()
	return fmt.Sprintf("%d cores, %s (%s); kernels %s, numerics %s; %s %s/%s", runtime.GOMAXPROCS(0), model, flags, simd.Path(), simd.Profile(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// cpu reads the model's name and the telling flags where /proc/cpuinfo has them.
func cpu() (model, flags string) {
	model, flags = "unknown CPU", "flags unknown"
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return model, flags
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			flags = strings.Join(slices.DeleteFunc(strings.Fields(value), func(s string) bool { return !slices.Contains(telling, s) }), " ")
			return model, flags
		}
	}
	return model, flags
}
