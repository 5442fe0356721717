package nn

// batchNorm adds a norm over the samples: in training each of the pass's groups, a contiguous run of samples, is normalised by its own statistics
// channel by channel; in evaluation the running ones serve (Ioffe and Szegedy, "Batch normalization", ICML 2015).
func (b *builder) batchNorm(name string, rows, channels int) *norm {
	l := b.affineNorm(name, rows, channels, 1)
	l.batch = &runningStats{
		mean:      b.running.add(name+".running_mean", false, constant(0), channels),
		variance:  b.running.add(name+".running_var", false, constant(1), channels),
		batchMean: make([]float32, channels), batchVar: make([]float32, channels),
	}
	b.norms = append(b.norms, l.batch)
	return l
}

// keep notes the statistics of a training batch: l has each stratum's means, and in invStd its squared distances.
func (s *runningStats) keep(l *norm) {
	strata := l.strata.Groups
	clear(s.batchMean)
	clear(s.batchVar)
	share, unbiased := 1/float64(strata), 1/float64(strata*(l.strata.Rows-1))
	for at, mean := range l.mean {
		c := at % l.channels
		s.batchMean[c] += float32(float64(mean) * share)
		s.batchVar[c] += float32(float64(l.invStd[at]) * unbiased)
	}
}

// take puts the running statistics in the place of a batch's.
func (s *runningStats) take(p *pass, l *norm) {
	copy(l.mean, s.mean.of(p.running))
	for c, v := range s.variance.of(p.running) {
		l.invStd[c] = inverseStd(float64(v))
	}
}
