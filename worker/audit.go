package worker

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/shard"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// AuditOptions say how deep an audit goes.
type AuditOptions struct {
	// Checkpoints reads every file of the job's checkpoints and computes their digests.
	Checkpoints bool
	// Progress, if set, is called after each shard that was indexed.
	Progress func(done, total int)
}

// Audit is what the ledger, the data and the checkpoints of a job prove of it.
type Audit struct {
	Steps       uint64            `json:"steps"`     // committed
	Entries     int               `json:"entries"`   // of the ledger
	Positions   uint64            `json:"positions"` // of the stream that these steps used
	Epochs      []EpochAudit      `json:"epochs"`
	Unused      uint64            `json:"unused"` // positions at the end of the stream that fill no batch; of a job that has done all its steps
	Replaced    []string          `json:"replaced"`
	Checkpoints []CheckpointAudit `json:"checkpoints"`
	Violations  []string          `json:"violations"`
}

// EpochAudit counts the samples of one pass over the data.
type EpochAudit struct {
	Epoch uint64 `json:"epoch"` // from 1
	Used  uint64 `json:"used"`  // samples, each once
	Of    uint64 `json:"of"`
}

// CheckpointAudit is one checkpoint.
type CheckpointAudit struct {
	Step     uint64 `json:"step"`
	URI      string `json:"uri"`
	Verified bool   `json:"verified"` // the digest was computed again from its files
}

func (a *Audit) violated(format string, args ...any) {
	a.Violations = append(a.Violations, fmt.Sprintf(format, args...))
}

// AuditJob replays the order of samples of a job, as the cluster has it with its ledger, and compares its checkpoints with the ledger. What is wrong
// with the job is in the result; the error is about what could not be read.
func AuditJob(ctx context.Context, j *sslctlv1.Job, o AuditOptions) (*Audit, error) {
	job, err := jobspec.Parse(j.SpecYaml, nil)
	if err != nil {
		return nil, fmt.Errorf("audit: read the job file: %w", err)
	}
	a := &Audit{Steps: j.CommittedStep, Entries: len(j.Ledger), Epochs: []EpochAudit{}, Replaced: j.CorruptSamples, Checkpoints: []CheckpointAudit{}, Violations: []string{}}
	a.ledger(j)
	if j.CommittedStep > 0 {
		if err := a.samples(ctx, job, j, o); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
	return a, a.checkpoints(ctx, job, j, o.Checkpoints)
}

// ledger checks that the entries cover the committed steps, each once, in order.
func (a *Audit) ledger(j *sslctlv1.Job) {
	end, generation := uint64(0), uint64(0)
	for i, e := range j.Ledger {
		switch {
		case e.FirstStep > end:
			a.violated("ledger: no entry covers the steps %d to %d, before entry %d", end+1, e.FirstStep, i+1)
		case e.FirstStep < end:
			a.violated("ledger: entry %d begins again at step %d, the one before ends at %d", i+1, e.FirstStep+1, end)
		}
		if e.LastStep <= e.FirstStep || e.Skipped > e.LastStep-e.FirstStep {
			a.violated("ledger: entry %d is of the steps %d to %d with %d skipped, which makes no sense", i+1, e.FirstStep+1, e.LastStep, e.Skipped)
		}
		if e.Generation < generation || e.Generation > j.Generation {
			a.violated("ledger: entry %d is of generation %d, after one of %d; the newest generation is %d", i+1, e.Generation, generation, j.Generation)
		}
		end, generation = max(end, e.LastStep), max(generation, e.Generation)
	}
	if end != j.CommittedStep {
		a.violated("ledger: it ends at step %d, committed are %d", end, j.CommittedStep)
	}
	if j.State != sslctlv1.JobState_JOB_STATE_COMPLETED {
		return
	}
	if j.CommittedStep != j.StepsTotal {
		a.violated("the job is completed with %d of %d steps", j.CommittedStep, j.StepsTotal)
	}
	if n := len(j.Ledger); n == 0 || j.Ledger[n-1].Digest == "" || j.Ledger[n-1].Digest != j.Digest {
		a.violated("the job is completed, and its ledger does not end with the digest %s", j.Digest)
	}
}

// samples replays which sample stood at each position that the ledger's steps have used.
func (a *Audit) samples(ctx context.Context, job *jobspec.Job, j *sslctlv1.Job, o AuditOptions) error {
	access, err := accessOptions(job.Spec.Dataset.Access)
	if err != nil {
		return fmt.Errorf("spec.dataset: %w", err)
	}
	cache, err := oldIndex(ctx, job, j.Uid)
	if err != nil {
		return err
	}
	data, err := shard.Open(ctx, job.Spec.Dataset.URI, shard.Options{Access: access, Cache: cache, Progress: o.Progress})
	if err != nil {
		return inField("spec.dataset", err)
	}
	src, err := newSource(job, keyed.New(job.Spec.Training.Seed), data)
	if err != nil {
		return err
	}
	if data.Len() != j.SamplesPerEpoch || src.totalSteps != j.StepsTotal {
		a.violated("data: %s has %d samples and gives %d steps; when the job ran it had %d and gave %d", data.URI(), data.Len(), src.totalSteps, j.SamplesPerEpoch, j.StepsTotal)
		return nil
	}
	if j.CommittedStep == src.totalSteps {
		a.Unused = src.positions - src.totalSteps*src.batch
	}
	return a.replay(ctx, j.Ledger, src.batch, data.Len(), src.order.Sample, data.Describe)
}

// replay marks the sample at each position of the ledger's steps: steps of B positions, epochs of n. In each epoch no sample may come twice, and
// none may be missing but at its end, if the steps end there.
func (a *Audit) replay(ctx context.Context, ledger []*sslctlv1.LedgerEntry, b, n uint64, sample func(pos uint64) uint64, describe func(id uint64) string) error {
	used, epoch := make([]bool, n), uint64(0)
	count, twice := uint64(0), 0
	var next uint64 // position
	close := func(whole bool) {
		if whole && count < n {
			missing := slices.Index(used, false)
			a.violated("samples: epoch %d leaves out %d samples, the first is %s", epoch+1, n-count, describe(uint64(missing)))
		}
		a.Epochs = append(a.Epochs, EpochAudit{Epoch: epoch + 1, Used: count, Of: n})
		clear(used)
		count = 0
	}
	const twiceMost = 10 // that are named
	for _, e := range ledger {
		for pos := e.FirstStep * b; pos < e.LastStep*b; pos++ {
			if pos%(1<<16) == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			for ; pos/n > epoch; epoch++ {
				close(true)
			}
			a.Positions++
			id := sample(pos)
			if pos < next || pos/n < epoch || used[id] {
				if twice++; twice <= twiceMost {
					a.violated("samples: %s is used twice in epoch %d, the second time at position %d (step %d)", describe(id), pos/n+1, pos, pos/b+1)
				}
				continue
			}
			used[id] = true
			count++
			next = pos + 1
		}
	}
	if twice > twiceMost {
		a.violated("samples: %d more are used twice", twice-twiceMost)
	}
	if a.Positions > 0 {
		close(next%n == 0)
	}
	return nil
}

// checkpoints compares each checkpoint that the cluster knows with the ledger, and with what is in its files; of a job that has not ended,
// the newest.
func (a *Audit) checkpoints(ctx context.Context, job *jobspec.Job, j *sslctlv1.Job, deep bool) error {
	access, err := accessOptions(job.Spec.Checkpoint.Access)
	if err != nil {
		return fmt.Errorf("audit: spec.checkpoint: %w", err)
	}
	list := j.Checkpoints
	if j.EndedUnixMs == 0 && len(list) > 1 { // older ones may be deleted at any moment
		list = list[len(list)-1:]
	}
	for _, c := range list {
		found := CheckpointAudit{Step: c.Step, URI: c.Uri}
		entry := slices.IndexFunc(j.Ledger, func(e *sslctlv1.LedgerEntry) bool { return e.LastStep == c.Step })
		if entry < 0 || j.Ledger[entry].Digest != c.Digest {
			a.violated("checkpoint of step %d: the ledger has not its digest %s at that step", c.Step, c.Digest)
		}
		folder, err := blob.Open(ctx, strings.TrimSuffix(c.Uri, "/"+path.Base(c.Uri)), access)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		wrong, err := a.checkpoint(ctx, bucket{folder}, c, j, deep)
		if err != nil {
			return fmt.Errorf("audit %s: %w", c.Uri, err)
		}
		if wrong != "" {
			a.violated("checkpoint of step %d: %s", c.Step, wrong)
		}
		found.Verified = deep && wrong == ""
		a.Checkpoints = append(a.Checkpoints, found)
	}
	return nil
}

// checkpoint tells what is wrong with a checkpoint.
func (a *Audit) checkpoint(ctx context.Context, store bucket, c *sslctlv1.Checkpoint, j *sslctlv1.Job, deep bool) (wrong string, err error) {
	m, err := checkpoint.ReadManifest(ctx, store, path.Base(c.Uri))
	switch {
	case errors.Is(err, blob.ErrNotExist), errors.Is(err, checkpoint.ErrDamaged), errors.Is(err, checkpoint.ErrFormat):
		return err.Error(), nil
	case err != nil:
		return "", err
	case m.Step != c.Step || m.Digest != c.Digest:
		return fmt.Sprintf("its manifest is of step %d with the digest %s, the coordinators have %s", m.Step, m.Digest, c.Digest), nil
	case fmt.Sprint(m.Job.UID) != j.Uid || m.Numerics != j.Numerics:
		return fmt.Sprintf("its manifest is of job %d with numerics %s, this job is %s with %s", m.Job.UID, m.Numerics, j.Uid, j.Numerics), nil
	case !deep:
		return "", nil
	}
	digest, err := checkpoint.DigestOf(ctx, store, path.Base(c.Uri))
	switch {
	case errors.Is(err, blob.ErrNotExist), errors.Is(err, checkpoint.ErrDamaged), errors.Is(err, checkpoint.ErrFormat):
		return err.Error(), nil
	case err != nil:
		return "", err
	case digest != c.Digest:
		return fmt.Sprintf("its files have the digest %s, committed is %s", digest, c.Digest), nil
	}
	return "", nil
}
