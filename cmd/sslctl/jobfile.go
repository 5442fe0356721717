package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/jobspec"
)

// readJob reads and checks a job file; "-" is standard input. Relative file:// URIs become absolute, so that they mean the same folder in
// whatever process reads them.
func (g *globals) readJob(file string, set []string) (*jobspec.Job, error) {
	name := file
	var data []byte
	var err error
	if file == "-" {
		name = "stdin"
		data, err = io.ReadAll(io.LimitReader(g.in, int64(jobspec.SizeMax)+1))
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, &inputError{fmt.Errorf("reading the job file: %w; expected a YAML file, or - for standard input", err)}
	}
	job, err := jobspec.ParseNamed(name, data, set)
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the current folder: %w", err)
	}
	job.ResolveFiles(dir)
	return job, nil
}

func addSetFlag(cmd *cobra.Command, set *[]string) {
	cmd.Flags().StringArrayVar(set, "set", nil, "override a field of the job file: path=value, for example spec.training.epochs=1 (repeatable)")
}
