package shard_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sslctl/sslctl/shard"
)

// Pack the shipped test images, then read what virtual rank 1 of 4 gets in the first two steps.
func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 2000 samples in 4 shards
	// position 2: label 3, 2 members
	// position 3: label 1, 2 members
	// position 10: label 4, 2 members
	// position 11: label 3, 2 members
}

func example(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	packed, err := shard.Pack(ctx, shard.PackOptions{
		Source: "../examples/data/fashion-mnist/test-images-idx3-ubyte.gz", Dest: dir, Name: "test", SamplesPerShard: 500,
	}, nil)
	if err != nil {
		return err
	}
	data, err := shard.Open(ctx, packed.URI, shard.Options{})
	if err != nil {
		return err
	}
	fmt.Println(data.Len(), "samples in", len(packed.Shards), "shards")
	order, err := shard.NewOrder(data.Shape(), shard.OrderOptions{Seed: 7, Batch: 8, VirtualRanks: 4})
	if err != nil {
		return err
	}
	r, err := shard.NewReader(ctx, data, order, 1, 0, shard.ReadOptions{End: 16})
	if err != nil {
		return err
	}
	defer r.Close()
	for range 4 {
		pos, sample, err := r.Next(ctx)
		if err != nil {
			return err
		}
		label, err := shard.Label(sample)
		if err != nil {
			return err
		}
		fmt.Printf("position %d: label %d, %d members\n", pos, label, len(sample.Members))
	}
	return nil
}
