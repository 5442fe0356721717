// Command gen writes docs/job.md, the reference of the job file, from the structs of package jobspec: the text from their comments, the
// rest from their tags.
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
	source := flag.String("source", "job.go", "Go file with the structs")
	flag.Parse()
	if *out == "" {
		return fmt.Errorf("-out is missing: expected the file to write")
	}
	text, err := Reference(*source)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, text, 0o644); err != nil {
		return fmt.Errorf("writing the reference: %w", err)
	}
	return nil
}
