package worker

import (
	"math"

	"github.com/sslctl/sslctl/pkg/task"
)

// figures tell how the updates of one step went, over all parameter groups together.
type figures struct {
	gradients2, parameters2 float64 // squares of the norms
	learningRate            float64
}

// before notes an update that comes: the gradient summed over all virtual ranks, before it is clipped, and the rate of the step.
func (f *figures) before(g trainedGroup, gradient []float32, learningRate float64) {
	norm := g.norm.Of(gradient)
	f.gradients2 += float64(norm * norm)
	f.learningRate = learningRate
}

// after notes what the update has made of the parameters.
func (f *figures) after(g trainedGroup) {
	norm := g.norm.Of(g.parameters.Parameters.Data)
	f.parameters2 += float64(norm * norm)
}

// addTo writes the figures beside those of the task.
func (f *figures) addTo(m task.Metrics) {
	m["gradientNorm"], m["parameterNorm"], m["learningRate"] = math.Sqrt(f.gradients2), math.Sqrt(f.parameters2), f.learningRate
}
