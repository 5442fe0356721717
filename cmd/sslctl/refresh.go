package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// refresher prints something again and again: on a terminal over the last time, elsewhere each change, tables below the time.
type refresher struct {
	g     *globals
	shown []byte
}

func (r *refresher) print(v any, table func(w io.Writer, wide bool)) error {
	var text bytes.Buffer
	if err := r.render(&text, v, table); err != nil {
		return err
	}
	_, terminal := terminalWidth(r.g.out)
	if !terminal && bytes.Equal(text.Bytes(), r.shown) {
		return nil
	}
	isTable := r.g.output != "json" && r.g.output != "yaml"
	before := ""
	switch {
	case terminal && r.g.output != "json":
		before = "\x1b[H\x1b[2J"
	case r.shown != nil && isTable:
		before = "\n"
	}
	if isTable {
		before += time.Now().UTC().Format("15:04:05 UTC") + "\n"
	}
	r.shown = text.Bytes()
	if _, err := fmt.Fprintf(r.g.out, "%s%s", before, r.shown); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	return nil
}

// render writes v as --output says, as one element of a stream.
func (r *refresher) render(w io.Writer, v any, table func(w io.Writer, wide bool)) error {
	switch r.g.output {
	case "json":
		return writeJSONLine(w, v)
	case "yaml":
		if _, err := fmt.Fprintln(w, "---"); err != nil {
			return fmt.Errorf("printing YAML: %w", err)
		}
		return writeYAML(w, v)
	}
	table(w, r.g.output == "wide")
	return nil
}
