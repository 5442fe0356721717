package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// counter shows how far a count has come: a bar on a terminal, lines at intervals elsewhere.
type counter struct {
	w           io.Writer
	doing, what string
	terminal    bool
	bar         *progressbar.ProgressBar
	last        time.Time
}

func newCounter(w io.Writer, doing, what string) *counter {
	_, terminal := terminalWidth(w)
	return &counter{w: w, doing: doing, what: what, terminal: terminal, last: time.Now()}
}

func (c *counter) update(done, total int) {
	if !c.terminal {
		if time.Since(c.last) >= lineEvery {
			c.last = time.Now()
			fmt.Fprintf(c.w, "%s: %d of %d %s\n", c.doing, done, total, c.what)
		}
		return
	}
	if c.bar == nil {
		c.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(c.w), progressbar.OptionSetDescription(c.doing),
			progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond))
	}
	_ = c.bar.Set(done) // a terminal that does not take the bar is no reason to stop
}

func (c *counter) close() {
	if c.bar != nil {
		_ = c.bar.Clear()
	}
}
