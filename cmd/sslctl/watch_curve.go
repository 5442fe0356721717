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

// Braille characters have two columns of four dots.
const (
	braille    = 0x2800
	dotsAcross = 2
	dotsDown   = 4
)

// dots are the bits of a braille character's dots, by row and column.
var dots = [dotsDown][dotsAcross]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// plot draws a curve as a line, in width by height cells, with the greatest and the least value at the left. It is nil where there is no value.
func (c curve) plot(width, height int, label func(float64) string) []string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range c {
		if finite(p.y) {
			low, high = min(low, p.y), max(high, p.y)
		}
	}
	if low > high {
		return nil
	}
	top, bottom := label(high), label(low)
	margin := max(len(top), len(bottom))
	cells := drawLine(c.columns(dotsAcross*max(1, width-margin-1)), low, high, height)
	lines := make([]string, height)
	for row := range height {
		text := ""
		switch {
		case top == bottom:
			if row == (height-1)/2 { // where the line is
				text = top
			}
		case row == 0:
			text = top
		case row == height-1:
			text = bottom
		}
		lines[row] = strings.TrimRight(fmt.Sprintf("%*s %s", margin, text, string(cells[row])), " ")
	}
	return lines
}

// drawLine joins values, one in each column of dots, by a line in rows of braille characters.
func drawLine(values []float64, low, high float64, rows int) [][]rune {
	cells := make([][]rune, rows)
	for i := range cells {
		cells[i] = []rune(strings.Repeat(" ", (len(values)+1)/dotsAcross))
	}
	last := rows*dotsDown - 1
	before := -1
	for x, v := range values {
		if math.IsNaN(v) {
			continue
		}
		y := last / 2
		if high > low {
			y = int(math.Round((high - v) / (high - low) * float64(last)))
		}
		from, to := y, y
		switch {
		case before >= 0 && before < y-1:
			from = before + 1
		case before > y+1:
			to = before - 1
		}
		for at := from; at <= to; at++ {
			cell := &cells[at/dotsDown][x/dotsAcross]
			if *cell == ' ' {
				*cell = braille
			}
			*cell |= dots[at%dotsDown][x%dotsAcross]
		}
		before = y
	}
	return cells
}

// columns are the mean values in n equal parts of x, and where a part has none what a straight line between its neighbours has.
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
		if finite(p.y) {
			sums[i] += p.y
			counts[i]++
		}
	}
	out, before := make([]float64, n), -1
	for i := range out {
		out[i] = math.NaN()
		if counts[i] == 0 {
			continue
		}
		out[i] = sums[i] / float64(counts[i])
		for k := before + 1; before >= 0 && k < i; k++ {
			out[k] = out[before] + (out[i]-out[before])*float64(k-before)/float64(i-before)
		}
		before = i
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
