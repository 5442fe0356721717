package task

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// instanceSoftmax is the cross-entropy of a query's own slot among the drawn ones, of which its own does not count.
type instanceSoftmax struct {
	task   *instdisc
	parts  []*objective.BankPart
	merged objective.BankMerge
}

func newInstanceSoftmax(t *instdisc) *instanceSoftmax {
	s := &instanceSoftmax{task: t}
	for range t.bank {
		s.parts = append(s.parts, objective.NewBankPart(t.env.GlobalBatch, t.width))
	}
	return s
}

func (s *instanceSoftmax) compute(i int, queries []float32, keys objective.Drawn) []float32 {
	p := s.parts[i]
	p.ComputeDrawn(queries, keys, float32(s.task.config.Temperature))
	return append(append([]float32{}, p.M...), p.L...)
}

func (s *instanceSoftmax) merge(cosines []float32, figures [][]float32) (c contrasted, finite bool) {
	maxima, sums := halves(figures, len(cosines))
	finite = s.merged.Merge(cosines, maxima, sums, float32(s.task.config.Temperature))
	c = contrasted{loss: s.merged.Loss, positive: s.merged.Positive}
	for _, p := range s.merged.PPlus {
		c.own, c.scale = append(c.own, 1-p), append(c.scale, 1)
	}
	return c, finite
}

func (s *instanceSoftmax) share(i int) []float32 {
	s.merged.Weigh(s.parts[i], s.task.width)
	return s.parts[i].O
}

func (s *instanceSoftmax) begin()          {}
func (s *instanceSoftmax) calibrate() bool { return false }
func (s *instanceSoftmax) state() []Var    { return nil }

// finish tells the loss of chance from the second pass over the data on: in the first, the encoder moves away from slots that the untrained
// model wrote, and the loss exceeds chance while it learns.
func (s *instanceSoftmax) finish(step uint64, m Metrics) {
	if step*uint64(s.task.env.GlobalBatch) >= s.task.env.Samples {
		m["chanceLoss"] = keyed.Log(float64(s.task.drawn + 1))
	}
}

// normalizerMomentum is the share of the running Z that a step keeps.
const normalizerMomentum = 0.9

// instanceNCE tells a query's own slot from the drawn ones by noise-contrastive estimation.
type instanceNCE struct {
	task   *instdisc
	parts  []*objective.NCEPart
	merged objective.NCEMerge

	logZ    *tensor.Dense // (1): log of the running Z after the previous step; −∞ before the first
	current float64       // log of the Z that this step goes by
	guessed bool          // it began as a guess
}

func newInstanceNCE(t *instdisc) *instanceNCE {
	s := &instanceNCE{task: t, logZ: tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{float32(math.Inf(-1))}))}
	for range t.bank {
		s.parts = append(s.parts, objective.NewNCEPart(t.env.GlobalBatch, t.width))
	}
	return s
}

// shift is log(Z·m/N).
func (s *instanceNCE) shift() float32 {
	return float32(s.current + keyed.Log(float64(s.task.drawn)/float64(s.task.env.Samples)))
}

// begin takes over Z from the previous step. Before the first one it can only be bounded; calibrate then puts in what the step has measured.
func (s *instanceNCE) begin() {
	s.current = float64(s.logZ.Float32s()[0])
	if s.guessed = math.IsInf(s.current, -1); s.guessed {
		s.current = 1/s.task.config.Temperature + keyed.Log(float64(s.task.env.Samples))
	}
}

// The bound may be so high that it hides all scores but those of the own slots; what is measured then is too low, which hides nothing.
func (s *instanceNCE) calibrate() bool {
	const near = 0.01
	if !s.guessed || math.Abs(s.measured()-s.current) < near {
		return false
	}
	s.current = s.measured()
	return true
}

// measured is log of N times the mean of e^s in this step.
func (s *instanceNCE) measured() float64 {
	return s.merged.LogMean + float64(s.shift()) + keyed.Log(float64(s.task.env.Samples))
}

func (s *instanceNCE) compute(i int, queries []float32, keys objective.Drawn) []float32 {
	p := s.parts[i]
	p.Compute(queries, keys, float32(s.task.config.Temperature), s.shift())
	return append(append(append([]float32{}, p.Loss...), p.Weight...), p.LogSum)
}

func (s *instanceNCE) merge(cosines []float32, figures [][]float32) (c contrasted, finite bool) {
	losses, weights := halves(figures, len(cosines))
	var logSums []float32
	for _, f := range figures {
		logSums = append(logSums, f[len(f)-1])
	}
	finite = s.merged.Merge(cosines, losses, weights, logSums, s.task.drawn, float32(s.task.config.Temperature), s.shift())
	c = contrasted{loss: s.merged.Loss, positive: s.merged.Positive, own: s.merged.Plus}
	for i := range cosines {
		c.scale = append(c.scale, s.merged.Total(i))
	}
	return c, finite
}

func (s *instanceNCE) share(i int) []float32 {
	s.merged.Weigh(s.parts[i], s.task.width)
	return s.parts[i].O
}

// finish moves the running Z: Z ← 0.9·Z + 0.1·measured, in the logarithm, where any temperature has room.
func (s *instanceNCE) finish(_ uint64, m Metrics) {
	m["z"] = keyed.Exp(min(s.current, 700)) // a number that JSON knows, whatever the temperature
	s.logZ.Float32s()[0] = float32(objective.LogSumExp(s.current+keyed.Log(normalizerMomentum), s.measured()+keyed.Log(1-normalizerMomentum)))
}

func (s *instanceNCE) state() []Var { return []Var{{Name: "bank.logZ", Value: s.logZ}} }

// halves are the first and the second b figures of each shard.
func halves(figures [][]float32, b int) (first, second [][]float32) {
	for _, f := range figures {
		first, second = append(first, f[:b]), append(second, f[b:2*b])
	}
	return first, second
}
