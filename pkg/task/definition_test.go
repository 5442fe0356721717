package task

import (
	"fmt"
	"math"

	"github.com/sslctl/sslctl/pkg/objective"
	"gorgonia.org/tensor"
)

// Definition is a task's loss and gradient by their definition, in float64 from the network's output to its gradient, for a task that
// owns all virtual ranks.
func Definition(t Task, own []Batch) (loss float64, gradient []float64) {
	switch t := t.(type) {
	case *moco:
		return t.definition(own)
	case *simclr:
		return t.definition(own)
	case *mocov3:
		return t.definition(own)
	case *byol:
		return t.definition(own)
	case *simsiam:
		return t.definition(own)
	case *barlowTwins:
		return t.definition(own)
	case *vicreg:
		return t.definition(own)
	}
	panic(fmt.Sprintf("no definition of %T", t))
}

// rows64 are embeddings of all virtual ranks, row by row.
type rows64 struct {
	unit  [][]float64
	norms []float64
}

// forward64 runs the branch's model on what images yields for each virtual rank.
func (b *branch) forward64(own []Batch, images func(Batch) *tensor.Dense) (out rows64) {
	for i := range own {
		_, z := b.runs[i].model.Forward(images(own[i]), true)
		for r := range b.rows {
			row, square := make([]float64, b.width), 0.0
			for c := range row {
				row[c] = float64(z.Float32s()[r*b.width+c])
				square += row[c] * row[c]
			}
			for c := range row {
				row[c] /= math.Sqrt(square)
			}
			out.unit, out.norms = append(out.unit, row), append(out.norms, math.Sqrt(square))
		}
	}
	return out
}

// backward64 takes the gradient by the unit rows through normalisation and model, added up over the virtual ranks.
func (b *trainedBranch) backward64(rows rows64, g [][]float64) []float64 {
	sum, one := make([]float64, len(b.model.Params().Data)), make([]float32, len(b.model.Params().Data))
	for i := range b.runs {
		dz := zeros(b.rows, b.width)
		for r := range b.rows {
			at, along := i*b.rows+r, 0.0
			for c := range b.width {
				along += g[at][c] * rows.unit[at][c]
			}
			for c := range b.width {
				dz.Float32s()[r*b.width+c] = float32((g[at][c] - along*rows.unit[at][c]) / rows.norms[at])
			}
		}
		b.runs[i].model.Backward(dz, one)
		for j, x := range one {
			sum[j] += float64(x)
		}
	}
	return sum
}

// entropy is the cross-entropy of the softmax over q·row/τ with the first row as the label, and adds factor times its gradient to dq and,
// where that is not nil, to the rows'.
func entropy(q []float64, rows [][]float64, factor float64, dq []float64, drows [][]float64) float64 {
	scores, sum := make([]float64, len(rows)), 0.0
	for j, row := range rows {
		for c := range q {
			scores[j] += q[c] * row[c] / testTau
		}
		sum += math.Exp(scores[j])
	}
	for j, row := range rows {
		p := math.Exp(scores[j]) / sum
		if j == 0 {
			p--
		}
		for c := range q {
			dq[c] += factor * p * row[c] / testTau
			if drows != nil {
				drows[j][c] += factor * p * q[c] / testTau
			}
		}
	}
	return factor * (math.Log(sum) - scores[0])
}

func matrix(rows, d int) [][]float64 {
	m := make([][]float64, rows)
	for i := range m {
		m[i] = make([]float64, d)
	}
	return m
}

func view(name string) func(Batch) *tensor.Dense {
	return func(b Batch) *tensor.Dense { return b.Fields[name] }
}

func bothViews(b Batch) *tensor.Dense { return new(stack).of(b) }

func (t *moco) definition(own []Batch) (loss float64, gradient []float64) {
	keys, queries := t.key.forward64(own, view("view2")), t.query.forward64(own, view("view1"))
	dq, mean := matrix(len(queries.unit), t.width), 1/float64(t.env.GlobalBatch)
	for i, q := range queries.unit {
		b := own[i/t.env.micro()]
		bank := t.negatives64(func(sample uint64) bool { return sample == b.Samples[i%t.env.micro()] })
		form, ok := t.form.(*apartForm)
		if !ok {
			loss += entropy(q, append([][]float64{keys.unit[i]}, bank...), mean, dq[i], nil)
			continue
		}
		of := func() float64 { return mean * apart64(q, keys.unit[i], bank, form.merged.Form) }
		loss += of()
		slopes64(q, dq[i], of)
	}
	return loss, t.query.backward64(queries, dq)
}

// negatives64 are the keys of the bank, without those of samples that are a query's own where they are masked.
func (t *moco) negatives64(own func(sample uint64) bool) (bank [][]float64) {
	for _, shard := range t.bank {
		var samples []uint64
		for _, x := range shard.State() {
			if x.Name == "samples" {
				samples = x.Value.Uint64s()
			}
		}
		for j := range shard.Len() {
			if samples != nil && own(samples[j]) {
				continue
			}
			row := make([]float64, t.width)
			for c := range row {
				row[c] = float64(shard.Keys()[j*t.width+c])
			}
			bank = append(bank, row)
		}
	}
	return bank
}

// partner is the row of the other view of a row's sample, where each virtual rank has n first views, then its n second ones.
func partner(row, n int) int {
	if row/n%2 == 0 {
		return row + n
	}
	return row - n
}

func (t *simclr) definition(own []Batch) (loss float64, gradient []float64) {
	z := t.encoder.forward64(own, bothViews)
	dz := matrix(len(z.unit), t.encoder.width)
	if _, ok := t.form.(*supconForm); ok {
		of := func() float64 { return t.supervised(z.unit, own) }
		for i, row := range z.unit {
			slopes64(row, dz[i], of)
		}
		return of(), t.encoder.backward64(z, dz)
	}
	if form, ok := t.form.(*sigmoidForm); ok {
		for i, row := range z.unit {
			slopes64(row, dz[i], func() float64 { return t.pairs(z.unit, form) })
		}
		return t.pairs(z.unit, form), t.encoder.backward64(z, dz)
	}
	if form, ok := t.form.(*negativesForm); ok {
		for i, row := range z.unit {
			slopes64(row, dz[i], func() float64 { return t.apart(z.unit, form) })
		}
		return t.apart(z.unit, form), t.encoder.backward64(z, dz)
	}
	for i, anchor := range z.unit {
		positive := partner(i, t.env.micro())
		others, gradients := [][]float64{z.unit[positive]}, [][]float64{dz[positive]}
		for j := range z.unit {
			form, _ := t.form.(*ntxentForm)
			if j != i && j != positive && !(form.crossView && j/t.env.micro()%2 == i/t.env.micro()%2) {
				others, gradients = append(others, z.unit[j]), append(gradients, dz[j])
			}
		}
		loss += entropy(anchor, others, 1/float64(len(z.unit)), dz[i], gradients)
	}
	return loss, t.encoder.backward64(z, dz)
}

// supervised is the loss whose positives are all rows of the anchor's label.
func (t *simclr) supervised(rows [][]float64, own []Batch) (loss float64) {
	n := t.env.micro()
	label := func(i int) uint64 { return own[i/(2*n)].Labels[i%n] }
	for i, a := range rows {
		all, same, count := 0.0, 0.0, 0.0
		for j, b := range rows {
			s := 0.0
			for c := range a {
				s += a[c] * b[c] / testTau
			}
			if j == i {
				continue
			}
			all += math.Exp(s)
			if label(i) == label(j) {
				same += s
				count++
			}
		}
		loss += (math.Log(all) - same/count) / float64(len(rows))
	}
	return loss
}

// pairs is the loss that tells of each pair of views whether they are of one sample.
func (t *simclr) pairs(rows [][]float64, form *sigmoidForm) (loss float64) {
	n := t.env.micro()
	for i, a := range rows {
		for j, b := range rows {
			if i/n%2 == 1 || j/n%2 == 0 {
				continue
			}
			x := 0.0
			for c := range a {
				x += math.Exp(float64(form.learned.Data[0])) * a[c] * b[c]
			}
			x += float64(form.learned.Data[1])
			if j == partner(i, n) {
				x = -x
			}
			loss += math.Log(1+math.Exp(x)) / float64(t.env.GlobalBatch)
		}
	}
	return loss
}

// slopes64 are the slopes of a loss by the elements of x, by central differences.
func slopes64(x, dx []float64, loss func() float64) {
	const h = 1e-5
	for c, at := range x {
		x[c] = at + h
		up := loss()
		x[c] = at - h
		dx[c] = (up - loss()) / (2 * h)
		x[c] = at
	}
}

// apart is the loss of a form that treats the positive apart.
func (t *simclr) apart(rows [][]float64, form *negativesForm) (loss float64) {
	for i, anchor := range rows {
		positive := partner(i, t.env.micro())
		var negatives [][]float64
		for j, row := range rows {
			if j != i && j != positive {
				negatives = append(negatives, row)
			}
		}
		loss += apart64(anchor, rows[positive], negatives, &form.rows)
	}
	return loss / float64(len(rows))
}

// apart64 is that of one anchor.
func apart64(anchor, positive []float64, negatives [][]float64, x *objective.Negatives) float64 {
	score := func(row []float64) (s float64) {
		for c := range row {
			s += anchor[c] * row[c] / testTau
		}
		return s
	}
	n, hard, weights, plus := float64(len(negatives)), 0.0, 0.0, score(positive)
	for _, row := range negatives {
		s := score(row)
		hard += math.Exp((1 + x.Beta) * s)
		weights += math.Exp(x.Beta*s) / n
	}
	if x.Decoupled {
		return math.Log(hard) - plus
	}
	g := max((hard/weights-x.TauPlus*n*math.Exp(plus))/(1-x.TauPlus), n*math.Exp(-1/testTau))
	return -math.Log(math.Exp(plus) / (math.Exp(plus) + g))
}

func (t *mocov3) definition(own []Batch) (loss float64, gradient []float64) {
	n := t.env.micro()
	queries, keys := t.query.forward64(own, bothViews), t.key.forward64(own, bothViews)
	dq := matrix(len(queries.unit), t.query.width)
	for i, q := range queries.unit {
		positive := partner(i, n)
		others := [][]float64{keys.unit[positive]}
		for j := range keys.unit {
			if j != positive && j/n%2 == positive/n%2 {
				others = append(others, keys.unit[j])
			}
		}
		loss += entropy(q, others, 2*testTau/float64(t.env.GlobalBatch), dq[i], nil)
	}
	return loss, t.query.backward64(queries, dq)
}

// definition is shift − scale·Σ of the cosines between the guesses and the other view's targets, which get no gradient.
func (g *guesses) definition(guesses, targets rows64, shift, scale float64) (loss float64, gradient []float64) {
	loss = shift
	dp := matrix(len(guesses.unit), g.query.width)
	for i, p := range guesses.unit {
		for c, z := range targets.unit[partner(i, g.env.micro())] {
			loss -= scale * p[c] * z
			dp[i][c] = -scale * z
		}
	}
	return loss, g.query.backward64(guesses, dp)
}

func (t *byol) definition(own []Batch) (loss float64, gradient []float64) {
	targets := t.key.forward64(own, bothViews)
	return t.guesses.definition(t.query.forward64(own, bothViews), targets, 4, 2/float64(t.env.GlobalBatch))
}

func (t *simsiam) definition(own []Batch) (loss float64, gradient []float64) {
	// A model without the predictor, over a copy of the same values.
	target := newBranch("", t.query.model.CloneWithoutPredictor(), t.env, t.query.rows)
	targets := target.forward64(own, bothViews)
	return t.guesses.definition(t.query.forward64(own, bothViews), targets, 0, 0.5/float64(t.env.GlobalBatch))
}

// columns64 are the raw embeddings of both views, sample by sample.
func (t *columns) columns64(own []Batch) (views [2][][]float64) {
	n := t.env.micro()
	rows := t.encoder.forward64(own, bothViews)
	for i, unit := range rows.unit {
		raw := make([]float64, len(unit))
		for c := range raw {
			raw[c] = unit[c] * rows.norms[i]
		}
		views[i/n%2] = append(views[i/n%2], raw)
	}
	return views
}

// definition is a loss of the raw embeddings of both views, and its gradient by central differences.
func (t *columns) definition(own []Batch, of func(views [2][][]float64) float64) (loss float64, gradient []float64) {
	views, n := t.columns64(own), t.env.micro()
	gradient = make([]float64, len(t.encoder.model.Params().Data))
	one := make([]float32, len(gradient))
	const h = 1e-4
	for i := range t.encoder.runs {
		dz := zeros(2*n, t.encoder.width)
		for r := range 2 * n {
			row := views[r/n][i*n+r%n]
			for c, at := range row {
				row[c] = at + h
				up := of(views)
				row[c] = at - h
				down := of(views)
				row[c] = at
				dz.Float32s()[r*t.encoder.width+c] = float32((up - down) / (2 * h))
			}
		}
		t.encoder.runs[i].model.Backward(dz, one)
		for j, x := range one {
			gradient[j] += float64(x)
		}
	}
	return of(views), gradient
}

// moments are the means of the columns of x, and the sums of products of each two, centred.
func moments(x, y [][]float64) (products [][]float64) {
	d := len(x[0])
	mean := func(z [][]float64) []float64 {
		m := make([]float64, d)
		for _, row := range z {
			for c, v := range row {
				m[c] += v / float64(len(z))
			}
		}
		return m
	}
	mx, my := mean(x), mean(y)
	products = matrix(d, d)
	for i := range x {
		for j := range d {
			for k := range d {
				products[j][k] += (x[i][j] - mx[j]) * (y[i][k] - my[k])
			}
		}
	}
	return products
}

func (t *barlowTwins) definition(own []Batch) (loss float64, gradient []float64) {
	n := float64(t.env.GlobalBatch)
	return t.columns.definition(own, func(views [2][][]float64) (loss float64) {
		aa, bb, ab := moments(views[0], views[0]), moments(views[1], views[1]), moments(views[0], views[1])
		for j := range ab {
			for k := range ab {
				c := ab[j][k] / n / math.Sqrt((aa[j][j]/n+1e-5)*(bb[k][k]/n+1e-5))
				if j == k {
					loss += (c - 1) * (c - 1)
				} else {
					loss += t.loss.Redundancy * c * c
				}
			}
		}
		return loss
	})
}

func (t *vicreg) definition(own []Batch) (loss float64, gradient []float64) {
	n, d := float64(t.env.GlobalBatch), float64(t.encoder.width)
	return t.columns.definition(own, func(views [2][][]float64) (loss float64) {
		for i, a := range views[0] {
			for c := range a {
				loss += t.loss.Invariance * (a[c] - views[1][i][c]) * (a[c] - views[1][i][c]) / (n * d)
			}
		}
		for _, z := range views {
			for j, row := range moments(z, z) {
				loss += t.loss.Variance / 2 / d * max(0, 1-math.Sqrt(row[j]/(n-1)+1e-4))
				for k, product := range row {
					if k != j {
						loss += t.loss.Covariance / d * (product / (n - 1)) * (product / (n - 1))
					}
				}
			}
		}
		return loss
	})
}
