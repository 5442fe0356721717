package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/worker"
)

type exportReport struct {
	Job   string `json:"job"`
	UID   string `json:"uid"`
	State string `json:"state"` // of the job
	Step  uint64 `json:"step"`
	Steps uint64 `json:"steps"` // that the job has
	File  string `json:"file"`
}

func newExportCommand(g *globals) *cobra.Command {
	var step int64
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "export JOB FILE",
		Short: "Write a job's encoder as safetensors",
		Long: `Reads the newest complete checkpoint of a job (or the one at --step), verifies it, and writes the encoder to FILE as safetensors: without
the projector, with PyTorch's names and shapes. The checkpoint is read by this process, so it must reach the job's checkpoint.uri and find its
secretRef, as workers do.

The names are those of torchvision's ResNet: conv1, bn1, layer1.0.conv1, layer1.0.downsample.0 …; convolutions are (out, in, height, width). A
module that is built alike takes them in Python by

  state = safetensors.torch.load_file("encoder.safetensors")
  missing, unexpected = model.load_state_dict(state, strict=False)

where nothing is unexpected, and missing is num_batches_tracked alone, which only training uses. The file's metadata names the model, its
image (channels x height x width), and the mean and std that images were normalised with, as fractions of full scale.`,
		Example: "  sslctl export fashion-moco encoder.safetensors",
		Args:    arguments(2, 2, "the job's name or uid, or the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if step < -1 {
				return &usageError{fmt.Sprintf("--step is %d; expected a step with a checkpoint", step), cmd.CommandPath()}
			}
			return runExport(cmd.Context(), g, args[0], args[1], step, overwrite)
		},
	}
	cmd.Flags().Int64Var(&step, "step", -1, "step of the checkpoint (default: the newest)")
	cmd.Flags().Lookup("step").DefValue = "0" // the help does not show -1
	addOverwriteFlag(cmd, &overwrite)
	return cmd
}

func addOverwriteFlag(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "overwrite", false, "replace the file if it is there")
}

// checkNew refuses a file that is there, unless it may be overwritten.
func checkNew(doing, file string, overwrite bool) error {
	if overwrite {
		return nil
	}
	if _, err := os.Lstat(file); err == nil {
		return &conflictError{fmt.Sprintf("%s: %s is there already; name another file, or --overwrite", doing, file)}
	}
	return nil // what else may be wrong shows when it is written
}

func runExport(ctx context.Context, g *globals, name, file string, step int64, overwrite bool) error {
	if err := checkNew("exporting", file, overwrite); err != nil {
		return err
	}
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	job, err := c.get(ctx, &sslctlv1.GetRequest{Job: name})
	if err != nil {
		return err
	}
	var at *uint64
	if step >= 0 {
		s := uint64(step)
		at = &s
	}
	done, err := exportTo(ctx, job, file, at)
	if err != nil {
		return err
	}
	return g.print(exportReport{job.Name, job.Uid, stateName(job.State), done, job.StepsTotal, file}, func(w io.Writer, _ bool) {
		fmt.Fprintln(w, exportLine(job, done, file))
	})
}

// exportLine says what was exported, and how far the job is where that is not its end.
func exportLine(job *sslctlv1.Job, step uint64, file string) string {
	of := ""
	if step < job.StepsTotal {
		of = fmt.Sprintf(" of %d", job.StepsTotal)
		if job.State != sslctlv1.JobState_JOB_STATE_COMPLETED {
			of += fmt.Sprintf(" (the job is %s)", stateName(job.State))
		}
	}
	return fmt.Sprintf("%s, step %d%s: %s", job.Name, step, of, file)
}

// unfinishedPrefix starts the names of files being written.
const unfinishedPrefix = ".sslctl-new-"

// createBeside opens a temporary file beside the one to be written.
func createBeside(file string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(file), unfinishedPrefix+"*")
}

// exportTo writes the encoder of a job's checkpoint to a file, whole or not at all.
func exportTo(ctx context.Context, job *sslctlv1.Job, file string, step *uint64) (done uint64, err error) {
	t, err := createBeside(file)
	if err != nil {
		return 0, &inputError{fmt.Errorf("exporting to %s: %w; name a file in a folder that can be written", file, withoutPath(err))}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(t.Name()))
		}
	}()
	done, err = worker.Export(ctx, job.SpecYaml, job.Uid, step, t)
	if err == nil {
		err = t.Sync()
	}
	if closeErr := t.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, fmt.Errorf("exporting to %s: %w", file, withoutPath(err))
	}
	if err := os.Chmod(t.Name(), 0o644); err != nil {
		return 0, fmt.Errorf("exporting to %s: %w", file, err)
	}
	if err := os.Rename(t.Name(), file); err != nil {
		return 0, fmt.Errorf("exporting to %s: %w", file, err)
	}
	return done, nil
}
