package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// digestOf trains the job of testdata/lars.yaml on that many workers, and returns the digest of the state it ends in.
func digestOf(t *testing.T, world int, set ...string) string {
	t.Helper()
	job, err := jobspec.ParseFile("testdata/lars.yaml", set)
	if err != nil {
		t.Fatal(err)
	}
	_, opened := testSource(t)
	network := &allreducetest.Network{}
	digests := make([]string, world)
	var ranks errgroup.Group
	for rank := range world {
		s := testSession(t)
		s.job, s.assignment.Rank = job, uint32(rank)
		src, err := newSource(job, s.key, opened.data)
		if err != nil {
			t.Fatal(err)
		}
		group, err := allreduce.NewGroup(allreduce.Config{Rank: rank, World: world, VirtualRanks: 6, JobUID: "7", Generation: 2}, network.Transport(rank))
		if err != nil {
			t.Fatal(err)
		}
		tr := &trainer{
			session: s, source: src, ring: &ring{group: group, meter: &meter{of: s.metrics}, close: func(bool) {}}, watch: newStopwatch(time.Now), log: zap.NewNop(),
		}
		built, err := build(job, s.key, src, group, func(phase string) { tr.watch.enter(phase) })
		if err != nil {
			t.Fatal(err)
		}
		tr.state, tr.task = built.state, built.task
		tr.loader = newLoader(t.Context(), s, src, group, viewsOf(tr.task), 0)
		ranks.Go(func() error {
			defer tr.loader.close()
			defer group.Close()
			if err := group.Join(t.Context()); err != nil {
				return err
			}
			for range src.totalSteps {
				batch, err := tr.loader.next(t.Context())
				if err != nil {
					return err
				}
				if err := tr.oneStep(t.Context(), batch); err != nil {
					return err
				}
				tr.loader.release(batch)
			}
			digests[rank], err = tr.digest(t.Context())
			return err
		})
	}
	if err := ranks.Wait(); err != nil {
		t.Fatal(err)
	}
	return digests[world-1]
}

func TestNormsDoNotDependOnTheNumberOfWorkers(t *testing.T) {
	want := digestOf(t, 1)
	for _, world := range []int{2, 3} {
		if got := digestOf(t, world); got != want {
			t.Errorf("%d workers end with %.12s, one with %.12s", world, got, want)
		}
	}
}

// Every field must reach the optimizer: another value is another result.
func TestEveryFieldOfTheOptimizerCounts(t *testing.T) {
	seen := map[string]string{}
	for _, set := range []string{
		"", "name=sgd", "momentum=0.8", "trustCoefficient=0.002", "weightDecay=0.01", "excludeNormAndBias=false", "clipNorm=0", "clipNorm=0.1",
		"milestones=[2,3]", "gamma=0.4", "warmupSteps=2", "name=adam lr=0.01", "name=adamw lr=0.01", "name=adam lr=0.01 beta1=0.8",
		"={name:lars,lr:3}", "={name:lars,lr:3,minLr:1}", "={name:lars,lr:3,schedule:linear}", "={name:lars,lr:3,schedule:linear,minLr:1}",
		"={name:lars,lr:3,schedule:constant}",
	} {
		var overrides []string
		for _, field := range strings.Fields(set) {
			if !strings.HasPrefix(field, "=") {
				field = "." + field
			}
			overrides = append(overrides, "spec.optimizer"+strings.ReplaceAll(field, ":", ": "))
		}
		digest := digestOf(t, 1, overrides...)
		if other, ok := seen[digest]; ok {
			t.Errorf("%q gives what %q gives", set, other)
		}
		seen[digest] = set
	}
	if _, ok := seen[digestOf(t, 1, "spec.task.momentumSchedule=constant")]; ok {
		t.Error("the schedule of the momentum does not count")
	}
}
