package allreduce_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/keyed"
)

// faulty damages frames by number: rate of every 100 frames for each kind of damage.
func faulty(seed uint64, rate uint64) func(from, to int, n uint64, frame []byte) allreducetest.Fault {
	key := keyed.New(seed)
	return func(from, to int, n uint64, _ []byte) allreducetest.Fault {
		k := key.At(uint64(from), uint64(to), n)
		f := allreducetest.Fault{
			Drop:    k.IntN(0, 100) < rate,
			Corrupt: k.IntN(1, 100) < rate,
		}
		if k.IntN(2, 100) < rate {
			f.Duplicate = int(1 + k.IntN(3, 3))
		}
		if k.IntN(4, 100) < rate {
			f.Delay = time.Duration(k.IntN(5, 100)) * time.Millisecond
		}
		return f
	}
}

// Lost, repeated, overtaken and damaged frames change nothing but the time.
func TestSameBitsOverAFaultyTransport(t *testing.T) {
	all := vectors(8, 3000, 3)
	var want map[string][]float32
	synctest.Test(t, func(t *testing.T) {
		want = results(t, allreducetest.Ring(t, &allreducetest.Network{}, 8, 1, nil), all)
	})
	rapid.Check(t, func(rt *rapid.T) {
		w := rapid.IntRange(2, 5).Draw(rt, "W")
		seed := rapid.Uint64().Draw(rt, "seed")
		rate := rapid.Uint64Range(1, 8).Draw(rt, "rate")
		var rejected, resent uint64
		synctest.Test(t, func(t *testing.T) {
			groups := allreducetest.Ring(t, &allreducetest.Network{Fault: faulty(seed, rate)}, 8, w, small)
			got := results(t, groups, all)
			for name := range want {
				equalBits(t, name, got[name], want[name])
			}
			for _, g := range groups {
				s := g.Stats()
				rejected, resent = rejected+s.Rejected.Total(), resent+s.FramesResent
			}
		})
		if rejected == 0 || resent == 0 {
			rt.Fatalf("%d frames rejected, %d sent again; the faults had no effect", rejected, resent)
		}
	})
}

func TestFramesOfOthersAreRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := vectors(4, 3000, 5)
		var mu sync.Mutex
		recorded := map[int][][]byte{}
		record := func(_, to int, _ uint64, frame []byte) allreducetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			recorded[to] = append(recorded[to], append([]byte(nil), frame...))
			return allreducetest.Fault{}
		}
		old := allreducetest.Ring(t, &allreducetest.Network{Fault: record}, 4, 3, small)
		want := results(t, old, all)
		allreducetest.CloseAll(t, old)

		for name, edit := range map[string]func(*allreduce.Config){
			"stale":   func(c *allreduce.Config) { small(c); c.Generation = 4 },
			"foreign": func(c *allreduce.Config) { small(c); c.JobUID = "18" },
		} {
			replaying := &allreducetest.Network{}
			var once sync.Once
			replaying.Fault = func(from, to int, n uint64, _ []byte) allreducetest.Fault {
				if n == 20 {
					once.Do(func() {
						for to, frames := range recorded {
							for _, f := range frames {
								replaying.Inject(to, f)
							}
							replaying.Inject(to, []byte("not a frame"))
						}
					})
				}
				return allreducetest.Fault{}
			}
			groups := allreducetest.Ring(t, replaying, 4, 3, edit)
			got := results(t, groups, all)
			for name := range want {
				equalBits(t, name, got[name], want[name])
			}
			for r, g := range groups {
				s := g.Stats().Rejected
				n := uint64(len(recorded[r]))
				if name == "stale" && s.Stale != n || name == "foreign" && s.Foreign != n || s.Malformed != 1 {
					t.Errorf("%s: rank %d rejected %+v of %d frames", name, r, s, n)
				}
			}
			allreducetest.CloseAll(t, groups)
		}
	})
}

// sumAll runs one Sum on all groups but those left out.
func sumAll(ctx context.Context, groups []*allreduce.Group, all [][]float32, without ...int) []error {
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
next:
	for r, g := range groups {
		for _, w := range without {
			if r == w {
				continue next
			}
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, errs[r] = g.Sum(ctx, owned(g, all, len(all[0])))
		}()
	}
	wg.Wait()
	return errs
}

func TestFrozenPeerIsFoundByAll(t *testing.T) {
	for _, frozen := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			const within = 2 * time.Second
			var stop sync.Map
			network := &allreducetest.Network{Fault: func(from, to int, _ uint64, _ []byte) allreducetest.Fault {
				_, a := stop.Load(from)
				_, b := stop.Load(to)
				return allreducetest.Fault{Drop: a || b}
			}}
			groups := allreducetest.Ring(t, network, 4, 4, func(c *allreduce.Config) { small(c); c.DetectWithin = within })
			all := vectors(4, 3000, 1)
			for _, err := range sumAll(deadline(t), groups, all) {
				if err != nil {
					t.Fatal(err)
				}
			}
			stop.Store(frozen, true)
			start := time.Now()
			errs := sumAll(deadline(t), groups, all, frozen)
			if took := time.Since(start); took < within/2 || took > within+within/8 {
				t.Errorf("found after %s, want about %s", took, within)
			}
			for r, err := range errs {
				var lost *allreduce.ErrPeerLost
				if r != frozen && (!errors.As(err, &lost) || lost.Rank != frozen || lost.Left || lost.Silent < within*7/8) {
					t.Errorf("rank %d returns %v, want rank %d lost", r, err, frozen)
				}
			}
			t.Log(errs[(frozen+1)%4])
		})
	}
}

func TestSlowPeerIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 3, 3, small)
		all := vectors(3, 3000, 1)
		if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
			if lo, _ := g.Owned(); lo == 1 {
				time.Sleep(10 * time.Minute) // what a long computation looks like from outside
			}
			_, err := g.Sum(t.Context(), owned(g, all, 3000))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWindowBoundsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 8 << 10
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 2, 2, func(c *allreduce.Config) { c.FrameBytes, c.WindowBytes = 1024, window })
		all := vectors(2, 100_000, 1)
		if err := allreducetest.Each(groups, func(g *allreduce.Group) error {
			if lo, _ := g.Owned(); lo == 1 {
				time.Sleep(time.Minute)
			}
			_, err := g.AllGather(t.Context(), owned(g, all, 100_000))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for r, g := range groups {
			if s := g.Stats(); s.MaxKept > window || s.MaxWaiting > window || s.MaxWaiting < window/2 && r == 1 {
				t.Errorf("rank %d: %d bytes kept, %d waiting; window %d", r, s.MaxKept, s.MaxWaiting, window)
			}
		}
	})
}

// While a rank is cut off, it bears three times the silence; the loss of what was under way is made good.
func TestDisconnection(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  []int
		away time.Duration
		lost bool
	}{
		{"one rank, short", []int{1}, 900 * time.Millisecond, false},
		{"all ranks, longer than DetectWithin", []int{0, 1, 2}, 4 * time.Second, false},
		{"one rank, longer than its neighbours bear", []int{1}, 4 * time.Second, true},
		{"all ranks, too long", []int{0, 1, 2}, 7 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &allreducetest.Network{}
				ends := map[int]*allreducetest.Transport{}
				var groups []*allreduce.Group
				for r := range 3 {
					ends[r] = network.Transport(r)
					config := allreduce.Config{Rank: r, World: 3, VirtualRanks: 6, JobUID: "1"}
					small(&config)
					g, err := allreduce.NewGroup(config, ends[r])
					if err != nil {
						t.Fatal(err)
					}
					groups = append(groups, g)
				}
				defer allreducetest.CloseAll(t, groups)
				if err := allreducetest.Each(groups, func(g *allreduce.Group) error { return g.Join(t.Context()) }); err != nil {
					t.Fatal(err)
				}
				all := vectors(6, 100_000, 1)
				var once sync.Once
				network.Fault = func(_, _ int, n uint64, _ []byte) allreducetest.Fault {
					if n == 150 {
						once.Do(func() {
							for _, r := range c.cut {
								ends[r].SetConnected(false)
								time.AfterFunc(c.away, func() { ends[r].SetConnected(true) })
							}
						})
					}
					return allreducetest.Fault{}
				}
				failures := 0
				for r, err := range sumAll(deadline(t), groups, all) {
					var lost *allreduce.ErrPeerLost
					if err != nil && !errors.As(err, &lost) {
						t.Errorf("rank %d: %v", r, err)
					}
					if err != nil {
						failures++
					}
				}
				if c.lost != (failures == 3) || !c.lost && failures > 0 {
					t.Errorf("%d ranks lost a peer", failures)
				}
			})
		})
	}
}

func TestCancelReturnsAtOnceAndBreaksTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := allreducetest.Ring(t, &allreducetest.Network{}, 3, 3, small)
		all := vectors(3, 30_000, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("the job was paused")
		time.AfterFunc(time.Second, func() { cancel(reason) })
		start := time.Now()
		errs := sumAll(ctx, groups, all, 1)
		if took := time.Since(start); took != time.Second {
			t.Errorf("returned after %s, want 1s", took)
		}
		for _, r := range []int{0, 2} {
			if !errors.Is(errs[r], reason) {
				t.Errorf("rank %d returns %v, want the reason", r, errs[r])
			}
			if _, err := groups[r].Sum(t.Context(), owned(groups[r], all, 30_000)); !errors.Is(err, allreduce.ErrBroken) || !errors.Is(err, reason) {
				t.Errorf("rank %d goes on with %v, want ErrBroken and the reason", r, err)
			}
		}
		t.Log(errs[2])
	})
}

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
