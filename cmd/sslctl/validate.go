package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func newValidateCommand(g *globals) *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a job file without running it",
		Long: `Checks a job file ("-" is standard input) and reports everything that is wrong with it, one line each: file:line:column, field,
what was expected. With -o yaml or json it prints the job with defaults and overrides filled in.`,
		Example: "  sslctl validate job.yaml --set spec.training.epochs=1 -o yaml",
		Args:    arguments(1, 1, "the job file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runValidate(cmd.Context(), g, args[0], set)
		},
	}
	addSetFlag(cmd, &set)
	return cmd
}

func runValidate(_ context.Context, g *globals, file string, set []string) error {
	job, err := g.readJob(file, set)
	if err != nil {
		return err
	}
	if g.output == "yaml" {
		if _, err := g.out.Write(job.YAML()); err != nil {
			return fmt.Errorf("printing the job: %w", err)
		}
		return nil
	}
	var tree map[string]any
	if err := yaml.Unmarshal(job.YAML(), &tree); err != nil {
		return fmt.Errorf("printing the job: %w", err)
	}
	return g.print(tree, func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "%s is valid\n", job.Metadata.Name)
	})
}
