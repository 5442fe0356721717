package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// written is what each rank tells rank 0 of the files that it has stored.
type written struct {
	Files []checkpoint.FileEntry `json:"files,omitempty"`
	Error string                 `json:"error,omitempty"`
	// Discard says that there is certainly no manifest, so that the files are of no use.
	Discard bool `json:"discard,omitempty"`
}

// save stores the state of this step boundary: each rank the files of its virtual ranks, rank 0 the replicated tensors and, when all are
// there, the manifest. If any rank fails, all do, with its reason.
func (t *trainer) save(ctx context.Context, digest string) error {
	if t.hasCheckpoint && t.checkpointed == t.Step {
		return nil
	}
	t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, fmt.Sprintf("storing checkpoint of step %d", t.Step))
	start := time.Now()
	var own written
	files, err := t.writeFiles(ctx)
	if err != nil {
		own.Error = err.Error()
	}
	own.Files = files
	mine := files
	all, err := exchange(ctx, t.ring.group, own)
	if err != nil {
		return fmt.Errorf("store checkpoint of step %d: %w", t.Step, err)
	}
	files = nil
	for rank, w := range all {
		if w.Error != "" {
			t.discard(ctx, mine)
			return t.notStored(rank, w.Error)
		}
		files = append(files, w.Files...)
	}
	// The manifest decides whether the checkpoint exists, so every rank learns whether it was written.
	var end written
	if t.session.assignment.Rank == 0 {
		if err := t.complete(ctx, digest, files); err != nil {
			end.Error = err.Error()
			// A service that did not answer may have stored the manifest after all; it must not name files that are gone.
			end.Discard = errors.Is(err, blob.ErrNoSpace) || errors.Is(err, blob.ErrDenied)
		}
	}
	all, err = exchange(ctx, t.ring.group, end)
	if err != nil {
		return fmt.Errorf("store checkpoint of step %d: %w", t.Step, err)
	}
	if all[0].Error != "" {
		if all[0].Discard {
			t.discard(ctx, mine)
		}
		return t.notStored(0, all[0].Error)
	}
	t.checkpointed, t.hasCheckpoint = t.Step, true
	t.session.metrics.CheckpointSeconds[telemetry.CheckpointWrite].Observe(time.Since(start).Seconds())
	for _, f := range mine {
		t.session.metrics.CheckpointBytes[telemetry.CheckpointWrite].Add(float64(f.Size))
	}
	t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, "")
	return nil
}

// notStored says why there is no checkpoint of this step, and which one there is.
func (t *trainer) notStored(rank int, why string) error {
	newest := "no earlier checkpoint is there to continue from"
	if t.hasCheckpoint {
		newest = fmt.Sprintf("that of step %d stands", t.checkpointed)
	}
	return fmt.Errorf("store the checkpoint of step %d: %s%s; %s", t.Step, t.session.on(rank), why, newest)
}

// discard removes what this rank has written of a checkpoint that will not be complete.
func (t *trainer) discard(ctx context.Context, files []checkpoint.FileEntry) {
	if err := checkpoint.Discard(ctx, t.stores.checkpoints, t.Step, files); err != nil {
		t.log.Warn("could not remove the files of an incomplete checkpoint", zap.Error(err))
	}
}

// writeFiles returns what it has written also after an error.
func (t *trainer) writeFiles(ctx context.Context) ([]checkpoint.FileEntry, error) {
	var files []checkpoint.FileEntry
	lo, hi := t.ring.group.Owned()
	holders := []int{}
	if t.session.assignment.Rank == 0 {
		holders = append(holders, checkpoint.Replicated)
	}
	for v := lo; v < hi; v++ {
		holders = append(holders, v)
	}
	for _, v := range holders {
		entry, err := checkpoint.WriteFile(ctx, t.stores.checkpoints, t.Step, v, t.state.tensors(v))
		if err != nil {
			return files, err
		}
		files = append(files, entry)
	}
	return files, nil
}

// complete writes the manifest, reports the checkpoint and deletes older ones.
func (t *trainer) complete(ctx context.Context, digest string, files []checkpoint.FileEntry) error {
	uid, err := strconv.ParseUint(t.session.assignment.JobUid, 10, 64)
	if err != nil {
		return fmt.Errorf("job UID %q: %w", t.session.assignment.JobUid, err)
	}
	progress, err := json.Marshal(t.progress)
	if err != nil {
		return fmt.Errorf("encode the progress of the run: %w", err)
	}
	spec := sha256.Sum256(t.session.assignment.SpecYaml)
	training := t.session.job.Spec.Training
	manifest := checkpoint.Manifest{
		FormatVersion: checkpoint.FormatVersion, Job: checkpoint.Job{UID: uid, Name: t.session.assignment.JobName},
		Step: t.Step, Generation: t.session.assignment.Generation, Samples: t.Step * uint64(training.GlobalBatch), Skipped: t.Skipped,
		Trainer: progress, Numerics: t.session.assignment.Numerics, VirtualRanks: training.VirtualRanks,
		SpecSHA256: hex.EncodeToString(spec[:]), Digest: digest, Files: files,
	}
	if err := checkpoint.WriteManifest(ctx, t.stores.checkpoints, manifest); err != nil {
		return err
	}
	stored := &sslctlv1.Checkpoint{Step: t.Step, Uri: blob.Join(t.stores.checkpoints.URI(), checkpoint.Dir(t.Step)), Digest: digest}
	for _, f := range files {
		stored.Bytes += uint64(f.Size)
	}
	t.session.report.update(true, func(m *sslctlv1.HeartbeatRequest) { m.Checkpoints = append(m.Checkpoints, stored) })
	t.prune(ctx)
	return nil
}

// prune deletes the checkpoints that spec.checkpoint.keep no longer wants. The one from which the coordinators would start the next
// generation stays, however old it is: those after it are not committed yet, or never will be.
func (t *trainer) prune(ctx context.Context) {
	start := t.session.report.checkpointCommitted()
	if !start.known {
		return
	}
	complete, ignored, err := checkpoint.List(ctx, t.stores.checkpoints)
	if err == nil {
		keep := t.session.job.Spec.Checkpoint.Keep
		if first := slices.IndexFunc(complete, func(m checkpoint.Manifest) bool { return m.Step >= start.step }); first >= 0 {
			keep = max(keep, len(complete)-first)
		}
		var deleted []uint64
		deleted, err = checkpoint.Prune(ctx, t.stores.checkpoints, keep)
		found := make([]string, 0, len(complete)+len(ignored))
		for _, m := range complete {
			found = append(found, checkpoint.Dir(m.Step))
		}
		for _, i := range ignored {
			found = append(found, i.Dir)
		}
		t.reportRemoved(found, deleted)
	}
	if err != nil {
		// The new checkpoint stands; the next one tries again.
		t.log.Warn("could not delete old checkpoints", zap.Error(err))
	}
}

// reportRemoved reports the checkpoints that were deleted just now, and those known to the coordinators that were not found before: whoever deleted them ended
// before the coordinators heard of it.
func (t *trainer) reportRemoved(found []string, deleted []uint64) {
	var removed []string
	for _, step := range deleted {
		removed = append(removed, blob.Join(t.stores.checkpoints.URI(), checkpoint.Dir(step)))
	}
	for _, known := range t.session.assignment.Checkpoints {
		if !slices.Contains(found, path.Base(known)) && !slices.Contains(t.removed, known) {
			removed = append(removed, known)
		}
	}
	t.removed = append(t.removed, removed...)
	t.session.report.update(false, func(m *sslctlv1.HeartbeatRequest) { m.RemovedCheckpoints = append(m.RemovedCheckpoints, removed...) })
}

// tidy prunes once more at the end of a session, when the last checkpoint is committed. Without coordinators the older one stays.
func (t *trainer) tidy(ctx context.Context) {
	if t.session.assignment.Rank != 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, t.session.job.Spec.FaultTolerance.DetectWithin.Std())
	defer cancel()
	if err := t.session.report.waitCheckpoint(bounded, t.checkpointed); err != nil {
		t.log.Info("left an older checkpoint: the newest is not committed yet", zap.Error(err))
		return
	}
	t.prune(ctx)
}

// restore loads the checkpoint that the generation starts from, and proves by its digest that it is what the ledger says.
func (t *trainer) restore(ctx context.Context) error {
	start := time.Now()
	uri := t.session.assignment.Source
	folder, err := t.session.open(ctx, strings.TrimSuffix(uri, "/"+path.Base(uri)), t.session.job.Spec.Checkpoint.Access)
	if err != nil {
		return fmt.Errorf("restore %s: %w", uri, err)
	}
	store := bucket{folder}
	manifest, err := checkpoint.ReadManifest(ctx, store, path.Base(uri))
	if err != nil {
		return fmt.Errorf("restore %s: %w", uri, err)
	}
	training := t.session.job.Spec.Training
	if manifest.Numerics != t.session.assignment.Numerics || manifest.VirtualRanks != training.VirtualRanks {
		return fmt.Errorf("restore %s: it was made with numerics %s and %d virtual ranks, the job has %s and %d; the result would differ, so it is refused",
			uri, manifest.Numerics, manifest.VirtualRanks, t.session.assignment.Numerics, training.VirtualRanks)
	}
	if err := t.loadFiles(ctx, store, manifest); err != nil {
		return fmt.Errorf("restore %s: %w", uri, err)
	}
	if err := json.Unmarshal(manifest.Trainer, &t.progress); err != nil {
		return fmt.Errorf("restore %s: read the progress of the run: %w", uri, err)
	}
	if err := t.task.Restored(); err != nil {
		return fmt.Errorf("restore %s: %w", uri, err)
	}
	digest, err := t.digest(ctx)
	if err != nil {
		return fmt.Errorf("restore %s: %w", uri, err)
	}
	if want := t.session.assignment.SourceDigest; digest != want {
		return fmt.Errorf("restore %s: the state has digest %s, the ledger says %s; the files are not those that were committed", uri, digest, want)
	}
	t.reportCorrupt(t.Corrupt) // the coordinators may not have heard of all of them
	t.checkpointed, t.hasCheckpoint = t.Step, true
	t.session.metrics.CheckpointSeconds[telemetry.CheckpointRead].Observe(time.Since(start).Seconds())
	t.log.Info("restored", zap.String("checkpoint", uri), telemetry.Step(t.Step), zap.String("digest", digest))
	return nil
}

// loadFiles reads the replicated tensors and those of the owned virtual ranks.
func (t *trainer) loadFiles(ctx context.Context, store bucket, manifest checkpoint.Manifest) error {
	lo, hi := t.ring.group.Owned()
	for _, entry := range manifest.Files {
		if entry.VirtualRank != checkpoint.Replicated && (entry.VirtualRank < lo || entry.VirtualRank >= hi) {
			continue
		}
		file, err := checkpoint.ReadFile(ctx, store, checkpoint.Dir(manifest.Step), entry)
		if err != nil {
			return err
		}
		if err := file.Load(t.state.tensors(entry.VirtualRank)); err != nil {
			return fmt.Errorf("load %s: %w", entry.Name, err)
		}
		t.session.metrics.CheckpointBytes[telemetry.CheckpointRead].Add(float64(entry.Size))
	}
	return nil
}

// exportKey is where the encoder lies in the job's folder once the job has ended.
const exportKey = "export/encoder.safetensors"

// export stores the trained encoder, named and shaped as PyTorch has it.
func (t *trainer) export(ctx context.Context) (string, error) {
	t.session.report.phase(sslctlv1.Phase_PHASE_RUNNING, "exporting the encoder")
	var b bytes.Buffer
	if err := writeEncoder(&b, t.task.Snapshot(), t.session.job, t.Step); err != nil {
		return "", fmt.Errorf("export the encoder: %w", err)
	}
	if err := t.stores.checkpoints.Put(ctx, exportKey, bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
		return "", fmt.Errorf("export the encoder: %w", err)
	}
	return blob.Join(t.stores.checkpoints.URI(), exportKey), nil
}
