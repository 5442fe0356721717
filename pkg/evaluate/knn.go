package evaluate

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// bankChunk is the number of training rows whose similarities to a chunk of test rows are in memory at a time.
const bankChunk = 2048

// KNN is the accuracy (top-1, a fraction) of weighted nearest neighbours (Wu et al., "Unsupervised feature learning via non-parametric instance
// discrimination", CVPR 2018, §3.4): each of the k training rows with the largest cosine s to a test row votes for its class with weight
// exp(s/temperature). Among equal cosines the first training row counts, among equal votes the smallest label. Where there are fewer than k
// training rows, all vote. It needs the memory of one chunk of similarities beside the features.
func KNN(ctx context.Context, train, test Set, k int, temperature float64) (float64, error) {
	bank, queries, err := pair(train, test)
	if err != nil {
		return 0, fmt.Errorf("nearest neighbours: %w", err)
	}
	if k < 1 || !(temperature > 0) {
		return 0, fmt.Errorf("nearest neighbours with k %d and temperature %v: expected k of at least 1 and a positive temperature", k, temperature)
	}
	k = min(k, bank.rows)
	labels, n := classes(train.Labels, train.Labels)
	want, _ := classes(test.Labels, train.Labels)
	bankScale, queryScale := inverseNorms(bank), inverseNorms(queries)
	scores := make([]float32, chunk*bankChunk)
	nearest := make([]neighbours, chunk)
	for i := range nearest {
		nearest[i] = neighbours{score: make([]float32, 0, k+1), row: make([]int, 0, k+1), k: k}
	}
	right := 0
	for q := 0; q < queries.rows; q += chunk {
		rows := min(chunk, queries.rows-q)
		for i := range rows {
			nearest[i].reset()
		}
		for b := 0; b < bank.rows; b += bankChunk {
			if err := ctx.Err(); err != nil {
				return 0, fmt.Errorf("nearest neighbours: %w", err)
			}
			cols := min(bankChunk, bank.rows-b)
			simd.Gemm(false, true, rows, cols, bank.cols, 1, queries.data[q*queries.cols:], queries.cols, bank.data[b*bank.cols:], bank.cols, 0, scores, cols)
			simd.Parallel(rows, func(i int) {
				nearest[i].offer(scores[i*cols:(i+1)*cols], bankScale[b:b+cols], b)
			})
		}
		for i := range rows {
			if nearest[i].vote(labels, n, queryScale[q+i], temperature) == want[q+i] {
				right++
			}
		}
	}
	return float64(right) / float64(queries.rows), nil
}

// neighbours are the k best rows so far, best first; among equals the first row.
type neighbours struct {
	score []float32
	row   []int
	k     int
}

func (n *neighbours) reset() { n.score, n.row = n.score[:0], n.row[:0] }

// offer considers rows first, first+1 … with scores[i]·scale[i]. Rows must come in ascending order.
func (n *neighbours) offer(scores, scale []float32, first int) {
	scale = scale[:len(scores)]
	for i, s := range scores {
		s *= scale[i]
		if len(n.score) == n.k && s <= n.score[n.k-1] {
			continue
		}
		// Insert behind all that are as good: they came first.
		n.score, n.row = append(n.score, s), append(n.row, first+i)
		j := len(n.score) - 1
		for ; j > 0 && n.score[j-1] < s; j-- {
			n.score[j], n.row[j] = n.score[j-1], n.row[j-1]
		}
		n.score[j], n.row[j] = s, first+i
		if len(n.score) > n.k {
			n.score, n.row = n.score[:n.k], n.row[:n.k]
		}
	}
}

// vote is the class with the largest sum of weights. scale completes the scores to cosines.
func (n *neighbours) vote(labels []int, classes int, scale float32, temperature float64) int {
	votes := make([]float64, classes)
	best := float64(n.score[0])
	for i, s := range n.score {
		// Relative to the best: a common factor does not matter, and nothing overflows.
		votes[labels[n.row[i]]] += keyed.Exp((float64(s) - best) * float64(scale) / temperature)
	}
	return argmax(votes)
}
