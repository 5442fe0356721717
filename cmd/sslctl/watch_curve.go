package main

import (
	"fmt"
	"math"
	"strings"
)

// point is one value of a curve.
type point struct{ x, y float64 }

// curve is values in order of x.
type curve []point

// until drops what lies beyond x.
func (c curve) until(x float64) curve {
	for len(c) > 0 && c[len(c)-1].x > x {
		c = c[:len(c)-1]
	}
	return c
}

// bars are the heights of a column, in eighths.
var bars = []rune(" ▁▂▃▄▅▆▇█")

// plot draws a curve as columns: width by height cells, the last line the scale of x, with the scale of y at the left. The least value is a column of an
// eighth, so that it can be told from none.
func (c curve) plot(width, height int, format string) []string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range c {
		if !math.IsNaN(p.y) && !math.IsInf(p.y, 0) {
			low, high = min(low, p.y), max(high, p.y)
		}
	}
	if low > high {
		return append([]string{"no values yet"}, make([]string, max(0, height-1))...)
	}
	top, bottom := fmt.Sprintf(format, high), fmt.Sprintf(format, low)
	margin := max(len(top), len(bottom))
	values := c.columns(max(1, width-margin-1))
	lines := make([]string, height)
	for row := range height {
		label := ""
		switch row {
		case 0:
			label = top
		case height - 1:
			label = bottom
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%*s ", margin, label)
		for _, v := range values {
			b.WriteRune(cell(v, low, high, height-1-row, height))
		}
		lines[row] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// cell is the part of a column of value v in a row, counted from below.
func cell(v, low, high float64, row, height int) rune {
	if math.IsNaN(v) {
		return ' '
	}
	eighths := 1
	if high > low {
		eighths += int(math.Round((v - low) / (high - low) * float64(8*height-1)))
	}
	return bars[max(0, min(8, eighths-8*row))]
}

// columns are the mean values in n equal parts of x, NaN where there is none and none before.
func (c curve) columns(n int) []float64 {
	if len(c) == 0 || n == 0 {
		return nil
	}
	first, last := c[0].x, c[len(c)-1].x
	sums, counts := make([]float64, n), make([]int, n)
	for _, p := range c {
		i := n - 1
		if last > first {
			i = min(n-1, int((p.x-first)/(last-first)*float64(n)))
		}
		if !math.IsNaN(p.y) && !math.IsInf(p.y, 0) {
			sums[i] += p.y
			counts[i]++
		}
	}
	out, before := make([]float64, n), math.NaN()
	for i := range out {
		if counts[i] > 0 {
			before = sums[i] / float64(counts[i])
		}
		out[i] = before
	}
	return out
}
