//go:build unix

package allreduce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sslctl/sslctl/pkg/allreduce"
)

const (
	// rankProcess tells a copy of the test program that it is rank 1 of two: "<server address> <subject prefix>".
	rankProcess   = "ALLREDUCE_TEST_RANK"
	processWithin = 2 * time.Second
	processSteps  = 400
	processSize   = 1000
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(rankProcess); arguments != "" {
		var address, prefix string
		fmt.Sscan(arguments, &address, &prefix)
		if err := runRank(1, address, prefix, os.Stdout, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runRank runs one of two ranks through processSteps sums; it writes a mark of each to out and then calls after.
func runRank(rank int, address, prefix string, out io.Writer, after func(step int)) error {
	conn, err := nats.Connect(address, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	g, err := allreduce.NewGroup(allreduce.Config{Rank: rank, World: 2, VirtualRanks: 4, JobUID: "5", DetectWithin: processWithin},
		allreduce.NewNATSTransport(conn, prefix, rank))
	if err != nil {
		return err
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.Join(ctx); err != nil {
		return err
	}
	all := vectors(4, processSize, 8)
	for step := range processSteps {
		g.SetStep(uint64(step))
		sum, err := g.Sum(ctx, owned(g, all, processSize))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%x\n", checksum(sum.Float32s()))
		if after != nil {
			after(step)
		}
	}
	return nil
}

// Two ranks in two processes, one of which is stopped, continued or killed by signals.
func TestSignalledProcess(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal func(p *os.Process)
		check  func(t *testing.T, here, there error, errorThere string)
	}{
		{"stopped for a while", func(p *os.Process) {
			p.Signal(syscall.SIGSTOP)
			time.Sleep(processWithin / 2)
			p.Signal(syscall.SIGCONT)
		}, func(t *testing.T, here, there error, errorThere string) {
			if here != nil || there != nil {
				t.Errorf("errors %v and %v %s; want none", here, there, errorThere)
			}
		}},
		{"frozen", func(p *os.Process) {
			p.Signal(syscall.SIGSTOP)
			time.Sleep(2 * processWithin)
			p.Signal(syscall.SIGCONT)
		}, func(t *testing.T, here, there error, errorThere string) {
			var lost *allreduce.ErrPeerLost
			if !errors.As(here, &lost) || lost.Rank != 1 || lost.Silent < processWithin/2 || lost.Left {
				t.Errorf("error %v, want rank 1 lost", here)
			}
			// What came back must learn that the generation went on without it.
			if there == nil || !strings.Contains(errorThere, "rank 0 left") && !strings.Contains(errorThere, "rank 1 lost") {
				t.Errorf("the frozen rank ended with %v: %s", there, errorThere)
			}
		}},
		{"killed", func(p *os.Process) { p.Kill() }, func(t *testing.T, here, _ error, _ string) {
			var lost *allreduce.ErrPeerLost
			if !errors.As(here, &lost) || lost.Rank != 1 || lost.Left {
				t.Errorf("error %v, want rank 1 lost", here)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := natsCluster(t, 1, nil)[0].ClientURL()
			prefix := fmt.Sprintf("sslctl.test.%d.1", ringNumber.Add(1))
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			var there, errorThere, here strings.Builder
			child := exec.Command(program)
			child.Env = append(os.Environ(), rankProcess+"="+address+" "+prefix)
			child.Stdout, child.Stderr = &there, &errorThere
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			var signals sync.WaitGroup
			errHere := runRank(0, address, prefix, &here, func(step int) {
				if step == processSteps/4 {
					signals.Go(func() { c.signal(child.Process) })
				}
			})
			signals.Wait()
			errThere := child.Wait()
			c.check(t, errHere, errThere, errorThere.String())
			if n := min(here.Len(), there.Len()); here.String()[:n] != there.String()[:n] || n == 0 {
				t.Errorf("the processes computed different sums, or none")
			}
		})
	}
}

func checksum(x []float32) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range x {
		h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
	}
	return h
}
