package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/shard"
)

func newDatasetInspectCommand(g *globals) *cobra.Command {
	var decode bool
	var access accessOptions
	cmd := &cobra.Command{
		Use:   "inspect URI",
		Short: "Read a data set and describe it, with everything that is wrong in it",
		Long: `Reads every shard of a data set (braces and globs as in a job file) and describes it: samples, members, labels, images, and problems such as
damaged shards, missing labels or keys that occur twice. Problems make the exit code 3.`,
		Example: "  sslctl dataset inspect 'file://.sslctl/data/fashion-train-*.tar'",
		Args:    arguments(1, 1, "the data set's URI"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDatasetInspect(cmd.Context(), g, args[0], decode, access)
		},
	}
	cmd.Flags().BoolVar(&decode, "decode", false, "decode every image whole, not only its header")
	access.addFlags(cmd)
	return cmd
}

func runDatasetInspect(ctx context.Context, g *globals, uri string, decode bool, access accessOptions) error {
	options, err := access.resolve(g.err)
	if err != nil {
		return err
	}
	count := newCounter(g.err, "reading", "shards")
	summary, err := shard.Inspect(ctx, uri, shard.InspectOptions{Access: options, Decode: decode, Progress: count.update})
	count.close()
	if err != nil {
		return err
	}
	if err := g.print(summary, func(w io.Writer, _ bool) { datasetTable(w, summary) }); err != nil {
		return err
	}
	if n := len(summary.Problems); n > 0 {
		return &inputError{fmt.Errorf("%s has problems, %d of them listed above", uri, n)}
	}
	return nil
}

func datasetTable(w io.Writer, s shard.Summary) {
	rows := [][]string{
		{"data set", s.URI},
		{"shards", fmt.Sprintf("%d, %s, %d to %d samples each", s.Shards, bytesText(uint64(s.Bytes)), s.ShardSamples[0], s.ShardSamples[1])},
		{"samples", fmt.Sprintf("%d, of which %d without label", s.Samples, s.Unlabelled)},
		{"members", countsText(s.Members, "kinds of samples")},
		{"images", countsText(s.Images, "sizes")},
		{"labels", labelsText(s.Labels)},
		{"shuffled", fmt.Sprintf("among %d samples", s.ShuffleWindow)},
	}
	if s.First != nil {
		var members []string
		for _, m := range s.First.Members {
			members = append(members, strings.TrimSpace(fmt.Sprintf("%s (%s) %s", m.Name, bytesText(uint64(m.Bytes)), m.Image)))
		}
		rows = append(rows, []string{"first", s.First.Key + ": " + strings.Join(members, ", ")})
	}
	for _, p := range s.Problems {
		rows = append(rows, []string{"problem", p})
	}
	columns(w, rows)
}

// countsText lists the most frequent of counts; what is left over is called others.
func countsText(counts map[string]uint64, others string) string {
	const most = 6
	names := sortedKeys(counts)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	var parts []string
	rest := uint64(0)
	for i, name := range names {
		if i < most {
			parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
			continue
		}
		rest += counts[name]
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d other %s: %d", len(names)-most, others, rest))
	}
	return strings.Join(parts, ", ")
}

func labelsText(labels map[int]uint64) string {
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, fmt.Sprintf("%d: %d", label, labels[label]))
	}
	if len(parts) > 20 {
		return fmt.Sprintf("%d classes", len(parts))
	}
	return strings.Join(parts, ", ")
}
