package allreducetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sslctl/sslctl/pkg/allreduce"
)

// Ring makes the joined groups of all ranks of one generation over a network; edit, if not nil, changes each rank's configuration. The
// groups are closed when the test ends, all at once.
func Ring(t testing.TB, network *Network, virtualRanks, world int, edit func(*allreduce.Config)) []*allreduce.Group {
	t.Helper()
	groups := make([]*allreduce.Group, world)
	for r := range groups {
		c := allreduce.Config{Rank: r, World: world, VirtualRanks: virtualRanks, JobUID: "17", Generation: 3}
		if edit != nil {
			edit(&c)
		}
		var err error
		if groups[r], err = allreduce.NewGroup(c, network.Transport(r)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { CloseAll(t, groups) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := Each(groups, func(g *allreduce.Group) error { return g.Join(ctx) }); err != nil {
		t.Fatal(err)
	}
	return groups
}

// Each calls f for every group at once, as the ranks of a job would, and returns all errors.
func Each(groups []*allreduce.Group, f func(g *allreduce.Group) error) error {
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for r, g := range groups {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[r] = f(g)
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// CloseAll closes every group at once.
func CloseAll(t testing.TB, groups []*allreduce.Group) {
	t.Helper()
	if err := Each(groups, (*allreduce.Group).Close); err != nil {
		t.Error(err)
	}
}
