package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	random "math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats.go"
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
	total := tensor.New(tensor.WithShape(gradient.Shape()...), tensor.Of(tensor.Float32))
	for lines := bufio.NewReader(os.Stdin); ; {
		if _, err := lines.ReadString('\n'); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		took, err := sum(group, total, gradient)
		if err != nil {
			return err
		}
		fmt.Println(took.Seconds() * 1e3)
	}
}

// gradient is as gradients are: values of all sizes around zero.
func (r rank) gradient() *tensor.Dense {
	draw := random.New(random.NewPCG(uint64(r.rank), 1))
	values := make([]float32, r.bytes/4)
	for i := range values {
		values[i] = float32(draw.NormFloat64() * 1e-3)
	}
	return tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
}

// sum times one sum that all ranks begin together.
func sum(group *allreduce.Group, total, gradient *tensor.Dense) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if _, err := group.Exchange(ctx, nil); err != nil {
		return 0, err
	}
	start := time.Now()
	err := group.SumGradients(ctx, total, []*tensor.Dense{gradient})
	return time.Since(start), err
}

// join makes this rank's end of the ring.
func (r rank) join(ctx context.Context) (group *allreduce.Group, leave func() error, err error) {
	conn, err := bus.Connect(ctx, []string{r.address}, fmt.Sprintf("rank %d", r.rank), nil, nil)
	if err != nil {
		return nil, nil, err
	}
	config := allreduce.Config{Rank: r.rank, World: r.ranks, VirtualRanks: r.ranks, JobUID: "1", Generation: 1, DetectWithin: within, Wire: allreduce.Wire(r.wire)}
	transport, shutdown, err := r.transport(config, conn)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	group, err = allreduce.NewGroup(config, transport)
	if err != nil {
		return nil, nil, errors.Join(err, transport.Close(), shutdown(), bus.Close(conn, time.Second))
	}
	leave = func() error { return errors.Join(group.Close(), shutdown(), bus.Close(conn, time.Second)) }
	if err := group.Join(ctx); err != nil {
		return nil, nil, errors.Join(err, group.Abort(), leave())
	}
	return group, leave, nil
}

// transport makes this rank's end of the lane; shutdown ends what it needs.
func (r rank) transport(config allreduce.Config, conn *nats.Conn) (t allreduce.Transport, shutdown func() error, err error) {
	shutdown = func() error { return nil }
	shared := allreduce.NewNATSTransport(conn, "sslctl.bench.1.1", r.rank)
	lane := allreduce.Lane{Token: rand.Text(), Host: "127.0.0.1", Changed: func(to int, straight bool, why error) {
		if !straight {
			fmt.Fprintf(os.Stderr, "ring: frames from rank %d to rank %d go over the shared server: %v\n", r.rank, to, why)
		}
	}}
	switch r.lane {
	case "shared":
		return shared, shutdown, nil
	case "nats":
		server, err := bus.StartServer(bus.ServerConfig{Name: fmt.Sprintf("rank-%d", r.rank), Token: lane.Token})
		if err != nil {
			return nil, nil, err
		}
		lane.Server = server
		shutdown = func() error {
			server.Shutdown()
			return nil
		}
	case "direct":
		if lane.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("lane %q; expected nats, direct or shared", r.lane)
	}
	t, err = allreduce.NewLaneTransport(config, shared, lane)
	return t, shutdown, err
}
