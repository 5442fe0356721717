package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
)

// writeTable prints the figures as people read them.
func writeTable(w io.Writer, figures []figure) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tWORK\tOURS\tPEER\tUNIT\tRATIO\tBAR\t\tPEER'S NAME")
	for _, f := range figures {
		peer, ratio := "-", "-"
		if f.Peer != nil {
			peer, ratio = digits(*f.Peer), strconv.FormatFloat(*f.Ratio, 'f', 3, 64)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.ID, f.Work, digits(f.Ours), peer, f.Unit, ratio, f.bar, f.verdict(), f.PeerName)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// digits prints four figures of a value, or all of a whole one.
func digits(x float64) string {
	if x == float64(int64(x)) {
		return strconv.FormatInt(int64(x), 10)
	}
	s := strconv.FormatFloat(x, 'g', 4, 64)
	if x >= 1e4 {
		s = strconv.FormatFloat(x, 'f', 0, 64)
	}
	return s
}

func (b bar) String() string {
	switch {
	case !b.set:
		return ""
	case b.absolute:
		return "≤ " + digits(b.most)
	}
	return fmt.Sprintf("ratio ≤ %.4g", b.most)
}

// writeResults stores the figures as JSON.
func writeResults(path string, figures []figure) error {
	data, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the results: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("store the results: %w", err)
	}
	return nil
}
