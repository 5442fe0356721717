package objective

import "github.com/sslctl/sslctl/pkg/simd"

// minNorm bounds the norm from below, as in torch.nn.functional.normalize (eps = 1e-12).
const minNorm = 1e-12

// Normalize writes the unit vectors y = u/max(‖u‖, 1e-12) of the rows of u, (rows, d), and their norms, (rows). y may be u.
func Normalize(y, u, norms []float32, rows, d int) {
	for i := range rows {
		row := u[i*d : (i+1)*d]
		norms[i] = max(simd.Sqrt(simd.Dot(row, row)), minNorm)
		for j, x := range row {
			y[i*d+j] = x / norms[i]
		}
	}
}

// NormalizeBackward turns the gradient dy with respect to unit rows y into du with respect to the rows before Normalize:
// du = (dy − y·(y·dy))/‖u‖. du may be dy.
func NormalizeBackward(du, dy, y, norms []float32, rows, d int) {
	for i := range rows {
		unit, g := y[i*d:(i+1)*d], dy[i*d:(i+1)*d]
		along := simd.Dot(unit, g)
		for j := range unit {
			du[i*d+j] = (g[j] - float32(along*unit[j])) / norms[i]
		}
	}
}
