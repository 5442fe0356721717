package nn

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// kaimingNormal draws from N(0, 2/fanOut), for layers before a ReLU (He, Zhang, Ren and Sun, "Delving deep into rectifiers",
// ICCV 2015, in its backward form); fanOut is the number of outputs that one input element feeds.
func kaimingNormal(fanOut int) filler {
	return normal(math.Sqrt(2 / float64(fanOut)))
}

// normal draws from N(0, std²).
func normal(std float64) filler {
	return func(dst []float32, key keyed.Key) {
		for i := range dst {
			dst[i] = float32(std * key.Normal(uint64(i)))
		}
	}
}

// uniformFanIn draws from U(−1/√fanIn, 1/√fanIn): what torch.nn.Linear and torch.nn.Conv2d start with, weight and bias alike.
func uniformFanIn(fanIn int) filler {
	bound := 1 / math.Sqrt(float64(fanIn))
	return func(dst []float32, key keyed.Key) {
		for i := range dst {
			dst[i] = float32(key.Uniform(uint64(i), -bound, bound))
		}
	}
}

func constant(value float32) filler {
	return func(dst []float32, _ keyed.Key) {
		for i := range dst {
			dst[i] = value
		}
	}
}
