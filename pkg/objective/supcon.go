package objective

import (
	"sync"

	"github.com/sslctl/sslctl/pkg/simd"
)

// SupCon is supervised contrast of a batch (Khosla et al., "Supervised contrastive learning", NeurIPS 2020, eq. 2, the form with the sum
// outside of the logarithm): as NTXent, with all other rows of an anchor's label as its positives P(i), both views of each sample,
//
//	L = 1/(2B)·Σᵢ (lseᵢ − 1/|P(i)|·Σ_{p∈P(i)} s_ip)
//
// What a row has to do with its positives goes through the sum of its label's rows, which everyone has: the work is that of NTXent.
type SupCon struct {
	NTXent
	places map[uint64]int // of labels, in order of their first row
	place  []int          // (B) of each sample's label
	counts []int          // rows of each label
	sums   []float64      // (labels, d)
}

// Label takes the labels of the samples of Z, (B).
func (x *SupCon) Label(labels []uint64) {
	if x.places == nil {
		x.places = map[uint64]int{}
	}
	clear(x.places)
	x.place, x.counts = grown(x.place, len(labels)), x.counts[:0]
	for i, label := range labels {
		at, known := x.places[label]
		if !known {
			at = len(x.counts)
			x.places[label] = at
			x.counts = append(x.counts, 0)
		}
		x.place[i] = at
		x.counts[at] += 2
	}
	x.sums = grown(x.sums, len(x.counts)*x.D)
	clear(x.sums)
	for i := range x.rows() {
		sum := x.sum(i)
		for c, v := range x.NTXent.row(i) {
			sum[c] += float64(v)
		}
	}
}

// sum is that of all rows of row i's label.
func (x *SupCon) sum(i int) []float64 {
	at := x.place[i%len(x.place)]
	return x.sums[at*x.D : (at+1)*x.D]
}

// positives is |P(i)|.
func (x *SupCon) positives(i int) int { return x.counts[x.place[i%len(x.place)]] - 1 }

// Loss is the loss, the mean over the anchors of their mean cosine with their positives, and that over all pairs of rows of different labels, 0
// without any, given lse of all 2B rows. Label comes before. Finite is false when the loss is NaN or Inf.
func (x *SupCon) Loss(lse []float32) (loss, positive, negative float64, ok bool) {
	all, others := 0.0, 0
	for i, l := range lse {
		cosines, own := 0.0, x.sum(i)
		for c, v := range x.NTXent.row(i) {
			cosines += float64(float64(v) * (own[c] - float64(v)))
		}
		mean := cosines / float64(x.positives(i))
		loss += float64(l) - mean/float64(x.Tau)
		positive += mean
		others += len(lse) - 1 - x.positives(i)
	}
	for c := range x.D {
		total := 0.0
		for at := range x.counts {
			s := x.sums[at*x.D+c]
			total += s
			all -= float64(s * s)
		}
		all += float64(total * total)
	}
	n := float64(len(lse))
	loss, positive = loss/n, positive/n
	return loss, positive, all / float64(max(others, 1)), finite(loss)
}

// Gradient writes ∂L/∂z of the rows from lo on, as many as dz has, given lse of all 2B rows. Label comes before. With P_ij = e^{s_ij − lseᵢ},
// and since rows of one label have equally many positives,
//
//	∂L/∂zᵢ = 1/(2Bτ)·[Σ_{j≠i} (P_ij + P_ji)·zⱼ − 2/|P(i)|·Σ_{p∈P(i)} z_p]
func (x *SupCon) Gradient(dz, lse []float32, lo int) {
	g := supervisedPasses.Get().(*supervisedPass)
	g.x, g.dz, g.lse, g.lo, g.labelled = &x.NTXent, dz, lse, lo, x
	x.sweep(g, lo, len(dz)/x.D)
	g.x, g.dz, g.lse, g.labelled = nil, nil, nil, nil
	supervisedPasses.Put(g)
}

// supervisedPass is one Gradient in progress.
type supervisedPass struct {
	pullPass
	labelled *SupCon
}

var supervisedPasses = sync.Pool{New: func() any { return new(supervisedPass) }}

func (g *supervisedPass) end(p *panel) {
	x, factor := g.labelled, 1/(float32(g.x.rows())*g.x.Tau)
	for c := range p.n {
		i := g.lo + p.first + c
		row, own, sum := g.dz[(p.first+c)*x.D:(p.first+c+1)*x.D], x.NTXent.row(i), x.sum(i)
		share := 2 / float64(x.positives(i))
		for k, v := range own {
			row[k] -= float32(share * (sum[k] - float64(v)))
		}
		simd.Scale(row, factor)
	}
}
