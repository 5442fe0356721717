package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"github.com/sslctl/sslctl/pkg/task"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// progress is what a checkpoint keeps beside the tensors: where the run is, and figures that a resumed run goes on with.
type progress struct {
	Step         uint64    `json:"step"`    // finished steps
	Skipped      uint64    `json:"skipped"` // steps among them whose gradient was not finite
	SkippedInRow int       `json:"skippedInRow"`
	EpochLosses  []float64 `json:"epochLosses"` // of finished epochs
	LossSum      float64   `json:"lossSum"`     // over the running epoch's steps
	LossSteps    uint64    `json:"lossSteps"`
	Corrupt      []string  `json:"corrupt"` // samples that were replaced
}

// trainer runs the step loop of one session.
type trainer struct {
	progress
	session *session
	stores  *stores
	source  *source
	ring    *ring
	watch   *stopwatch // of the step
	state   *state
	task    task.Task
	loader  *loader
	eval    *evaluation // on rank 0 of a job that evaluates, else nil
	log     *zap.Logger

	ledgerFrom    uint64  // last step of the newest ledger entry
	ledgerLoss    float64 // sum since then
	ledgerSteps   uint64  // steps since then with a loss
	ledgerSkips   uint64
	figures       figures // of the step
	chanceLoss    float64 // of a model that tells no sample from another; 0: the task does not say
	checkpointed  uint64  // step of the newest checkpoint known; valid with hasCheckpoint
	hasCheckpoint bool
	removed       []string // URIs of checkpoints that this session has reported as gone
	rate          rate
}

// newTrainer builds model, task and optimizer, and restores the state that the generation starts from.
func newTrainer(ctx context.Context, s *session, stores *stores, src *source, r *ring) (*trainer, error) {
	t := &trainer{session: s, stores: stores, source: src, ring: r, watch: newStopwatch(time.Now), log: s.log}
	built, err := build(s.job, s.key, src, r.group, func(phase string) { t.watch.enter(phase) })
	if err != nil {
		return nil, err
	}
	t.state, t.task = built.state, built.task
	if s.assignment.Source != "" {
		if err := t.restore(ctx); err != nil {
			return nil, err
		}
	} else if err := t.initialize(ctx); err != nil {
		return nil, err
	}
	if t.Step != s.assignment.StartStep {
		return nil, fmt.Errorf("start at step %d: the state restored is of step %d; the job's checkpoints and its ledger disagree", s.assignment.StartStep, t.Step)
	}
	t.ledgerFrom = t.Step
	if s.job.Spec.Evaluate != nil && s.assignment.Rank == 0 {
		if t.eval, err = newEvaluation(ctx, s, stores, built.untrained, src.totalSteps); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// train runs from the start step to the end of the job, or to the step boundary at which it is paused.
func (t *trainer) train(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errStopped)
	if t.eval != nil {
		defer t.eval.close()
		t.eval.start(ctx)
	}
	t.loader = newLoader(ctx, t.session, t.source, t.ring.group, wantedBy(t.task), t.Step)
	defer t.loader.close()

	t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, "")
	t.rate.start(t.Step)
	for t.Step < t.source.totalSteps {
		t.watch.start(telemetry.PhaseData)
		batch, loadErr := t.loader.next(ctx)
		t.watch.enter(telemetry.PhaseCommunication)
		pause, err := t.agree(ctx, batch, loadErr)
		if err != nil {
			return err
		}
		if pause {
			return t.pause(ctx)
		}
		t.watch.enter(telemetry.PhaseCommit)
		if err := t.awaitLedger(ctx); err != nil {
			return err
		}
		t.watch.enter(telemetry.PhaseForward)
		if err := t.oneStep(ctx, batch); err != nil {
			return fmt.Errorf("step %d: %w", t.Step+1, err)
		}
		for phase, took := range t.watch.stop() {
			t.session.metrics.StepSeconds[phase].Observe(took.Seconds())
		}
		t.loader.release(batch)
		if err := t.afterStep(ctx); err != nil {
			return err
		}
	}
	return t.finish(ctx)
}

// control is what every rank says before each step, and when it has opened the data.
type control struct {
	Pause   bool     `json:"pause,omitempty"`
	Error   string   `json:"error,omitempty"`
	Corrupt []string `json:"corrupt,omitempty"`
	// Fingerprint is of the data set, once, when it has been opened.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// agree exchanges what each rank has met since the last step, so that all ranks pause, fail or go on in the same step.
func (t *trainer) agree(ctx context.Context, batch *loaded, loadErr error) (pause bool, err error) {
	if loadErr != nil && ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	own := control{Pause: t.session.report.pauseRequested()}
	if loadErr != nil {
		own.Error = loadErr.Error()
	} else {
		own.Corrupt = batch.corrupt
	}
	fresh := slices.DeleteFunc(slices.Clone(own.Corrupt), func(name string) bool { return slices.Contains(t.Corrupt, name) })
	all, err := exchange(ctx, t.ring.group, own)
	if err != nil {
		return false, fmt.Errorf("agree on step %d: %w", t.Step+1, err)
	}
	for rank, c := range all {
		if c.Error != "" {
			return false, fmt.Errorf("read the batch of step %d: %s%s", t.Step+1, t.session.on(rank), c.Error)
		}
		pause = pause || c.Pause
		t.noteCorrupt(c.Corrupt)
	}
	if err := t.checkCorrupt(); err != nil {
		return false, err
	}
	t.countReplaced(own.Corrupt, fresh) // those of other ranks, and of earlier epochs, are told already
	return pause, nil
}

// countReplaced counts the samples that this rank has replaced, and logs those that are new.
func (t *trainer) countReplaced(all, fresh []string) {
	t.session.metrics.ReplacedSamples.Add(float64(len(all)))
	for _, name := range fresh {
		t.log.Warn("replaced a sample that cannot be decoded", zap.String("sample", name))
	}
}

// checkCorrupt fails once more samples are corrupt than the job allows.
func (t *trainer) checkCorrupt() error {
	if limit := t.session.job.Spec.Dataset.MaxCorrupt; len(t.Corrupt) > limit {
		return tooCorrupt(t.Corrupt, limit)
	}
	return nil
}

// tooCorrupt is the end of a job with more corrupt samples than it allows.
func tooCorrupt(names []string, limit int) error {
	return fmt.Errorf("samples that cannot be decoded: %d, allowed are %d (spec.dataset.maxCorrupt): %s; mend or remove them, or raise the limit", len(names), limit, some(names))
}

// some lists the first of many names, so that an error stays readable.
func some(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(names[:most], "; "), more)
	}
	return strings.Join(names, "; ")
}

// noteCorrupt adds to the samples that were replaced, and reports those that are new.
func (t *trainer) noteCorrupt(names []string) {
	known := len(t.Corrupt)
	t.Corrupt = withNew(t.Corrupt, names)
	t.reportCorrupt(t.Corrupt[known:])
}

func (t *trainer) reportCorrupt(names []string) {
	if len(names) > 0 {
		t.session.report.update(false, func(m *sslctlv1.HeartbeatRequest) { m.CorruptSamples = append(m.CorruptSamples, names...) })
	}
}

// awaitLedger lets training run ahead of the committed ledger by at most maxUncommittedSteps.
func (t *trainer) awaitLedger(ctx context.Context) error {
	ahead := uint64(t.session.job.Spec.FaultTolerance.MaxUncommittedSteps)
	if t.Step < ahead {
		return nil
	}
	needed := t.Step + 1 - ahead // for the step that comes
	waited, err := t.session.report.waitCommitted(ctx, needed, func() {
		t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, fmt.Sprintf("waiting for the coordinators to commit step %d (maxUncommittedSteps is %d)", needed, ahead))
	})
	if waited > 0 && err == nil {
		t.log.Info("the coordinators commit again", zap.Duration("waited", waited))
		t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, "")
	}
	return err
}

// oneStep runs the task's step and counts it. A step whose loss or gradient is not finite changes no state and is skipped, on all ranks.
func (t *trainer) oneStep(ctx context.Context, batch *loaded) error {
	t.ring.group.SetStep(t.Step)
	t.figures = figures{}
	metrics, err := t.task.Step(ctx, timedGroup{t.ring.group, t.watch}, t.Step, batch.own, t.update)
	if err != nil && !errors.Is(err, task.ErrNotFinite) {
		return err
	}
	t.Step++
	if err != nil {
		t.Skipped++
		t.SkippedInRow++
		t.ledgerSkips++
		t.session.metrics.SkippedSteps.Inc()
		t.log.Warn("skipped a step", telemetry.Step(t.Step), zap.Error(err))
		t.reportStep(nil)
		if limit := t.session.job.Spec.Training.MaxSkippedSteps; t.SkippedInRow > limit {
			return fmt.Errorf("%d steps in a row were skipped, %d are allowed (spec.training.maxSkippedSteps); lower the learning rate or raise the temperature: %w", t.SkippedInRow, limit, err)
		}
		return nil
	}
	t.SkippedInRow = 0
	t.figures.addTo(metrics)
	t.LossSum += metrics["loss"]
	t.LossSteps++
	t.chanceLoss = metrics["chanceLoss"]
	t.ledgerLoss += metrics["loss"]
	t.ledgerSteps++
	t.rate.observe(t.Step)
	t.reportStep(metrics)
	return nil
}

// update sums the gradients of parameter groups over all virtual ranks and then applies their optimizers: no parameter and no slot of an
// optimizer moves before all sums are known to be finite.
func (t *trainer) update(ctx context.Context, groups ...string) error {
	defer t.watch.enter(t.watch.enter(telemetry.PhaseUpdate))
	for _, name := range groups {
		if err := t.sumGradients(ctx, t.state.group(name)); err != nil {
			return fmt.Errorf("sum the gradients of %s: %w", name, err)
		}
	}
	for _, name := range groups {
		g := t.state.group(name)
		gradient, rate := g.total.Float32s(), g.schedule.At(g.learningRate, t.Step)
		t.figures.before(g, gradient, rate)
		g.optimizer.Step(gradient, rate, t.Step-t.Skipped)
		t.figures.after(g)
	}
	return nil
}

// sumGradients adds up what the virtual ranks have of a group's gradient.
func (t *trainer) sumGradients(ctx context.Context, g trainedGroup) error {
	lo, _ := t.ring.group.Owned()
	if hook := t.session.agent.config.Hooks.Gradient; hook != nil {
		for i, gradient := range g.parameters.Grads {
			hook(t.Step, lo+i, gradient.Float32s())
		}
	}
	defer t.watch.enter(t.watch.enter(telemetry.PhaseCommunication))
	return t.ring.group.SumGradients(ctx, g.total, g.parameters.Grads)
}

// afterStep does what is due at this step: epoch, ledger, checkpoint, evaluation.
func (t *trainer) afterStep(ctx context.Context) error {
	if t.source.endsEpoch(t.Step) {
		t.endEpoch()
	}
	due := t.source.due(t.session.job.Spec, t.Step, len(t.EpochLosses))
	if due.commit {
		digest, err := t.commit(ctx)
		if err != nil {
			return err
		}
		if due.store {
			if err := t.save(ctx, digest); err != nil {
				return err
			}
		}
		if due.evaluate && t.eval != nil {
			if err := t.eval.submit(ctx, t.Step, t.source.epoch(t.Step), t.task.Snapshot); err != nil {
				return err
			}
		}
	}
	if hook := t.session.agent.config.Hooks.Step; hook != nil {
		hook(t.session.assignment.JobUid, t.session.assignment.Generation, t.Step, int(t.session.assignment.Rank))
	}
	return nil
}

// endEpoch notes the epoch's mean loss, and warns where it is what chance has: within 1 %, nothing was learned in it.
func (t *trainer) endEpoch() {
	mean := t.LossSum / math.Max(float64(t.LossSteps), 1)
	t.EpochLosses = append(t.EpochLosses, mean)
	t.LossSum, t.LossSteps = 0, 0
	t.session.report.update(false, func(m *sslctlv1.HeartbeatRequest) { m.EpochLosses = slices.Clone(t.EpochLosses) })
	if t.session.assignment.Rank == 0 && mean >= 0.99*t.chanceLoss && t.chanceLoss > 0 {
		t.log.Warn("the loss stays where a model has it that tells no sample from another: it does not learn; see whether lr and temperature are usable and the projector has batch norm",
			zap.Int("epoch", len(t.EpochLosses)), zap.Float64("loss", mean), zap.Float64("chance_loss", t.chanceLoss))
	}
}

// commit computes the digest of the whole state, compares it between the ranks, and hands in a ledger entry.
func (t *trainer) commit(ctx context.Context) (string, error) {
	digest, err := t.digest(ctx)
	if err != nil {
		return "", err
	}
	if t.session.assignment.Rank == 0 {
		entry := &sslctlv1.LedgerEntry{
			Generation: t.session.assignment.Generation, FirstStep: t.ledgerFrom, LastStep: t.Step, Skipped: t.ledgerSkips,
			Digest: digest, MeanLoss: t.ledgerLoss / math.Max(float64(t.ledgerSteps), 1),
		}
		if t.ledgerFrom < t.Step {
			t.session.report.update(true, func(m *sslctlv1.HeartbeatRequest) { m.Ledger = append(m.Ledger, entry) })
		}
	}
	t.ledgerFrom, t.ledgerLoss, t.ledgerSteps, t.ledgerSkips = t.Step, 0, 0, 0
	return digest, nil
}

// ranksDigest is what each rank tells the others of its state.
type ranksDigest struct {
	Replicated string                 `json:"replicated"` // digest of what all ranks hold alike
	Own        []checkpoint.TensorSum `json:"own"`        // of the virtual ranks that this rank owns
}

// digest is the digest of the state of all ranks. It fails if the ranks do not hold the same replicated state.
func (t *trainer) digest(ctx context.Context) (string, error) {
	replicated, own := t.state.sums()
	mine := ranksDigest{Replicated: checkpoint.Digest(t.Step, t.Skipped, replicated), Own: own}
	all, err := exchange(ctx, t.ring.group, mine)
	if err != nil {
		return "", fmt.Errorf("compare digests after step %d: %w", t.Step, err)
	}
	sums := replicated
	for rank, d := range all {
		if d.Replicated != mine.Replicated {
			return "", fmt.Errorf("ranks %d and %d hold different parameters after step %d (%.12s… and %.12s…): a worker computes wrongly, or their binaries differ; the newest checkpoint is sound", t.session.assignment.Rank, rank, t.Step, mine.Replicated, d.Replicated)
		}
		sums = append(sums, d.Own...)
	}
	return checkpoint.Digest(t.Step, t.Skipped, sums), nil
}

// pause stores the state at this step boundary and reports the stop.
func (t *trainer) pause(ctx context.Context) error {
	digest, err := t.commit(ctx)
	if err != nil {
		return err
	}
	if err := t.save(ctx, digest); err != nil {
		return err
	}
	if t.eval != nil {
		if err := t.eval.finish(ctx); err != nil {
			return err
		}
	}
	t.tidy(ctx)
	t.session.report.phase(sslctlv1.Phase_PHASE_STOPPED, fmt.Sprintf("paused after step %d", t.Step))
	return nil
}

// finish ends the job: all evaluations done, encoder exported.
func (t *trainer) finish(ctx context.Context) error {
	if !t.hasCheckpoint || t.checkpointed != t.Step {
		digest, err := t.commit(ctx)
		if err != nil {
			return err
		}
		if err := t.save(ctx, digest); err != nil {
			return err
		}
	}
	if t.session.assignment.Rank == 0 {
		if t.eval != nil {
			// After a restart at the last step, its measurement may be missing.
			if err := t.eval.submit(ctx, t.Step, t.source.epoch(t.Step), t.task.Snapshot); err != nil {
				return err
			}
			t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, "evaluating the encoder")
			if err := t.eval.finish(ctx); err != nil {
				return err
			}
		}
		uri, err := t.export(ctx)
		if err != nil {
			return err
		}
		t.session.report.update(false, func(m *sslctlv1.HeartbeatRequest) { m.Exported = uri })
	}
	t.tidy(ctx)
	t.session.report.phase(sslctlv1.Phase_PHASE_FINISHED, "")
	return nil
}

// reportStep tells that a step is done; metrics is nil if it was skipped.
func (t *trainer) reportStep(metrics task.Metrics) {
	lo, hi := t.ring.group.Owned()
	samples := uint64(hi-lo) * uint64(t.session.job.Spec.Training.MicroBatch())
	stats, bank := t.ring.group.Stats(), t.task.BankBytes()
	t.ring.meter.count(stats)
	counted := t.session.metrics
	counted.Steps.Inc()
	counted.Samples.Add(float64(samples))
	counted.Step.Set(float64(t.Step))
	counted.BankBytes.Set(float64(bank))
	if metrics != nil {
		counted.Loss.Set(metrics["loss"])
		counted.GradientNorm.Set(metrics["gradientNorm"])
		counted.ParameterNorm.Set(metrics["parameterNorm"])
		counted.LearningRate.Set(metrics["learningRate"])
	}
	t.session.report.update(false, func(m *sslctlv1.HeartbeatRequest) {
		m.Step = t.Step
		if metrics != nil {
			m.Loss, m.Metrics = metrics["loss"], metrics
		}
		m.SamplesPerSecond = t.rate.stepsPerSecond() * float64(t.session.job.Spec.Training.GlobalBatch)
		m.Samples += samples
		m.RingBytesSent, m.BankBytes = stats.BytesSent, bank
	})
}

// rate is a moving rate of steps, for display only.
type rate struct {
	at   time.Time
	step uint64
	mean float64
}

func (r *rate) start(step uint64) { r.at, r.step = time.Now(), step }

func (r *rate) observe(step uint64) {
	elapsed := time.Since(r.at).Seconds()
	if elapsed < 0.5 {
		return
	}
	now := float64(step-r.step) / elapsed
	if r.mean == 0 {
		r.mean = now
	}
	r.mean += 0.3 * (now - r.mean)
	r.at, r.step = time.Now(), step
}

func (r *rate) stepsPerSecond() float64 { return r.mean }
