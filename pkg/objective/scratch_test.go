package objective

import (
	"runtime"
	"testing"

	"github.com/sslctl/sslctl/pkg/keyed"
)

// scratch is the number of bytes that f allocates while no buffer is left over from earlier calls: all of them together, freed or not, so
// never less than it has in use at once.
func scratch(f func()) uint64 {
	for range 2 { // a sync.Pool, where the kernels keep theirs, is empty after the second collection
		runtime.GC()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// ntXentStep makes what NT-Xent of a batch needs and returns the pass over it: loss and the gradients of all rows.
func ntXentStep(samples, d int) (step func()) {
	x := NTXent{Z: random(keyed.New(1), 2*samples*d), D: d, Tau: 0.2}
	Normalize(x.Z, x.Z, make([]float32, 2*samples), 2*samples, d)
	lse, dz := make([]float32, 2*samples), make([]float32, len(x.Z))
	return func() {
		x.LogSumExp(lse, 0)
		x.Loss(lse)
		x.Gradient(dz, lse, 0)
	}
}

// hardStep is ntXentStep for hard negatives.
func hardStep(samples, d int) (step func()) {
	x := Negatives{NTXent: NTXent{Z: random(keyed.New(1), 2*samples*d), D: d, Tau: 0.2}, TauPlus: 0.1, Beta: 1}
	Normalize(x.Z, x.Z, make([]float32, 2*samples), 2*samples, d)
	figures, dz, pulls := make([]float32, Figures*2*samples), make([]float32, len(x.Z)), new(Pulls)
	return func() {
		x.Sums(figures, 0)
		x.Loss(figures, pulls)
		x.Gradient(dz, pulls, 0)
	}
}

// bankStep is InfoNCE of some queries against a bank: loss and gradients of all queries.
func bankStep(queries, size, d int) (step func()) {
	q, bank := random(keyed.New(1), queries*d), make([]float32, size*d)
	for at := 0; at < len(bank); at += len(q) { // the values do not matter, and drawing so many takes longer than the pass
		copy(bank[at:], q)
	}
	Normalize(q, q, make([]float32, queries), queries, d)
	Normalize(bank, bank, make([]float32, size), size, d)
	p, cosines, dq := NewBankPart(queries, d), make([]float32, queries), make([]float32, len(q))
	m, l, merged := [][]float32{p.M}, [][]float32{p.L}, new(BankMerge)
	return func() {
		p.Compute(q, bank, d, 0.2)
		merged.Merge(cosines, m, l, 0.2)
		merged.Weigh(p, d)
		QueryGradient(dq, p.O, q, merged.PPlus, d, 0.2, 1/float32(queries))
	}
}

// mostScratch bounds what a loss allocates beside its arguments and results at any size.
const mostScratch = 64 << 20

func benchmarkLoss(b *testing.B, step func()) {
	bytes := scratch(step)
	if bytes > mostScratch {
		b.Errorf("%d bytes of scratch, want at most %d", bytes, mostScratch)
	}
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(bytes)/(1<<20), "scratch-MiB")
}

// BenchmarkNTXent8192 is the loss and the gradients of all 16,384 rows of a batch of 8,192 samples, whose scores would take 1 GiB.
func BenchmarkNTXent8192(b *testing.B) { benchmarkLoss(b, ntXentStep(8192, 128)) }

// BenchmarkBankOfAMillion is the loss and the gradients of 256 queries against a bank of 1,048,576 entries (512 MiB), whose scores would take 1 GiB.
func BenchmarkBankOfAMillion(b *testing.B) { benchmarkLoss(b, bankStep(256, 1<<20, 128)) }

// BenchmarkInfoNCE is the loss and the gradients of 256 queries of width 128 against a bank of 65,536 entries: one call for each shard.
func BenchmarkInfoNCE(b *testing.B) { benchmarkLoss(b, bankStep(256, 65536, 128)) }

// BenchmarkNTXent is the loss and the gradients of all 8,192 rows of a batch of 4,096 samples.
func BenchmarkNTXent(b *testing.B) { benchmarkLoss(b, ntXentStep(4096, 128)) }
