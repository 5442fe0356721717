package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Ignored is a folder that is no checkpoint.
type Ignored struct {
	Dir    string
	Reason error
}

// List finds the complete checkpoints in a store, oldest first: those with a well-formed manifest. A folder without manifest is a
// checkpoint in the making, or what a crash left of one, and is passed over. One with a manifest that cannot be used is reported in
// ignored.
func List(ctx context.Context, store Store) (complete []Manifest, ignored []Ignored, err error) {
	folders, err := list(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range folders {
		if !slices.Contains(f.files, manifestFile) {
			continue
		}
		m, err := ReadManifest(ctx, store, Dir(f.step))
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("list checkpoints: %w", err)
		}
		if err != nil {
			ignored = append(ignored, Ignored{Dir(f.step), err})
			continue
		}
		complete = append(complete, m)
	}
	return complete, ignored, nil
}

// folder is what a store holds of one step.
type folder struct {
	step  uint64
	files []string // names within the folder
}

// list groups the keys of the store by step, in ascending order. Keys of other forms are not ours and left alone.
func list(ctx context.Context, store Store) ([]folder, error) {
	keys, err := store.List(ctx, "step-")
	if err != nil {
		return nil, err
	}
	slices.Sort(keys)
	var folders []folder
	for _, key := range keys {
		dir, name, ok := strings.Cut(key, "/")
		if !ok {
			continue
		}
		step, err := strconv.ParseUint(strings.TrimPrefix(dir, "step-"), 10, 64)
		if err != nil || Dir(step) != dir {
			continue
		}
		if n := len(folders); n == 0 || folders[n-1].step != step {
			folders = append(folders, folder{step: step})
		}
		last := &folders[len(folders)-1]
		last.files = append(last.files, name)
	}
	return folders, nil
}

// delete deletes the manifest first, so that a half-deleted checkpoint is invisible.
func (f folder) delete(ctx context.Context, store Store) error {
	if i := slices.Index(f.files, manifestFile); i > 0 {
		f.files[0], f.files[i] = f.files[i], f.files[0]
	}
	for _, name := range f.files {
		if err := store.Delete(ctx, Dir(f.step)+"/"+name); err != nil {
			return fmt.Errorf("delete %s of %s: %w", name, Dir(f.step), err)
		}
	}
	return nil
}

// Steps lists the steps that a store holds something of, complete or not, in ascending order.
func Steps(ctx context.Context, store Store) ([]uint64, error) {
	folders, err := list(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	steps := make([]uint64, len(folders))
	for i, f := range folders {
		steps[i] = f.step
	}
	return steps, nil
}

// DeleteAll deletes all checkpoints of a store, complete or not, the oldest first.
func DeleteAll(ctx context.Context, store Store) error {
	folders, err := list(ctx, store)
	if err != nil {
		return fmt.Errorf("delete checkpoints: %w", err)
	}
	for _, f := range folders {
		if err := f.delete(ctx, store); err != nil {
			return fmt.Errorf("delete checkpoints: %w", err)
		}
	}
	return nil
}

// Discard deletes files that were written for the checkpoint of a step that will not be complete. If the step has a manifest, an earlier
// run has completed it with the same files, and they stay.
func Discard(ctx context.Context, store Store, step uint64, files []FileEntry) error {
	manifest := Dir(step) + "/" + manifestFile
	there, err := store.List(ctx, manifest)
	if err != nil {
		return fmt.Errorf("discard %s: %w", Dir(step), err)
	}
	if slices.Contains(there, manifest) {
		return nil
	}
	for _, f := range files {
		if err := store.Delete(ctx, Dir(step)+"/"+f.Name); err != nil {
			return fmt.Errorf("discard %s: %w", Dir(step), err)
		}
	}
	return nil
}

// Prune keeps the newest keep checkpoints and deletes the older ones, and what crashes left of older ones. A folder whose manifest cannot be used is left alone: a later version may have written
// it. Prune returns the steps whose folders it emptied.
func Prune(ctx context.Context, store Store, keep int) (deleted []uint64, err error) {
	if keep < 1 {
		return nil, fmt.Errorf("prune checkpoints: keep is %d, expected at least 1", keep)
	}
	complete, ignored, err := List(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	if len(complete) == 0 {
		return nil, nil
	}
	oldestKept := complete[max(0, len(complete)-keep)].Step
	folders, err := list(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	for _, f := range folders {
		dir := Dir(f.step)
		if f.step >= oldestKept {
			break
		}
		if slices.ContainsFunc(ignored, func(i Ignored) bool { return i.Dir == dir }) {
			continue
		}
		if err := f.delete(ctx, store); err != nil {
			return deleted, fmt.Errorf("prune: %w", err)
		}
		deleted = append(deleted, f.step)
	}
	return deleted, nil
}
