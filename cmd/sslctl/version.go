package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/jobspec"
)

type versionReport struct {
	Version    string `json:"version"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	APIVersion string `json:"apiVersion"`
}

func newVersionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  arguments(0, 0, ""),
		RunE:  func(*cobra.Command, []string) error { return runVersion(g) },
	}
}

func runVersion(g *globals) error {
	v := versionReport{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, jobspec.APIVersion}
	return g.print(v, func(w io.Writer, wide bool) {
		fmt.Fprintln(w, "sslctl", v.Version)
		if wide {
			fmt.Fprintf(w, "%s %s, job files %s\n", v.Go, v.Platform, v.APIVersion)
		}
	})
}
