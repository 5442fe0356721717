package coordinator

import (
	"github.com/sslctl/sslctl/coordinator/state"
	"github.com/sslctl/sslctl/internal/jobspec"
)

// submission reads a job file into the command that submits it. The error lists everything that is wrong with the file.
func submission(yaml []byte, set []string, requestID string) (*state.Submit, error) {
	job, err := jobspec.Parse(yaml, set)
	if err != nil {
		return nil, err
	}
	spec := job.Spec
	return &state.Submit{
		RequestID: requestID, Name: job.Metadata.Name, Labels: job.Metadata.Labels, Priority: spec.Priority, Spec: job.YAML(),
		Need: state.Requirements{
			WorkersMin: spec.Workers.Min, WorkersMax: spec.Workers.Max, Selector: spec.Workers.Selector,
			VirtualRanks: spec.Training.VirtualRanks, Numerics: spec.Training.Numerics,
			DetectWithinMS: spec.FaultTolerance.DetectWithin.Std().Milliseconds(),
			GlobalBatch:    uint64(spec.Training.GlobalBatch), Epochs: state.Number(spec.Training.Epochs),
		},
	}, nil
}
