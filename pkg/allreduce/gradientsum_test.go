package allreduce_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gorgonia.org/tensor"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/task"
)

// unfinished makes a rank's gradients as they are before backward: nothing in them may be read.
func unfinished(g *allreduce.Group, n int) []*tensor.Dense {
	lo, hi := g.Owned()
	own := make([]*tensor.Dense, hi-lo)
	for i := range own {
		values := make([]float32, n)
		for j := range values {
			values[j] = float32(math.NaN())
		}
		own[i] = dense(values, n)
	}
	return own
}

// backward writes the gradients of a rank's virtual ranks, side by side, from their ends to their starts in runs of the seed's lengths with
// pauses of the seed's, and reports each run.
func backward(g *allreduce.Group, s *allreduce.GradientSum, own []*tensor.Dense, all [][]float32, seed uint64) {
	first, _ := g.Owned()
	var virtualRanks sync.WaitGroup
	for i, t := range own {
		virtualRanks.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(first+i)))
			for hi := t.DataSize(); hi > 0; {
				lo := max(0, hi-1-r.IntN(t.DataSize()))
				copy(t.Float32s()[lo:hi], all[first+i][lo:hi])
				s.Finished(i, lo)
				hi = lo
				time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
			}
		})
	}
	virtualRanks.Wait()
}

// overlapped sums gradients while they are computed, on all ranks.
func overlapped(ctx context.Context, groups []*allreduce.Group, all [][]float32, seed uint64) ([]*tensor.Dense, error) {
	n := len(all[0])
	sums := make([]*tensor.Dense, len(groups))
	err := allreducetest.Each(groups, func(g *allreduce.Group) error {
		own, sum := unfinished(g, n), dense(make([]float32, n), n)
		s, err := g.BeginSumGradients(ctx, sum, own)
		if err != nil {
			return err
		}
		defer s.Abandon()
		backward(g, s, own, all, seed)
		for r := range groups {
			if groups[r] == g {
				sums[r] = sum
			}
		}
		return s.Wait()
	})
	return sums, err
}

// However backward goes on the ranks, over whatever transport, the sum has the bits of one that begins when all is there.
func TestGradientsSummedDuringBackward(t *testing.T) {
	const v, n = 8, 6000
	all := vectors(v, n, 11)
	for _, wire := range []allreduce.Wire{allreduce.WireInt32, allreduce.WireInt16} {
		edit := func(c *allreduce.Config) {
			c.Wire, c.Seed, c.FrameBytes, c.BucketElements, c.WindowBytes = wire, 77, 512, 2048, 4<<10
		}
		want := dense(make([]float32, n), n)
		alone := allreducetest.Ring(t, &allreducetest.Network{}, v, 1, edit)
		if err := alone[0].SumGradients(t.Context(), want, owned(alone[0], all, n)); err != nil {
			t.Fatal(err)
		}
		for w := 1; w <= 5; w++ {
			for seed := range uint64(12) {
				synctest.Test(t, func(t *testing.T) {
					network := &allreducetest.Network{}
					if seed%2 == 1 {
						network.Fault = faulty(seed, 5)
					}
					groups := allreducetest.Ring(t, network, v, w, edit)
					sums, err := overlapped(deadline(t), groups, all, seed)
					if err != nil {
						t.Fatal(err)
					}
					for r, sum := range sums {
						equalBits(t, fmt.Sprintf("%s, W=%d, seed %d, rank %d", wire, w, seed, r), sum.Float32s(), want.Float32s())
					}
				})
			}
		}
	}
}

// What is finished on all ranks is summed before the rest is.
func TestFinishedRunsAreSummedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const v, n, half = 4, 8192, 4096
		all := vectors(v, n, 2)
		groups := allreducetest.Ring(t, &allreducetest.Network{}, v, 2, func(c *allreduce.Config) { c.FrameBytes, c.BucketElements = 512, 2048 })
		waits := groups[0].Stats().Waits
		var sums []*allreduce.GradientSum
		var totals []*tensor.Dense
		for _, g := range groups {
			total := dense(make([]float32, n), n)
			s, err := g.BeginSumGradients(t.Context(), total, owned(g, all, n))
			if err != nil {
				t.Fatal(err)
			}
			sums, totals = append(sums, s), append(totals, total)
			s.Finished(0, half)
		}
		synctest.Wait()
		missing := make([]float32, n)
		for _, total := range totals {
			equalBits(t, "a sum of which each rank lacks one virtual rank's part", total.Float32s(), missing)
		}
		for _, s := range sums {
			s.Finished(1, half)
		}
		synctest.Wait()
		early := append([]float32(nil), totals[0].Float32s()...)
		equalBits(t, "the unfinished half", early[:half], missing[:half])
		if _, err := groups[0].Sum(t.Context(), owned(groups[0], all, n)); !errors.Is(err, allreduce.ErrBusy) {
			t.Errorf("another collective before Wait returns %v, want ErrBusy", err)
		}
		if more := groups[0].Stats().Waits - waits; more != 0 {
			t.Errorf("%d waits were counted, although this rank was the one to be waited for", more)
		}
		if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
			if g == groups[0] {
				return sums[0].Wait()
			}
			return sums[1].Wait()
		}); err != nil {
			t.Fatal(err)
		}
		checkAgainstFloat64(t, totals[0].Float32s(), all)
		equalBits(t, "the half that was finished first", early[half:], totals[0].Float32s()[half:])
	})
}

// NaN skips the step on all ranks, and the ring goes on.
func TestNotFiniteDuringBackward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 4, 2, small)
		all := vectors(4, 3000, 1)
		all[1][2900] = float32(math.NaN())
		if _, err := overlapped(deadline(t), groups, all, 1); !errors.Is(err, task.ErrNotFinite) {
			t.Errorf("a sum with NaN returns %v, want ErrNotFinite", err)
		}
		all[1][2900] = 0
		if _, err := overlapped(deadline(t), groups, all, 1); err != nil {
			t.Errorf("the sum after one with NaN returns %v", err)
		}
	})
}

// Whatever ends a sum in the middle of backward, all ranks hear of it when backward is over, and nothing of it goes on.
func TestASumEndsInTheMiddleOfBackward(t *testing.T) {
	const n = 8192
	all := vectors(4, n, 1)
	for _, c := range []struct {
		name string
		end  func(network *allreducetest.Network, cancel func(), g *allreduce.Group, s *allreduce.GradientSum)
		own  func(err error) bool // of the rank whose sum is ended
	}{
		{"cancelled", func(_ *allreducetest.Network, cancel func(), g *allreduce.Group, _ *allreduce.GradientSum) { cancel() },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"abandoned", func(_ *allreducetest.Network, _ func(), _ *allreduce.Group, s *allreduce.GradientSum) { s.Abandon() },
			func(err error) bool { return err != nil }},
		{"closed", func(_ *allreducetest.Network, _ func(), g *allreduce.Group, _ *allreduce.GradientSum) { g.Close() },
			func(err error) bool { return errors.Is(err, allreduce.ErrClosed) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := &allreducetest.Network{}
			groups := allreducetest.Ring(t, network, 4, 4, func(c *allreduce.Config) { c.FrameBytes, c.BucketElements = 512, 1024 })
			errs := make([]error, len(groups))
			allreducetest.Each(groups, func(g *allreduce.Group) error {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				rank, _ := g.Owned()
				s, err := g.BeginSumGradients(ctx, dense(make([]float32, n), n), owned(g, all, n))
				if err != nil {
					t.Error(err)
					return nil
				}
				defer s.Abandon()
				s.Finished(0, n/2)
				time.Sleep(time.Second)
				if rank == 2 {
					c.end(network, cancel, g, s)
				}
				time.Sleep(time.Second) // the rest of backward
				errs[rank] = s.Wait()
				return g.Close() // as whoever gets an error must
			})
			for r, err := range errs {
				var lost *allreduce.ErrPeerLost
				if r == 2 && !c.own(err) || r != 2 && (!errors.As(err, &lost) || lost.Rank != 2 && lost.Rank != 1 && lost.Rank != 3) {
					t.Errorf("%s: rank %d returns %v", c.name, r, err)
				}
			}
			if _, err := groups[2].Sum(t.Context(), owned(groups[2], all, n)); err == nil {
				t.Errorf("%s: another sum is done", c.name)
			}
		})
	}
}

// A rank that falls silent in the middle of its backward is found by those that have more to compute.
func TestAPeerDiesInTheMiddleOfBackward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 8192
		var dead sync.Map
		network := &allreducetest.Network{Fault: func(from, _ int, _ uint64, _ []byte) allreducetest.Fault {
			_, silent := dead.Load(from)
			return allreducetest.Fault{Drop: silent}
		}}
		groups := allreducetest.Ring(t, network, 3, 3, func(c *allreduce.Config) { c.FrameBytes, c.BucketElements = 512, 1024 })
		all := vectors(3, n, 1)
		allreducetest.Each(groups, func(g *allreduce.Group) error {
			rank, _ := g.Owned()
			s, err := g.BeginSumGradients(t.Context(), dense(make([]float32, n), n), owned(g, all, n))
			if err != nil {
				t.Error(err)
				return nil
			}
			defer s.Abandon()
			s.Finished(0, n/2)
			if rank == 1 {
				dead.Store(rank, true)
				return nil
			}
			time.Sleep(10 * time.Second)
			start := time.Now()
			err = s.Wait()
			var lost *allreduce.ErrPeerLost
			if !errors.As(err, &lost) || lost.Rank != 1 || time.Since(start) > 0 {
				t.Errorf("rank %d: after %s more: %v, want that rank 1 is lost", rank, time.Since(start), err)
			}
			return nil
		})
	})
}
