package simd

import "math"

func addToPortable(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func mulByPortable(dst, x []float32) {
	for i, v := range x {
		dst[i] *= v
	}
}

func axpyPortable(dst []float32, a float32, x []float32) {
	for i, v := range x {
		dst[i] += float32(a * v)
	}
}

func scalePortable(dst []float32, a float32) {
	for i := range dst {
		dst[i] *= a
	}
}

func blendPortable(dst, x, y []float32, a, b, c float32) {
	for i, v := range x {
		dst[i] = float32(v*a) + (float32(y[i]*b) + c)
	}
}

// sumLanes adds 32 partial sums in the order of the vector registers: four registers in pairs, then halves, quarters, neighbours.
func sumLanes(lanes *[32]float32) float32 {
	var v [8]float32
	for j := range v {
		v[j] = (lanes[j] + lanes[8+j]) + (lanes[16+j] + lanes[24+j])
	}
	return sumEight(&v)
}

func sumEight(v *[8]float32) float32 {
	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}

func dotBlockPortable(x, y []float32) float32 {
	var lanes [32]float32
	for i, v := range x {
		lanes[i%32] += float32(v * y[i])
	}
	return sumLanes(&lanes)
}

func sumBlockPortable(x []float32) float32 {
	var lanes [32]float32
	for i, v := range x {
		lanes[i%32] += v
	}
	return sumLanes(&lanes)
}

func maxOfPortable(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

func reluPortable(y, x []float32) {
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		y[i] = v
	}
}

func reluBackwardPortable(dx, dy, y []float32) {
	for i, v := range dy {
		if !(y[i] > 0) {
			v = 0
		}
		dx[i] = v
	}
}
