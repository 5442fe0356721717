package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/shard"
)

func newDatasetPackCommand(g *globals) *cobra.Command {
	var o shard.PackOptions
	var access accessOptions
	cmd := &cobra.Command{
		Use:   "pack SOURCE DESTINATION",
		Short: "Write images as WebDataset shards",
		Long: `Writes a data set as WebDataset tar shards NAME-000.tar, NAME-001.tar … SOURCE is an IDX image file (as MNIST has them, gzipped or not; the
label file lies beside it), or a folder of .png, .jpg or .npy files: in one sub-folder for each class, or without sub-folders and classes. Training
needs no classes; evaluate.train and evaluate.test do. DESTINATION is a folder or s3://bucket/prefix. Samples are shuffled by --seed. The same source and flags give the same bytes.`,
		Example: `  sslctl dataset pack train-images-idx3-ubyte.gz .sslctl/data --name fashion-train --samples-per-shard 1000
  sslctl dataset pack photos/ s3://datasets/photos --name train --endpoint http://127.0.0.1:9000 --secret minio`,
		Args: arguments(2, 2, "the source, or the destination"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Source, o.Dest = args[0], args[1]
			return runDatasetPack(cmd.Context(), g, o, access)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "shard", "start of the shards' names")
	f.StringVar(&o.Labels, "labels", "", "IDX label file (default: SOURCE's name with labels for images)")
	f.BoolVar(&o.Unlabelled, "unlabelled", false, "take sub-folders for no classes: pack all images below a folder without labels")
	f.IntVar(&o.Shards, "shards", 0, "number of shards")
	f.IntVar(&o.SamplesPerShard, "samples-per-shard", 0, "samples of each shard, in place of --shards (default 1000)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the shuffle")
	f.BoolVar(&o.KeepOrder, "keep-order", false, "keep the source's order")
	f.IntVar(&o.Limit, "limit", 0, "pack only the first samples of the source")
	f.BoolVar(&o.Overwrite, "overwrite", false, "replace shards of this name")
	access.addFlags(cmd)
	return cmd
}

func runDatasetPack(ctx context.Context, g *globals, o shard.PackOptions, access accessOptions) error {
	var err error
	if o.Access, err = access.resolve(g.err); err != nil {
		return err
	}
	count := newCounter(g.err, "packing", "samples")
	packed, err := shard.Pack(ctx, o, count.update)
	count.close()
	if err != nil {
		return err
	}
	return g.print(packed, func(w io.Writer, wide bool) {
		fmt.Fprintf(w, "%s: %d samples in %s, %s\n", packed.URI, packed.Samples, shardsText(len(packed.Shards)), bytesText(uint64(packed.Bytes)))
		if len(packed.Classes) > 0 {
			fmt.Fprintf(w, "classes: %s\n", strings.Join(packed.Classes, ", "))
		}
		if len(packed.Ignored) > 0 {
			fmt.Fprintf(w, "ignored: %d files that do not end in .png, .jpg, .jpeg or .npy (%s)\n", len(packed.Ignored), endingsText(packed.Ignored))
			if wide {
				fmt.Fprintln(w, strings.Join(packed.Ignored, "\n"))
			}
		}
	})
}

// endingsText counts files by the ends of their names.
func endingsText(files []string) string {
	counts := map[string]uint64{}
	for _, file := range files {
		ending := strings.ToLower(path.Ext(file))
		if base := path.Base(file); ending == "" || strings.HasPrefix(base, ".") {
			ending = base
		}
		counts[ending]++
	}
	return countsText(counts, "endings")
}

func shardsText(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return fmt.Sprintf("%d shards", n)
}
