// Command gen writes docs/metrics.md, the reference of the metrics, from the definitions of package telemetry.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if *out == "" {
		return fmt.Errorf("-out is missing: expected the file to write")
	}
	if err := os.WriteFile(*out, Reference(), 0o644); err != nil {
		return fmt.Errorf("writing the reference: %w", err)
	}
	return nil
}
