package task

import (
	"context"
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/objective"
	"github.com/sslctl/sslctl/pkg/simd"
)

// guesses is what BYOL and SimSiam share: the guess from each view is compared with the target that the other view of the same sample
// gives. Targets get no gradient, and there are no negatives, so nothing but figures travels.
type guesses struct {
	env   Environment
	query *trainedBranch // its model ends with the predictor
	own   [][]float32    // of each owned virtual rank: sum of its cosines, then of its unit targets (d)
}

func newGuesses(c Config, e Environment) (*guesses, error) {
	if !e.Model.HasPredictor() {
		return nil, fmt.Errorf("make task %s: the model has no predictor, without which every image ends at one point; expected one", c.Name)
	}
	g := &guesses{env: e, query: newTrainedBranch(encoderName, e.Model, e, 2*e.micro())}
	for range e.owned() {
		g.own = append(g.own, make([]float32, 1+g.query.width))
	}
	return g, nil
}

// compare puts the gradient of −scale·Σ cosines by the guesses of the i-th owned virtual rank where backward takes it. Targets are
// (2n, d): those from the first views, then those from the second ones.
func (g *guesses) compare(i int, targets []float32, scale float32) {
	d, half := g.query.width, len(targets)/2
	p, dp := g.query.unit(i), g.query.gradient(i)
	cosines := objective.Guess(dp[:half], p[:half], targets[half:], d, scale)
	cosines += objective.Guess(dp[half:], p[half:], targets[:half], d, scale)
	g.own[i][0] = float32(cosines)
	simd.ColumnSum(g.own[i][1:], targets, len(targets)/d, d)
}

// measure gathers the mean cosine over all guesses, and the spread of the targets: the root of the mean squared distance of the unit
// targets from their mean, which is 0 for an encoder to which all images look alike, and at most 1.
func (g *guesses) measure(ctx context.Context, group Group, step uint64) (cosine, spread float64, err error) {
	width := 1 + g.query.width
	all, err := gather(ctx, group, g.env, width, func(i int) []float32 { return g.own[i] })
	if err != nil {
		return 0, 0, err
	}
	sums := make([]float64, width)
	for i, x := range all[0] {
		sums[i%width] += float64(x)
	}
	n, square := float64(2*g.env.GlobalBatch), 0.0
	for _, x := range sums[1:] {
		square += float64((x / n) * (x / n))
	}
	cosine, spread = sums[0]/n, math.Sqrt(max(0, 1-square))
	if math.IsNaN(cosine+square) || math.IsInf(cosine+square, 0) {
		return 0, 0, lossNotFinite(step)
	}
	return cosine, spread, nil
}
