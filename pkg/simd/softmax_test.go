package simd

import (
	"encoding/json"
	"os"
	"testing"
)

// The loss of a softmax by labels, and its gradient: (softmax − 1 at the label)/rows, as the mean over the rows has it.
func TestSoftmaxAgainstPyTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/softmax_ce.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Inputs  struct{ X, Labels fixtureTensor }
		Outputs struct{ Loss, Logp fixtureTensor }
		Grads   struct{ X fixtureTensor }
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	rows, cols := f.Inputs.X.Shape[0], f.Inputs.X.Shape[1]
	eachPath(t, func(t *testing.T) {
		share := rounded(f.Inputs.X.Data)
		Softmax(share, rows, cols)
		logs, loss, dx := make([]float32, len(share)), float32(0), make([]float32, len(share))
		for i, p := range share {
			logs[i] = Log(p)
			dx[i] = p / float32(rows)
		}
		for r, label := range f.Inputs.Labels.Data {
			at := r*cols + int(label)
			loss -= logs[at] / float32(rows)
			dx[at] -= 1 / float32(rows)
		}
		wantClose(t, "log p", logs, f.Outputs.Logp.Data, 1e-6)
		wantClose(t, "loss", []float32{loss}, f.Outputs.Loss.Data, 1e-6)
		wantClose(t, "gradient", dx, f.Grads.X.Data, 1e-6)

		// Back through the softmax itself: from ∂L/∂p, which is −1/(rows·p) at the label.
		dy := make([]float32, len(share))
		for r, label := range f.Inputs.Labels.Data {
			at := r*cols + int(label)
			dy[at] = -1 / (float32(rows) * share[at])
		}
		SoftmaxBackward(dy, share, rows, cols)
		wantClose(t, "gradient through the softmax", dy, f.Grads.X.Data, 1e-5)
	})
}
