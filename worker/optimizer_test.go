package worker

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/simd"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// digestOf trains the job of testdata/lars.yaml on that many workers, and returns the digest of the state it ends in.
func digestOf(t *testing.T, world int, set ...string) string {
	t.Helper()
	digests := make([]string, world)
	trainRanks(t, world, func(rank int, tr *trainer) (err error) {
		digests[rank], err = tr.digest(t.Context())
		return err
	}, set...)
	return digests[world-1]
}

// trainRanks trains the job of testdata/lars.yaml on that many workers, and lets end look at each after its last step.
func trainRanks(t *testing.T, world int, end func(rank int, tr *trainer) error, set ...string) {
	t.Helper()
	job, err := jobspec.ParseFile("testdata/lars.yaml", set)
	if err != nil {
		t.Fatal(err)
	}
	_, opened := testSource(t)
	network := &allreducetest.Network{}
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
		tr.loader = newLoader(t.Context(), s, src, group, wantedBy(tr.task), 0)
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
			return end(rank, tr)
		})
	}
	if err := ranks.Wait(); err != nil {
		t.Fatal(err)
	}
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

// Norms and rate of the newest step are told alike by all workers; the gradient's is that of the sum over virtual ranks, unclipped.
func TestFiguresOfTheUpdateAreTold(t *testing.T) {
	for _, world := range []int{1, 2} {
		told := make([]map[string]float64, world)
		trainRanks(t, world, func(rank int, tr *trainer) error {
			told[rank] = tr.session.report.snapshot().Metrics
			g := tr.state.group("encoder")
			if want := length(g.parameters.Parameters.Data); math.Abs(told[rank]["parameterNorm"]-want) > 1e-9*want {
				t.Errorf("parameterNorm is %v, want %v", told[rank]["parameterNorm"], want)
			}
			if world > 1 {
				return nil
			}
			sum := make([]float32, len(g.parameters.Parameters.Data))
			for _, part := range g.parameters.Grads {
				simd.Add(sum, part.Float32s())
			}
			if got, want := told[rank]["gradientNorm"], length(sum); math.Abs(got-want) > 1e-5*want || got <= tr.session.job.Spec.Optimizer.ClipNorm {
				t.Errorf("gradientNorm is %v, want %v, which is above the norm that is clipped to", got, want)
			}
			return nil
		}, "spec.optimizer.clipNorm=0.01")
		if rate := told[0]["learningRate"]; math.Abs(rate-3*0.3*0.3) > 1e-12 {
			t.Errorf("learningRate is %v after two milestones, want 0.27", rate)
		}
		for _, name := range []string{"gradientNorm", "parameterNorm", "learningRate"} {
			if told[world-1][name] != told[0][name] {
				t.Errorf("%s is %v and %v on two workers", name, told[0][name], told[world-1][name])
			}
		}
	}
}

func length(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
