package checkpoint_test

import (
	"bytes"
	"fmt"

	"github.com/sslctl/sslctl/pkg/checkpoint"
	"gorgonia.org/tensor"
)

// A state is written in the safetensors format and loaded back in place.
func Example() {
	weight := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))
	state := []checkpoint.Tensor{{Name: "weight", Value: weight}}
	before := checkpoint.RowSum("weight", weight)

	var b bytes.Buffer
	size, _, err := checkpoint.Write(&b, state, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	weight.Zero()
	file, err := checkpoint.Read(&b)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := file.Load(state); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(size, weight.Float32s(), checkpoint.RowSum("weight", weight) == before)
	// Output: 88 [1 2 3 4] true
}
