// Package keyed makes random draws that are functions of what they are for: a draw is keyed by (seed, named purpose, ids, index)
// and never depends on which draws came before it. A new purpose shifts no other draw, any draw can be made on any machine at any
// time, and resuming a stream is arithmetic.
//
// The generator is Philox-4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a
// counter-based generator that passes BigCrush.
package keyed

import "math/bits"

// Key names one family of draws. The zero Key is not used; start with New. Keys are comparable.
type Key struct{ hi, lo uint64 }

// New makes the root key of a seed.
func New(seed uint64) Key { return Key{0x73736c63746c2f31, seed} } // "sslctl/1"

// For derives the key of a named purpose, for example "transform.flip".
func (k Key) For(purpose string) Key {
	// FNV-1a turns the name into 64 bits; Philox below does the mixing.
	h := uint64(14695981039346656037)
	for i := 0; i < len(purpose); i++ {
		h ^= uint64(purpose[i])
		h *= 1099511628211
	}
	return k.derive(h, uint64(len(purpose))|1<<63)
}

// At derives the key of a place, for example (position, view). At(a, b) differs from At(a).At(b) and from At(b, a).
func (k Key) At(ids ...uint64) Key {
	for i, id := range ids {
		k = k.derive(id, uint64(len(ids))<<32|uint64(i))
	}
	return k
}

func (k Key) derive(a, b uint64) Key {
	hi, lo := philox(k.lo^0x6465726976650001, a, k.hi^b)
	return Key{hi, lo}
}

// Uint64 is draw i: uniform over all 64-bit values.
func (k Key) Uint64(i uint64) uint64 {
	_, lo := philox(k.lo, i, k.hi)
	return lo
}

// Uint128 is draw i with twice the bits, for those who need many: lo is what Uint64 gives.
func (k Key) Uint128(i uint64) (hi, lo uint64) { return philox(k.lo, i, k.hi) }

// Float64 is draw i: uniform in [0, 1) with 53 random bits.
func (k Key) Float64(i uint64) float64 { return float64(k.Uint64(i)>>11) * 0x1p-53 }

// Float32 is draw i: uniform in [0, 1) with 24 random bits.
func (k Key) Float32(i uint64) float32 { return float32(k.Uint64(i)>>40) * 0x1p-24 }

// Uniform is draw i: uniform in [lo, hi).
func (k Key) Uniform(i uint64, lo, hi float64) float64 { return lo + float64((hi-lo)*k.Float64(i)) }

// IntN is draw i: uniform in [0, n). It panics when n is 0, as math/rand does. The bias is below n/2⁶⁴.
func (k Key) IntN(i, n uint64) uint64 {
	if n == 0 {
		panic("keyed: IntN with n = 0")
	}
	hi, _ := bits.Mul64(k.Uint64(i), n)
	return hi
}

// Normal is draw i: standard normal, by the Box–Muller transform (Box and Muller 1958).
func (k Key) Normal(i uint64) float64 {
	hi, lo := philox(k.lo, i, k.hi)
	u := (float64(hi>>11) + 0.5) * 0x1p-53 // in (0, 1): its logarithm is finite
	v := float64(lo>>11) * 0x1p-53
	return sqrt(-2*Log(u)) * Cos(float64(2*pi*v))
}

// Permute maps i to its image under this key's permutation of [0, n). It panics unless i < n. The permutation is a six-round Feistel
// network over the smallest even number of bits that holds n, walked along its cycle until the value is below n (Black and Rogaway,
// "Ciphers with arbitrary finite domains", 2002): constant memory, expected fewer than four walks.
func (k Key) Permute(i, n uint64) uint64 {
	if i >= n {
		panic("keyed: Permute outside its range")
	}
	if n == 1 {
		return 0
	}
	half := uint((bits.Len64(n-1) + 1) / 2)
	mask := uint64(1)<<half - 1
	for {
		l, r := i>>half, i&mask
		for round := uint64(0); round < 6; round++ {
			l, r = r, l^(k.Uint64(r|round<<58)&mask)
		}
		i = l<<half | r
		if i < n {
			return i
		}
	}
}

// philox runs Philox-4x32-10 on the 128-bit counter (a, b) under a 64-bit key.
func philox(key, a, b uint64) (hi, lo uint64) {
	const m0, m1, w0, w1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
	c0, c1, c2, c3 := uint32(a), uint32(a>>32), uint32(b), uint32(b>>32)
	k0, k1 := uint32(key), uint32(key>>32)
	for range 10 {
		p0, p1 := uint64(m0)*uint64(c0), uint64(m1)*uint64(c2)
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0 += w0
		k1 += w1
	}
	return uint64(c0) | uint64(c1)<<32, uint64(c2) | uint64(c3)<<32
}
