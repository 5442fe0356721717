package allreduce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
)

func TestCloseTellsNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 4, 4, small)
		all := vectors(4, 3000, 1)
		time.AfterFunc(time.Second, func() {
			if err := groups[1].Close(); err != nil {
				t.Error(err)
			}
		})
		start := time.Now()
		for r, err := range sumAll(deadline(t), groups, all, 1) {
			var lost *allreduce.ErrPeerLost
			if r != 1 && (!errors.As(err, &lost) || lost.Rank != 1 || !lost.Left) {
				t.Errorf("rank %d returns %v, want: rank 1 left", r, err)
			}
		}
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("the others learned it after %s", took)
		}
		if _, err := groups[1].Sum(t.Context(), owned(groups[1], all, 3000)); !errors.Is(err, allreduce.ErrClosed) {
			t.Errorf("Sum after Close returns %v", err)
		}
	})
}

// A rank that is done may close although its neighbour has yet to receive (again) what was lost.
func TestCloseLingersForTheNeighbour(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			groups := allreducetest.Ring(t, &allreducetest.Network{Fault: faulty(seed, 10)}, 4, 4, small)
			all := vectors(4, 3000, 1)
			if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
				if _, err := g.Sum(t.Context(), owned(g, all, 3000)); err != nil {
					return err
				}
				return g.Close()
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A generation that has ended is left at once, although its neighbours are dead; Close would wait for them to be lost.
func TestAbortDoesNotWait(t *testing.T) {
	for _, abort := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var dead atomic.Bool
			network := &allreducetest.Network{Fault: func(int, int, uint64, []byte) allreducetest.Fault {
				return allreducetest.Fault{Drop: dead.Load()}
			}}
			groups := allreducetest.Ring(t, network, 2, 2, small)
			dead.Store(true)
			start := time.Now()
			end := groups[0].Close
			if abort {
				end = groups[0].Abort
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); abort && took > 0 || !abort && (took < time.Second || took > 3*time.Second) {
				t.Errorf("abort %t: ended after %s", abort, took)
			}
		})
	}
}

func TestCloseEndsARunningCollective(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 2, 2, small)
		all := vectors(2, 3000, 1)
		time.AfterFunc(time.Second, func() { groups[0].Close() })
		if errs := sumAll(deadline(t), groups, all, 1); !errors.Is(errs[0], allreduce.ErrClosed) {
			t.Errorf("Sum returns %v, want ErrClosed", errs[0])
		}
	})
}

func TestDifferentCallsAreFound(t *testing.T) {
	all := vectors(2, 3000, 1)
	for name, second := range map[string]func(context.Context, *allreduce.Group) error{
		"kind": func(ctx context.Context, g *allreduce.Group) error {
			_, err := g.Max(ctx, owned(g, all, 3000))
			return err
		},
		"size": func(ctx context.Context, g *allreduce.Group) error {
			_, err := g.Sum(ctx, owned(g, vectors(2, 2000, 1), 2000))
			return err
		},
		"step": func(ctx context.Context, g *allreduce.Group) error {
			g.SetStep(8)
			_, err := g.Sum(ctx, owned(g, all, 3000))
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			groups := allreducetest.Ring(t, &allreducetest.Network{}, 2, 2, small)
			err := allreducetest.Each(groups, func(g *allreduce.Group) error {
				g.SetStep(7)
				defer g.Close() // as whoever gets an error must, so that the other rank does not wait
				if lo, _ := g.Owned(); lo == 1 {
					return second(t.Context(), g)
				}
				_, err := g.Sum(t.Context(), owned(g, all, 3000))
				return err
			})
			if !errors.Is(err, allreduce.ErrOutOfStep) {
				t.Errorf("%s: %v, want ErrOutOfStep", name, err)
			}
		})
	}
}

func TestOneCollectiveAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 2, 2, small)
		all := vectors(2, 3000, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.AfterFunc(time.Second/2, func() {
			if _, err := groups[0].Max(ctx, owned(groups[0], all, 3000)); !errors.Is(err, allreduce.ErrBusy) {
				t.Errorf("a second collective returns %v, want ErrBusy", err)
			}
		})
		sumAll(ctx, groups, all, 1)
	})
}

func TestJoin(t *testing.T) {
	t.Run("a rank is missing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, err := allreduce.NewGroup(allreduce.Config{Rank: 1, World: 4, VirtualRanks: 4, JobUID: "9", Generation: 2}, (&allreducetest.Network{}).Transport(1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Exchange(t.Context(), nil); !errors.Is(err, allreduce.ErrNotJoined) {
				t.Errorf("a collective before Join returns %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			err = g.Join(ctx)
			want := `allreduce: rank 1 of 4, job "9", generation 2: join: awaited the greeting of rank 0 and rank 2 for 3s: context deadline exceeded`
			if err == nil || err.Error() != want {
				t.Errorf("Join returns\n%v, want\n%s", err, want)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("closed meanwhile, or before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, after := range []time.Duration{0, time.Second} {
				g, err := allreduce.NewGroup(allreduce.Config{World: 2, VirtualRanks: 4}, (&allreducetest.Network{}).Transport(0))
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				closed := make(chan error, 1)
				if after == 0 {
					closed <- g.Close()
				} else {
					time.AfterFunc(after, func() { closed <- g.Close() })
				}
				if err := g.Join(t.Context()); !errors.Is(err, allreduce.ErrClosed) {
					t.Errorf("Join returns %v, want ErrClosed", err)
				}
				if err := <-closed; err != nil || time.Since(start) > after+100*time.Millisecond {
					t.Errorf("Close returns %v after %s", err, time.Since(start))
				}
			}
		})
	})
	t.Run("late and lossy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := &allreducetest.Network{Fault: faulty(4, 30)}
			var groups []*allreduce.Group
			for r := range 4 {
				g, err := allreduce.NewGroup(allreduce.Config{Rank: r, World: 4, VirtualRanks: 4, JobUID: "9"}, network.Transport(r))
				if err != nil {
					t.Fatal(err)
				}
				groups = append(groups, g)
			}
			defer allreducetest.CloseAll(t, groups)
			if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
				lo, _ := g.Owned()
				time.Sleep(time.Duration(lo) * 10 * time.Second)
				return g.Join(t.Context())
			}); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("at once when the last rank comes, in whatever order", func(t *testing.T) {
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 2, 1, 3}, {1, 3, 2, 0}, {2, 0, 3, 1}, {0, 0, 0, 0}} {
			synctest.Test(t, func(t *testing.T) {
				network := &allreducetest.Network{Fault: func(int, int, uint64, []byte) allreducetest.Fault {
					return allreducetest.Fault{Delay: time.Millisecond}
				}}
				var groups []*allreduce.Group
				for r := range 4 {
					c := allreduce.Config{Rank: r, World: 4, VirtualRanks: 4, JobUID: "9", DetectWithin: 80 * time.Second}
					g, err := allreduce.NewGroup(c, network.Transport(r))
					if err != nil {
						t.Fatal(err)
					}
					groups = append(groups, g)
				}
				defer allreducetest.CloseAll(t, groups)
				last := time.Now().Add(time.Duration(slices.Max(order)) * 333 * time.Millisecond)
				if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
					rank, _ := g.Owned()
					time.Sleep(time.Duration(order[rank]) * 333 * time.Millisecond)
					return g.Join(t.Context())
				}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(last); took > 20*time.Millisecond {
					t.Errorf("ranks that come in the order %v have joined %s after the last one came", order, took)
				}
			})
		}
	})
	t.Run("different configurations", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := &allreducetest.Network{}
			err := func() error {
				var groups []*allreduce.Group
				for r := range 2 {
					g, err := allreduce.NewGroup(allreduce.Config{Rank: r, World: 2, VirtualRanks: 4, Starts: []int{0, 1 + r, 4}}, network.Transport(r))
					if err != nil {
						t.Fatal(err)
					}
					groups = append(groups, g)
				}
				defer allreducetest.CloseAll(t, groups)
				return allreducetest.Each(groups, func(g *allreduce.Group) error {
					if err := g.Join(t.Context()); !errors.Is(err, allreduce.ErrMismatch) {
						return fmt.Errorf("Join returns %v, want ErrMismatch", err)
					}
					return nil
				})
			}()
			if err != nil {
				t.Error(err)
			}
		})
	})
}
