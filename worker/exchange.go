package worker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sslctl/sslctl/pkg/allreduce"
)

// exchange tells every rank what every rank says, in rank order.
func exchange[T any](ctx context.Context, g *allreduce.Group, own T) ([]T, error) {
	blob, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", own, err)
	}
	blobs, err := g.Exchange(ctx, blob)
	if err != nil {
		return nil, err
	}
	all := make([]T, len(blobs))
	for rank, b := range blobs {
		if err := json.Unmarshal(b, &all[rank]); err != nil {
			return nil, fmt.Errorf("decode what rank %d says: %w", rank, err)
		}
	}
	return all, nil
}
