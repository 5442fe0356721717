package allreduce_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
)

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
				ends := map[int]*allreducetest.Transport{}
				var once sync.Once
				network := &allreducetest.Network{Fault: func(_, _ int, n uint64, _ []byte) allreducetest.Fault {
					if n == 150 { // in the middle of the sum below
						once.Do(func() {
							for _, r := range c.cut {
								ends[r].SetConnected(false)
								time.AfterFunc(c.away, func() { ends[r].SetConnected(true) })
							}
						})
					}
					return allreducetest.Fault{}
				}}
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
