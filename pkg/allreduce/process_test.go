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
	// rankProcess tells a copy of the test program that it is rank 1 of two: "<server address> <subject prefix> <lane>".
	rankProcess   = "ALLREDUCE_TEST_RANK"
	processWithin = 2 * time.Second
	processSteps  = 400
	processSize   = 1000
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(rankProcess); arguments != "" {
		var address, prefix, lane string
		fmt.Sscan(arguments, &address, &prefix, &lane)
		if err := runRank(1, address, prefix, lane, os.Stdout, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runRank runs one of two ranks through processSteps sums; it writes a mark of each to out and then calls after.
func runRank(rank int, address, prefix, lane string, out io.Writer, after func(step int)) error {
	conn, err := nats.Connect(address, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	config := allreduce.Config{Rank: rank, World: 2, VirtualRanks: 4, JobUID: "5", DetectWithin: processWithin}
	transport, shutdown, err := laneTransport(lane, config, conn, prefix, nil)
	if err != nil {
		return err
	}
	defer shutdown()
	g, err := allreduce.NewGroup(config, transport)
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
			// Where there is a connection to the process, its end is seen before the silence.
			if straight := !strings.Contains(t.Name(), laneShared); straight != lost.Ended {
				t.Errorf("error %v, want its end seen: %t", here, straight)
			}
		}},
	} {
		for _, lane := range lanes {
			t.Run(c.name+"/"+lane, func(t *testing.T) {
				t.Parallel()
				signalled(t, lane, c.signal, c.check)
			})
		}
	}
}

// signalled runs two ranks, of which the one in a process of its own gets a signal.
func signalled(t *testing.T, lane string, signal func(p *os.Process), check func(t *testing.T, here, there error, errorThere string)) {
	address := natsCluster(t, 1, nil)[0].ClientURL()
	prefix := fmt.Sprintf("sslctl.test.%d.1", ringNumber.Add(1))
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var there, errorThere, here strings.Builder
	child := exec.Command(program)
	child.Env = append(os.Environ(), rankProcess+"="+address+" "+prefix+" "+lane)
	child.Stdout, child.Stderr = &there, &errorThere
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var signals sync.WaitGroup
	errHere := runRank(0, address, prefix, lane, &here, func(step int) {
		if step == processSteps/4 {
			signals.Go(func() { signal(child.Process) })
		}
	})
	signals.Wait()
	errThere := child.Wait()
	check(t, errHere, errThere, errorThere.String())
	if n := min(here.Len(), there.Len()); here.String()[:n] != there.String()[:n] || n == 0 {
		t.Errorf("the processes computed different sums, or none")
	}
}

func checksum(x []float32) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range x {
		h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
	}
	return h
}
