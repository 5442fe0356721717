package simd

// The names of the numerics profiles. The number is the version of the arithmetic: it rises with any change that moves a result's bits.
const (
	profileFMA      = "amd64-fma/2"
	profilePortable = "portable/2"
)

// Profile names the arithmetic that this process computes with: "amd64-fma/2" where the CPU has AVX2 and FMA, "portable/2" elsewhere or when
// [PathVariable] is "portable" at start-up. AVX-512 computes the bits of AVX2. Equal profiles give equal bits.
func Profile() string {
	if vectorised {
		return profileFMA
	}
	return profilePortable
}
