package allreduce_test

import (
	"context"
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
