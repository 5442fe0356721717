package simd

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// PathVariable is the environment variable that forces a path of the kernels, read once at start-up: "portable", "avx2" or "avx512". Unset or empty, the
// last of them that the machine has runs. A program does not start with another value, or with one that the machine lacks.
const PathVariable = "SSLCTL_SIMD"

// paths are the paths there are, each with what the ones before it need and more.
var paths = []string{"portable", "avx2", "avx512"}

// path is the index in paths of the one that this process was started with.
var path = startPath()

// Path names the path of the kernels that this process was started with: "portable", "avx2" or "avx512". Paths of one profile give equal bits.
func Path() string { return paths[path] }

// startPath ends the program if the variable asks for what cannot be: computing in another way unasked would be found out too late.
func startPath() int {
	chosen, err := choosePath(os.Getenv(PathVariable), machinePath())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3) // as sslctl does for a setting that cannot be used
	}
	return chosen
}

// choosePath returns the path that is wanted by name on a machine that has those up to most.
func choosePath(want string, most int) (int, error) {
	if want == "" {
		return most, nil
	}
	switch i := slices.Index(paths, want); {
	case i < 0:
		return 0, fmt.Errorf("simd: %s is %q, want one of %s, or unset for the fastest that this machine has", PathVariable, want, strings.Join(paths, ", "))
	case i > most:
		return 0, fmt.Errorf("simd: %s is %q, but this machine or its operating system has only %s; unset it, or run there what it has", PathVariable, want,
			strings.Join(paths[:most+1], ", "))
	default:
		return i, nil
	}
}
