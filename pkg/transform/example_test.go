package transform_test

import (
	"fmt"
	"slices"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/transform"
)

// Two views of one sample differ; each can be made again at any time from its key.
func Example() {
	p, err := transform.New(4, 4, 1,
		transform.RandomResizedCrop{Height: 4, Width: 4, Area: [2]float64{0.3, 1}},
		transform.Flip{Probability: 0.5},
		transform.Normalize{Mean: []float32{0.5}, Std: []float32{0.5}})
	if err != nil {
		fmt.Println(err)
		return
	}
	img := transform.Image{H: 4, W: 4, C: 1, Pix: []float32{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1, .9, .8, .7, .6, .5}}
	key := keyed.New(7).For("transform")
	view := func(position, number uint64) []float32 {
		out := make([]float32, 16)
		if err := p.Apply(out, img, key.At(position, number)); err != nil {
			fmt.Println(err)
		}
		return out
	}
	fmt.Println(slices.Equal(view(3, 0), view(3, 1)), slices.Equal(view(3, 0), view(3, 0)))
	// Output: false true
}
