package main

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// block is a part of the screen, drawn in height lines: it wants want of them, and cannot do with less than least.
type block struct {
	least, want int
	draw        func(height int) []string
}

// stack draws blocks above each other in height lines, none wider than width: each gets what it needs, then in order what it wants.
func stack(blocks []block, width, height int) []string {
	given := make([]int, len(blocks)) // 0: not shown
	left := height
	for i, b := range blocks {
		if least := min(b.least, b.want); least <= left {
			given[i] = least
			left -= least
		}
	}
	for i, b := range blocks {
		if more := min(b.want-given[i], left); given[i] > 0 && more > 0 {
			given[i] += more
			left -= more
		}
	}
	var lines []string
	for i, b := range blocks {
		if given[i] == 0 {
			continue
		}
		drawn := b.draw(given[i])
		for k := range given[i] {
			line := ""
			if k < len(drawn) {
				line = ansi.Truncate(drawn[k], width, "…")
			}
			lines = append(lines, line)
		}
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

// wanted is the height at which blocks show all that they have.
func wanted(blocks []block) int {
	total := 0
	for _, b := range blocks {
		total += b.want
	}
	return total
}

func pad(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return s + strings.Repeat(" ", width-ansi.StringWidth(s))
}

// wrap breaks text into lines of at most width, at most so many.
func wrap(text string, width, most int) []string {
	lines := strings.Split(ansi.Wrap(text, max(width, 1), ""), "\n")
	if len(lines) > most {
		lines = append(lines[:most-1], strings.Join(lines[most-1:], " "))
	}
	return lines
}

// narrowest is how far any column of a grid gives way.
const narrowest = 8

// giveWay lets a column of a grid shrink to a width.
type giveWay struct{ column, least int }

// grid aligns cells in columns that are as wide as their widest cell. Where the line would not fit, the columns named give way, in this order.
func grid(rows [][]string, width int, shrink ...giveWay) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	const gap = 2
	total := gap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for _, s := range shrink {
		if over := total - width; over > 0 && widths[s.column] > s.least {
			now := max(s.least, widths[s.column]-over)
			total -= widths[s.column] - now
			widths[s.column] = now
		}
	}
	lines := make([]string, len(rows))
	for k, row := range rows {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(pad(c, widths[i]))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", gap))
			}
		}
		lines[k] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// some shows as many lines as fit, and how many are left out.
func (l looks) some(lines []string, height int) []string {
	if len(lines) <= height || height < 2 {
		return lines
	}
	out := append([]string{}, lines[:height-1]...)
	return append(out, l.faint.Render(fmt.Sprintf("… %d more", len(lines)-height+1)))
}
