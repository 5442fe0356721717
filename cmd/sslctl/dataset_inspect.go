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
	cmd.Flags().BoolVar(&decode, "decode", false, "decode every PNG and JPEG image whole, and not look at its header and its end alone")
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
	if err := g.print(summary, func(w io.Writer, _ bool) { datasetTable(w, summary, decode) }); err != nil {
		return err
	}
	if n := len(summary.Problems); n > 0 {
		return &inputError{fmt.Errorf("%s has problems, %d of them listed above", uri, n)}
	}
	return nil
}

func datasetTable(w io.Writer, s shard.Summary, decoded bool) {
	checked := "every pixel of PNG and JPEG images"
	if !decoded {
		checked = "header and end of PNG and JPEG images; --decode looks at every pixel"
	}
	rows := [][]string{
		{"data set", s.URI},
		{"shards", fmt.Sprintf("%d, %s, %s", s.Shards, bytesText(uint64(s.Bytes)), shardSamplesText(s.ShardSamples))},
		{"samples", samplesText(s)},
		{"members", countsText(s.Members, "kinds of samples")},
		{"images", countsText(s.Images, "sizes") + boundsText(s.Images)},
		{"checked", checked},
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

func shardSamplesText(n [2]uint64) string {
	if n[0] == n[1] {
		return fmt.Sprintf("%d samples each", n[0])
	}
	return fmt.Sprintf("%d to %d samples each", n[0], n[1])
}

func samplesText(s shard.Summary) string {
	switch s.Unlabelled {
	case 0:
		return fmt.Sprintf("%d, all with a label", s.Samples)
	case s.Samples:
		return fmt.Sprintf("%d, all without label", s.Samples)
	}
	return fmt.Sprintf("%d, of which %d without label", s.Samples, s.Unlabelled)
}

// countsMost is how many counts are listed.
const countsMost = 6

// boundsText is between which bounds the sizes of images lie, where they are too many to be listed.
func boundsText(images map[string]uint64) string {
	if len(images) <= countsMost {
		return ""
	}
	var least, most [2]int
	for name := range images {
		var size [2]int
		if _, err := fmt.Sscanf(name, "%d×%d", &size[0], &size[1]); err != nil {
			return ""
		}
		for i, n := range size {
			if least[i] == 0 || n < least[i] {
				least[i] = n
			}
			most[i] = max(most[i], n)
		}
	}
	return fmt.Sprintf("; %d to %d wide, %d to %d high", least[0], most[0], least[1], most[1])
}

// countsText lists the most frequent of counts; what is left over is called others.
func countsText(counts map[string]uint64, others string) string {
	const most = countsMost
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
