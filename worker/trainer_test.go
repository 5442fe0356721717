package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"github.com/sslctl/sslctl/pkg/task"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"
	"gorgonia.org/tensor"
)

// scripted is a task that does what a test says.
type scripted struct {
	task.Task
	step func() (task.Metrics, error)
}

func (s *scripted) Step(context.Context, task.Group, uint64, []task.Batch, task.Update) (task.Metrics, error) {
	return s.step()
}
func (s *scripted) BankBytes() uint64 { return 5 }

// testTrainer is rank 0 of a ring of one, with an empty folder for checkpoints.
func testTrainer(t *testing.T) *trainer {
	t.Helper()
	s := testSession(t)
	group, err := allreduce.NewGroup(allreduce.Config{World: 1, VirtualRanks: 2, JobUID: "7", Generation: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := blob.Open(t.Context(), "file://"+t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &trainer{
		session: s, stores: &stores{checkpoints: bucket{folder}}, ring: &ring{group: group, meter: &meter{of: s.metrics}, close: func(bool) {}},
		watch: newStopwatch(time.Now), log: zap.NewNop(),
		state: &state{vars: []task.Var{{Name: "x", Value: tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{1}))}}},
	}
}

// A pause is complete when all workers have stopped at the step of the newest checkpoint: a report that leaves skipped steps out
// would keep the job pausing for ever.
func TestASkippedStepIsReportedAndCounted(t *testing.T) {
	tr := testTrainer(t)
	results := []error{nil, fmt.Errorf("loss: %w", task.ErrNotFinite), nil, task.ErrNotFinite, task.ErrNotFinite}
	tr.task = &scripted{step: func() (task.Metrics, error) {
		err := results[tr.Step]
		if err != nil {
			return nil, err
		}
		return task.Metrics{"loss": 2}, nil
	}}
	for tr.Step < 4 {
		if err := tr.oneStep(t.Context(), &loaded{}); err != nil {
			t.Fatal(err)
		}
	}
	m := tr.session.report.snapshot()
	if m.Step != 4 || m.Samples != 4*8 || m.Loss != 2 || m.Metrics["loss"] != 2 || m.BankBytes != 5 {
		t.Errorf("after 4 steps of 8 samples, two of them skipped, the report is %v", m)
	}
	if tr.Skipped != 2 || tr.SkippedInRow != 1 || tr.ledgerSkips != 2 || tr.LossSteps != 2 || tr.LossSum != 4 || tr.ledgerSteps != 2 {
		t.Errorf("counters: %+v", tr)
	}
	if err := tr.oneStep(t.Context(), &loaded{}); !errors.Is(err, task.ErrNotFinite) || !strings.Contains(err.Error(), "2 steps in a row") {
		t.Errorf("2 skipped steps in a row, 1 allowed: %v", err)
	}
}

func TestTrainingRunsAheadOfTheLedgerByTheStepsAllowed(t *testing.T) {
	tr := testTrainer(t)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	for tr.Step = 0; tr.Step < 4; tr.Step++ {
		if err := tr.awaitLedger(ended); err != nil {
			t.Fatalf("after %d steps, of which none is committed: %v", tr.Step, err)
		}
	}
	if err := tr.awaitLedger(ended); !errors.Is(err, errStopped) {
		t.Errorf("a fifth step is begun, with 4 uncommitted and 4 allowed: %v", err)
	}
	tr.session.report.acknowledge(answered(1))
	if err := tr.awaitLedger(ended); err != nil {
		t.Errorf("with step 1 committed, 4 steps later: %v", err)
	}
}

// stored lists the steps of the complete checkpoints.
func stored(t *testing.T, tr *trainer) string {
	t.Helper()
	complete, _, err := checkpoint.List(t.Context(), tr.stores.checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	var steps []uint64
	for _, m := range complete {
		steps = append(steps, m.Step)
	}
	return fmt.Sprint(steps)
}

// If everything stopped now, the coordinators would start the next generation from the newest checkpoint that they know. It must be there.
func TestTheCheckpointThatIsCommittedStays(t *testing.T) {
	tr := testTrainer(t)
	save := func(step uint64, want string) {
		t.Helper()
		tr.Step = step
		if err := tr.save(t.Context(), strings.Repeat("0", 64)); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, tr); got != want {
			t.Errorf("after the checkpoint of step %d there are %s, want %s", step, got, want)
		}
	}
	commit := func(step uint64) {
		answer := answered(step)
		answer.HasCheckpoint, answer.AcknowledgedCheckpointStep = true, step
		tr.session.report.acknowledge(answer)
	}
	save(100, "[100]")
	save(200, "[100 200]")
	commit(100)
	save(300, "[100 200 300]")
	commit(300)
	save(400, "[300 400]")
	if removed := tr.session.report.snapshot().RemovedCheckpoints; len(removed) != 2 || !strings.HasSuffix(removed[1], "step-0000000200") {
		t.Errorf("removed: %v", removed)
	}
	commit(400)
	tr.tidy(t.Context())
	if got := stored(t, tr); got != "[400]" {
		t.Errorf("at the end there are %s, want the newest one alone", got)
	}
}

// A rank 0 that dies after it has deleted a checkpoint, and before it was heard, leaves it in the coordinators' list: its successor takes it out, once.
func TestACheckpointThatIsGoneIsReported(t *testing.T) {
	tr := testTrainer(t)
	uri := func(step uint64) string { return blob.Join(tr.stores.checkpoints.URI(), checkpoint.Dir(step)) }
	tr.session.assignment.Checkpoints = []string{uri(100), uri(200)}
	for _, step := range []uint64{200, 300, 400} {
		tr.Step = step
		if err := tr.save(t.Context(), strings.Repeat("0", 64)); err != nil {
			t.Fatal(err)
		}
		answer := answered(step)
		answer.HasCheckpoint, answer.AcknowledgedCheckpointStep = true, step
		tr.session.report.acknowledge(answer)
	}
	if removed := tr.session.report.snapshot().RemovedCheckpoints; !slices.Equal(removed, []string{uri(100), uri(200)}) {
		t.Errorf("removed: %v, of %s", removed, stored(t, tr))
	}
}

// An earlier generation got further than this one starts, and nobody heard of it.
func TestACheckpointOfALostGenerationDoesNotPushOutTheCommittedOne(t *testing.T) {
	tr := testTrainer(t)
	for _, step := range []uint64{100, 173, 150} {
		tr.Step = step
		if err := tr.save(t.Context(), strings.Repeat("0", 64)); err != nil {
			t.Fatal(err)
		}
		if step == 100 {
			answer := answered(step)
			answer.HasCheckpoint, answer.AcknowledgedCheckpointStep = true, step
			tr.session.report.acknowledge(answer)
		}
	}
	if got := stored(t, tr); got != "[100 150 173]" {
		t.Errorf("there are %s, want 100 and all after it", got)
	}
}

func TestWithoutAnAnswerAnOlderCheckpointIsLeft(t *testing.T) {
	tr := testTrainer(t)
	tr.Step = 100
	if err := tr.save(t.Context(), strings.Repeat("0", 64)); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	tr.tidy(ended) // must not wait
	if got := stored(t, tr); got != "[100]" {
		t.Error(got)
	}
}

// agreement lets two ranks agree on a step; own says what each of them has met.
func agreement(t *testing.T, own func(rank int, tr *trainer) (*loaded, error)) (pauses [2]bool, errs [2]error, trainers [2]*trainer) {
	t.Helper()
	errs, trainers = twoRanks(t, func(rank int, tr *trainer) (err error) {
		batch, loadErr := own(rank, tr)
		pauses[rank], err = tr.agree(t.Context(), batch, loadErr)
		return err
	})
	return pauses, errs, trainers
}

// twoRanks runs something on both ranks of a ring, with what their errors are.
func twoRanks(t *testing.T, run func(rank int, tr *trainer) error) (errs [2]error, trainers [2]*trainer) {
	t.Helper()
	network := &allreducetest.Network{}
	var group errgroup.Group
	for rank := range 2 {
		tr := testTrainer(t)
		trainers[rank] = tr
		tr.session.assignment.Rank = uint32(rank)
		g, err := allreduce.NewGroup(allreduce.Config{Rank: rank, World: 2, VirtualRanks: 2, JobUID: "7", Generation: 2}, network.Transport(rank))
		if err != nil {
			t.Fatal(err)
		}
		tr.ring.group = g
		group.Go(func() error {
			defer g.Close()
			if err := g.Join(t.Context()); err != nil {
				return err
			}
			errs[rank] = run(rank, tr)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return errs, trainers
}

func TestRanksAgreeToGoOn(t *testing.T) {
	pauses, errs, _ := agreement(t, func(int, *trainer) (*loaded, error) { return &loaded{}, nil })
	if pauses != [2]bool{} || errs != [2]error{} {
		t.Errorf("pause %v, errors %v", pauses, errs)
	}
}

func TestRanksAgreeToPause(t *testing.T) {
	pauses, errs, _ := agreement(t, func(rank int, tr *trainer) (*loaded, error) {
		if rank == 1 { // the other one has not heard of it yet
			tr.session.report.directive = sslctlv1.Directive_DIRECTIVE_PAUSE
		}
		return &loaded{}, nil
	})
	if pauses != [2]bool{true, true} || errs != [2]error{} {
		t.Errorf("pause %v, errors %v", pauses, errs)
	}
}

func TestRanksAgreeOnAFailure(t *testing.T) {
	_, errs, _ := agreement(t, func(rank int, _ *trainer) (*loaded, error) {
		if rank == 1 {
			return nil, errors.New("train-003.tar is gone")
		}
		return &loaded{}, nil
	})
	for rank, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "train-003.tar is gone") || !errors.As(permanent(err), &permanentError{}) {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

func TestRanksAgreeOnReplacedSamples(t *testing.T) {
	run := func(allowed int) ([2]error, [2]*trainer) {
		_, errs, trainers := agreement(t, func(rank int, tr *trainer) (*loaded, error) {
			tr.session.job.Spec.Dataset.MaxCorrupt = allowed
			return &loaded{corrupt: []string{fmt.Sprint("sample ", rank), "sample of both"}}, nil
		})
		return errs, trainers
	}
	errs, trainers := run(3)
	for rank, err := range errs {
		if got := fmt.Sprint(trainers[rank].Corrupt); err != nil || got != "[sample 0 sample of both sample 1]" {
			t.Errorf("rank %d: %s, %v", rank, got, err)
		}
	}
	errs, _ = run(2)
	for rank, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "maxCorrupt") || !strings.Contains(err.Error(), "sample 1") {
			t.Errorf("rank %d, 3 samples with 2 allowed: %v", rank, err)
		}
	}
}

func TestTheEndOfTheSessionIsNoFailureToRead(t *testing.T) {
	tr := testTrainer(t)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	if _, err := tr.agree(ended, nil, fmt.Errorf("read: %w", context.Canceled)); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}

func TestALedgerEntry(t *testing.T) {
	tr := testTrainer(t)
	if r := tr.state.tensors(checkpoint.Replicated); len(r) != 1 || len(tr.state.tensors(0)) != 0 {
		t.Error("a replicated tensor belongs to a virtual rank")
	}
	digest, err := tr.commit(t.Context())
	if err != nil || len(tr.session.report.snapshot().Ledger) != 0 {
		t.Errorf("an entry without a step, %v", err)
	}
	tr.Step, tr.ledgerLoss, tr.ledgerSteps, tr.ledgerSkips = 4, 9, 3, 1
	again, err := tr.commit(t.Context())
	if err != nil || again == digest {
		t.Errorf("the step is not in the digest, %v", err)
	}
	tr.Skipped++
	if third, err := tr.commit(t.Context()); err != nil || third == again {
		t.Errorf("skipped steps are not in the digest, %v", err)
	}
	ledger := tr.session.report.snapshot().Ledger
	if len(ledger) != 1 || ledger[0].FirstStep != 0 || ledger[0].LastStep != 4 || ledger[0].MeanLoss != 3 || ledger[0].Skipped != 1 || ledger[0].Digest != again {
		t.Errorf("ledger %v", ledger)
	}
}

func TestALossThatStaysAtChanceIsToldInWords(t *testing.T) {
	for _, c := range []struct {
		loss, chance float64
		told         bool
	}{{6.23, 6.236, true}, {5.5, 6.236, false}, {6.23, 0, false}} {
		tr := testTrainer(t)
		core, logs := observer.New(zap.WarnLevel)
		tr.log = zap.New(core)
		tr.task = &scripted{step: func() (task.Metrics, error) { return task.Metrics{"loss": c.loss, "chanceLoss": c.chance}, nil }}
		if err := tr.oneStep(t.Context(), &loaded{}); err != nil {
			t.Fatal(err)
		}
		tr.endEpoch()
		if told := logs.FilterMessageSnippet("does not learn").Len() == 1; told != c.told || len(tr.EpochLosses) != 1 || tr.EpochLosses[0] != c.loss {
			t.Errorf("%+v: told %v, losses %v", c, told, tr.EpochLosses)
		}
	}
}
