// Package optim holds optimizers, learning-rate schedules and moving averages of encoders. An optimizer works on a whole nn.Arena and its state has the arena's layout. All
// arithmetic is deterministic: IEEE operations in a fixed order, no function of package math but Sqrt.
package optim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/pkg/nn"
)

// ErrConfig is returned when a Config or Schedule has a field out of range or an unknown name.
var ErrConfig = errors.New("impossible optimizer settings")

// Config says which optimizer to build, in PyTorch's terms.
type Config struct {
	Name string // one of Names
	// LR is the base learning rate, for the caller's Schedule; Step gets the current one.
	LR          float64
	WeightDecay float64
	// Momentum serves sgd and lars, Nesterov sgd.
	Momentum float64
	Nesterov bool
	// TrustCoefficient serves lars (η); 0 stands for 0.001.
	TrustCoefficient float64
	// Beta1, Beta2 and Eps serve adam and adamw; 0 stands for 0.9, 0.999 and 1e-8.
	Beta1, Beta2, Eps float64
	// ExcludeNormAndBias spares parameters without Decay from weight decay, and from the layer-wise rates of lars.
	ExcludeNormAndBias bool
	// ClipNorm bounds the Euclidean norm of the gradient over all parameters; 0 stands for no bound.
	ClipNorm float64
}

// Slot is one run of an optimizer's state, laid out as the parameters. The values are live: a checkpoint reads and overwrites them.
type Slot struct {
	Name string // as PyTorch: "exp_avg", "exp_avg_sq"; "momentum"
	Data []float32
}

// Optimizer updates the parameters it was built for.
type Optimizer interface {
	// Step applies one update with the learning rate lr; grad is laid out as the parameters' Data, and Step may overwrite it. step is the number
	// of updates applied before. It panics where grad has another length than the parameters.
	Step(grad []float32, lr float64, step uint64)
	// State lists the slots in a fixed order.
	State() []Slot
}

// New builds the optimizer of the parameters in params, with zero state. It returns ErrConfig with every field out of range.
func New(c Config, params *nn.Arena) (Optimizer, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("building optimizer %q: %w", c.Name, err)
	}
	var o Optimizer
	switch c.Name {
	case "sgd":
		o = newSGD(c, params)
	case "lars":
		o = newLARS(c, params)
	default:
		o = newAdam(c, params)
	}
	if c.ClipNorm > 0 {
		o = newClipped(o, c, params)
	}
	return o, nil
}

// Names lists the optimizers that New knows.
func Names() []string { return []string{"adamw", "sgd", "lars", "adam"} }

func (c Config) validate() error {
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(slices.Contains(Names(), c.Name), "name %q, expected one of %s", c.Name, strings.Join(Names(), ", "))
	check(finite(c.LR) && c.LR >= 0, "learning rate %v, expected 0 or more", c.LR)
	check(finite(c.WeightDecay) && c.WeightDecay >= 0, "weight decay %v, expected 0 or more", c.WeightDecay)
	check(c.Momentum >= 0 && c.Momentum < 1, "momentum %v, expected [0, 1)", c.Momentum)
	check(c.Beta1 >= 0 && c.Beta1 < 1, "beta1 %v, expected [0, 1)", c.Beta1)
	check(c.Beta2 >= 0 && c.Beta2 < 1, "beta2 %v, expected [0, 1)", c.Beta2)
	check(finite(c.Eps) && c.Eps >= 0, "eps %v, expected 0 or more", c.Eps)
	check(finite(c.TrustCoefficient) && c.TrustCoefficient >= 0, "trust coefficient %v, expected 0 or more", c.TrustCoefficient)
	check(finite(c.ClipNorm) && c.ClipNorm >= 0, "clipped norm %v, expected 0 or more", c.ClipNorm)
	check(!c.Nesterov || c.Momentum > 0, "nesterov with momentum %v, expected more than 0", c.Momentum)
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrConfig, strings.Join(wrong, "; "))
}

func finite(x float64) bool { return x-x == 0 }

func orDefault(x, otherwise float64) float64 {
	if x == 0 {
		return otherwise
	}
	return x
}
