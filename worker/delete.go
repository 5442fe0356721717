package worker

import (
	"context"
	"fmt"
	"path"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/checkpoint"
)

// JobFiles is what a job has stored below its checkpoint.uri.
type JobFiles struct {
	Steps []uint64 // of the checkpoints, complete or not
	store bucket
}

// FindJobFiles looks at what a job has stored. The job is named by its job file, as the cluster shows it, and its UID.
func FindJobFiles(ctx context.Context, specYAML []byte, uid string) (*JobFiles, error) {
	job, err := jobspec.Parse(specYAML, nil)
	if err != nil {
		return nil, fmt.Errorf("read the job file: %w", err)
	}
	options, err := accessOptions(job.Spec.Checkpoint.Access)
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	folder, err := blob.Open(ctx, blob.Join(job.Spec.Checkpoint.URI, jobFolder(job.Metadata.Name, uid)), options)
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	f := &JobFiles{store: bucket{folder}}
	if f.Steps, err = checkpoint.Steps(ctx, f.store); err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	return f, nil
}

// URI is the folder of the job's files.
func (f *JobFiles) URI() string { return f.store.URI() }

// Delete deletes the checkpoints and the index of the data. The exported encoder stays.
func (f *JobFiles) Delete(ctx context.Context) error {
	if err := checkpoint.DeleteAll(ctx, f.store); err != nil {
		return err
	}
	keys, err := f.store.List(ctx, "")
	if err != nil {
		return fmt.Errorf("delete the files of %s: %w", f.URI(), err)
	}
	for _, key := range keys {
		if path.Dir(key) == path.Dir(exportKey) {
			continue
		}
		if err := f.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", blob.Join(f.URI(), key), err)
		}
	}
	return nil
}
