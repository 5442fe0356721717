package task

import (
	"fmt"

	"github.com/sslctl/sslctl/pkg/optim"
)

// momentumName is the name under which tasks keep the moving average of the encoder.
const momentumName = "momentum"

// follower lets the parameters of a momentum encoder follow those of the trained one: k ← m·k + (1−m)·q.
type follower struct {
	average  *optim.Average
	momentum optim.Momentum // m
}

// newFollower lets key follow query, whose model may have a predictor behind key's parameters. It returns an error for an impossible momentum.
func newFollower(c Config, e Environment, key *branch, query *trainedBranch) (*follower, error) {
	f := &follower{momentum: optim.Momentum{Name: c.MomentumSchedule, Base: c.Momentum, TotalSteps: e.TotalSteps}}
	if err := f.momentum.Validate(); err != nil {
		return nil, fmt.Errorf("make task %s: %w", c.Name, err)
	}
	followed := key.model.Params().Data
	f.average = optim.NewAverage(followed, query.model.Params().Data[:len(followed)])
	return f, nil
}

// follow is the momentum update at the end of a step.
func (f *follower) follow(step uint64) { f.average.Follow(f.momentum.At(step)) }
