package simd

import "math"

const (
	mix1 = 0x7feb352d
	mix2 = 0x846ca68b
)

// draw is 16 random bits for the element with a number: lowbias32 of Chris Wellons ("Prospecting for hash functions", nullprogram.com,
// 2018), with a key before and in the middle, so that the draws of two keys are no shifted copies of each other.
func (d Draws) draw(number uint32) int32 {
	h := number ^ d.A
	h ^= h >> 16
	h *= mix1
	h ^= h >> 15
	h += d.B
	h *= mix2
	return int32(h >> 16)
}

// rounded16 is v·scale/2¹⁶, rounded down after a draw was added.
func rounded16(v, scale float32, draw int32) int16 {
	return int16((int32(math.RoundToEven(float64(float32(v*scale)))) + draw) >> 16)
}

func encodeFixed16Portable(q []int16, x []float32, scale float32, d Draws) {
	for i, v := range x {
		q[i] = rounded16(v, scale, d.draw(d.First+uint32(i)))
	}
}

func addFixed16Portable(q []int16, x []float32, scale float32, d Draws) {
	for i, v := range x {
		q[i] += rounded16(v, scale, d.draw(d.First+uint32(i)))
	}
}

func decodeFixed16Portable(x []float32, q []int16, unit float32) {
	for i, v := range q {
		x[i] = float32(v) * unit
	}
}
