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
	Steps  []uint64 // of the checkpoints, complete or not
	store  bucket
	above  blob.Bucket // spec.checkpoint.uri
	folder string      // key of the job's folder in it
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
	f := &JobFiles{folder: jobFolder(job.Metadata.Name, uid)}
	if f.above, err = blob.Open(ctx, job.Spec.Checkpoint.URI, options); err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	own, err := blob.Open(ctx, blob.Join(job.Spec.Checkpoint.URI, f.folder), options)
	if err != nil {
		return nil, fmt.Errorf("spec.checkpoint: %w", err)
	}
	f.store = bucket{own}
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
	left := false
	for _, key := range keys {
		if path.Dir(key) == path.Dir(exportKey) {
			left = true
			continue
		}
		if err := f.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", blob.Join(f.URI(), key), err)
		}
	}
	if left {
		return nil
	}
	// In a file system the job's folder is there still, empty. In S3 there is nothing under this key, and to delete that is no error.
	if err := f.above.Delete(ctx, f.folder); err != nil {
		return fmt.Errorf("delete %s: %w", f.URI(), err)
	}
	return nil
}
