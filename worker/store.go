package worker

import (
	"context"
	"fmt"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/checkpoint"
	"go.uber.org/zap"
)

// stores are the places that a session writes to.
type stores struct {
	checkpoints bucket // everything of this job: checkpoints, index, export
}

// bucket is a blob.Bucket as package checkpoint wants it.
type bucket struct{ blob.Bucket }

// List returns the keys that begin with prefix.
func (b bucket) List(ctx context.Context, prefix string) ([]string, error) {
	objects, err := b.Bucket.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys, nil
}

// openStores opens the job's own folder below spec.checkpoint.uri, and tries whether it can be read.
func openStores(ctx context.Context, s *session) (*stores, error) {
	c := s.job.Spec.Checkpoint
	b, err := s.open(ctx, blob.Join(c.URI, jobFolder(s.assignment.JobName, s.assignment.JobUid)), c.Access)
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	present, _, err := checkpoint.List(ctx, bucket{b})
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	if s.assignment.Generation == 1 && len(present) > 0 {
		// Another cluster, or this one before its state was wiped, has given out the same UID. Its checkpoints must not be taken for ours.
		return nil, fmt.Errorf("spec.checkpoint: %s already holds checkpoints, up to step %d, of a job that is not this one; choose another checkpoint.uri or delete that folder", b.URI(), present[len(present)-1].Step)
	}
	return &stores{checkpoints: bucket{b}}, nil
}

// jobFolder is where a job keeps its objects. The UID sets a job apart from earlier ones of its name.
func jobFolder(name, uid string) string { return name + "-" + uid }

// open opens a bucket of checkpoints.
func (s *session) open(ctx context.Context, uri string, a jobspec.Access) (blob.Bucket, error) {
	options, err := s.access(a, telemetry.StoreCheckpoint)
	if err != nil {
		return nil, err
	}
	return blob.Open(ctx, uri, options)
}

// access is accessOptions that also reports what a store, named as in the metrics, lets the session wait for.
func (s *session) access(a jobspec.Access, store string) (blob.Options, error) {
	options, err := accessOptions(a)
	options.Retry.Notify = func(w blob.Waiting) {
		s.log.Info("waiting for a store", zap.Duration("waited", w.Waited), zap.Duration("next", w.Next), zap.Error(w.Cause))
		s.metrics.StoreRetries[store].Inc()
		s.metrics.StoreWaitSeconds[store].Add(w.Next.Seconds())
		s.report.wait(fmt.Sprintf("trying again: %v", w.Cause), w.Next)
	}
	return options, err
}

// accessOptions resolves the credentials that a job file refers to.
func accessOptions(a jobspec.Access) (blob.Options, error) {
	secret, err := a.SecretRef.Resolve()
	if err != nil {
		return blob.Options{}, err
	}
	return blob.Options{Endpoint: a.Endpoint, Region: a.Region, AccessKey: secret.AccessKey, SecretKey: secret.SecretKey}, nil
}
