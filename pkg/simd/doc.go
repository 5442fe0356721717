// Package simd holds the numerical kernels of training: matrix product, convolution, exponentials and per-channel sums over float32.
//
// Every function exists in assembly for amd64 (generated, see internal/gen) and in portable Go. Assembly has two paths: AVX2 with FMA, and AVX-512 where the
// machine has it and it is faster; both compute the same bits. Portable Go rounds differently, so it has a numerics profile of its own (see [Profile])
// and a job is pinned to one. The environment variable SSLCTL_SIMD forces a path (see [PathVariable]).
//
// Within a profile, results are a function of the arguments alone. They depend neither on the number of threads nor on where the slices
// lie in memory: work is divided only over independent outputs, and every sum has one written order (the comment of each function says
// which). In portable code every product that feeds a sum is converted to float32 first, which forbids the compiler to fuse the two.
//
// Matrices are row-major with a leading dimension (elements from one row to the next). Images are NHWC: (N, H, W, C), C fastest.
// Slices that are too short are programming errors and panic, as an index out of range does, before any memory is touched.
package simd
