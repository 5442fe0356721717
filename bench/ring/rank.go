package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"gorgonia.org/tensor"
)

// within bounds the joining of the ring and each round.
const within = time.Minute

// rank is what a process of the ring is told.
type rank struct {
	rank, ranks, bytes int
	lane, wire         string
	address            string
}

// serveRank is one rank: a round for each line on standard input.
func serveRank(told string) (err error) {
	var r rank
	if _, err := fmt.Sscan(told, &r.rank, &r.ranks, &r.bytes, &r.lane, &r.wire, &r.address); err != nil {
		return fmt.Errorf("read %s=%q: %w", rankVariable, told, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	group, leave, err := r.join(ctx)
	if err != nil {
		return fmt.Errorf("rank %d: %w", r.rank, err)
	}
	defer func() { err = errors.Join(err, leave()) }()
	gradient := r.gradient()
	for lines := bufio.NewReader(os.Stdin); ; {
		if _, err := lines.ReadString('\n'); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		took, err := sum(group, gradient)
		if err != nil {
			return err
		}
		fmt.Println(took.Seconds() * 1e3)
	}
}

// gradient is as gradients are: values of all sizes around zero.
func (r rank) gradient() *tensor.Dense {
	random := rand.New(rand.NewPCG(uint64(r.rank), 1))
	values := make([]float32, r.bytes/4)
	for i := range values {
		values[i] = float32(random.NormFloat64() * 1e-3)
	}
	return tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
}

// sum times one sum that all ranks begin together.
func sum(group *allreduce.Group, gradient *tensor.Dense) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if _, err := group.Exchange(ctx, nil); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err := group.Sum(ctx, []*tensor.Dense{gradient})
	return time.Since(start), err
}

// join makes this rank's end of the ring.
func (r rank) join(ctx context.Context) (group *allreduce.Group, leave func() error, err error) {
	conn, err := bus.Connect(ctx, []string{r.address}, fmt.Sprintf("rank %d", r.rank), nil, nil)
	if err != nil {
		return nil, nil, err
	}
	group, err = allreduce.NewGroup(allreduce.Config{
		Rank: r.rank, World: r.ranks, VirtualRanks: r.ranks, JobUID: "1", Generation: 1, DetectWithin: within,
	}, allreduce.NewNATSTransport(conn, "sslctl.bench.1.1", r.rank))
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	if err := group.Join(ctx); err != nil {
		return nil, nil, errors.Join(err, group.Abort(), bus.Close(conn, time.Second))
	}
	return group, func() error { return errors.Join(group.Close(), bus.Close(conn, time.Second)) }, nil
}
