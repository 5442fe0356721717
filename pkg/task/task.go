// Package task holds what is trained: the Task seam, and one file for each objective. A trainer runs a Task without knowing what it
// optimises; checkpoint, digest, recovery and export iterate State() alone.
package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/sslctl/sslctl/pkg/nn"
	"gorgonia.org/tensor"
)

// ErrNotFinite is returned when a gradient or a loss is NaN or Inf. Every rank sees it in the same step, since it is detected on
// values that all ranks share; the trainer then skips the step on all of them alike.
var ErrNotFinite = errors.New("not finite")

// lossNotFinite says that a step's loss cannot be used.
func lossNotFinite(step uint64) error {
	return fmt.Errorf("the contrastive loss of step %d is NaN or Inf: %w", step, ErrNotFinite)
}

// Batch is one virtual rank's micro-batch.
type Batch struct {
	VirtualRank int
	Positions   []uint64                 // place of each sample in the job's stream
	Samples     []uint64                 // number of each sample in the data set; of the one that replaced it where one cannot be decoded
	Labels      []uint64                 // class of each sample, where the task is a LabelReader that reads them; else nil
	Fields      map[string]*tensor.Dense // "view1", "view2": (n, H, W, C)
}

// Placement says who holds a Var.
type Placement int

const (
	Replicated     Placement = iota // every rank holds the same value
	PerVirtualRank                  // each virtual rank has its own; the owner of the virtual rank holds it
)

// Var is one tensor of a task's state.
type Var struct {
	Name        string // unique within the task for its virtual rank
	Place       Placement
	VirtualRank int // with PerVirtualRank
	Value       *tensor.Dense
}

// ParameterGroup is one set of parameters that an optimizer trains as a unit.
type ParameterGroup struct {
	Name       string
	Parameters *nn.Arena       // live values in one flat run of n elements
	Grads      []*tensor.Dense // one (n) for each owned virtual rank, in order; written by Step before it calls update
	Plain      bool            // neither weight decay nor rates by layer, whatever a job has for the encoder
}

// Group is the set of all V virtual ranks of a job. It hides how many workers there are: every result is the same bits for any
// number of them. own holds one tensor for each owned virtual rank, in order; all of one shape unless said otherwise.
type Group interface {
	// Size is V.
	Size() int
	// Owned is the run [lo, hi) of virtual ranks that this worker owns.
	Owned() (lo, hi int)
	// AllGather concatenates the tensors of all V virtual ranks along the first axis, in order of virtual rank: (n, …) → (V·n, …).
	AllGather(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error)
	// Sum adds the tensors of all V virtual ranks, order-independently, rounding each virtual rank's values once to a block fixed
	// point. Blocks of 128 elements, each with its own exponent. It returns ErrNotFinite on every rank if any value is NaN or Inf.
	Sum(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error)
	// SumScatter adds (V·n, …) tensors of all virtual ranks and hands each owned virtual rank v its rows [v·n, (v+1)·n). Every partial sum
	// must be within ±bound (one fixed exponent serves for all elements).
	SumScatter(ctx context.Context, own []*tensor.Dense, bound float32) ([]*tensor.Dense, error)
	// Max is the element-wise maximum over all virtual ranks.
	Max(ctx context.Context, own []*tensor.Dense) (*tensor.Dense, error)
}

// Metrics are figures of one step, the same on every rank: "loss" always, others by task. "chanceLoss" is the loss of a model to which all
// samples look alike, where the loss should be below it. The trainer adds "gradientNorm", "parameterNorm" and "learningRate".
type Metrics map[string]float64

// Update sums the Grads of some parameter groups over all virtual ranks and moves their Parameters by their optimizers: those of all
// groups or, where any of it fails or is not finite, none.
type Update func(ctx context.Context, groups ...string) error

// Task is one objective with its state.
type Task interface {
	// State lists every tensor that a checkpoint must hold, in a fixed order; optimizer slots are the trainer's. The Values are live.
	State() []Var
	// Trained lists the parameter groups.
	Trained() []ParameterGroup
	// Step runs one step on the micro-batches of the owned virtual ranks (in order). It calls update once, with all of its parameter groups,
	// when their Grads are complete, and changes no state before update has returned nil, so a step that ends in ErrNotFinite has left the
	// state as it was.
	Step(ctx context.Context, g Group, step uint64, own []Batch, update Update) (Metrics, error)
	// Snapshot copies what evaluation and export need. It stays valid while training goes on.
	Snapshot() Encoder
	// Restored is called once after State's Values were overwritten from a checkpoint or a peer.
	Restored() error
	// BankBytes is what this worker holds of sharded banks now, provenance included.
	BankBytes() uint64
}

// ViewReader is implemented by a task that does not read both "view1" and "view2".
type ViewReader interface {
	// Views are the fields of a Batch that Step reads.
	Views() []string
}

// LabelReader is implemented by a task that may need to know the samples' classes.
type LabelReader interface {
	// ReadsLabels tells whether Step reads Batch.Labels.
	ReadsLabels() bool
}

// Initializer is implemented by a task whose state begins with a pass over the data.
type Initializer interface {
	// Initialize completes the state before the first step of a run that begins from nothing; a run that goes on has it in its
	// checkpoint.
	Initialize(ctx context.Context, pass Pass) error
}

// Pass makes one view of each of some samples, by their numbers in the data set, with draws of its own: the i-th call of use gets those of the
// samples [cuts[i], cuts[i+1]), (n, H, W, C), valid until it returns. It ends at the first error.
type Pass func(ctx context.Context, cuts []uint64, use func(i int, views *tensor.Dense) error) error

// Named is a parameter under its export name and shape.
type Named struct {
	Name  string
	Value *tensor.Dense
}

// Encoder turns images into features, with batch norm in evaluation mode.
type Encoder interface {
	// Features maps (n, H, W, C) images to (n, F) features. The result is the caller's.
	Features(images *tensor.Dense) (*tensor.Dense, error)
	// Embeddings maps (n, H, W, C) images to (n, D) unit vectors: what the objective compares.
	Embeddings(images *tensor.Dense) (*tensor.Dense, error)
	// Parameters are the encoder's tensors (without its heads), named and shaped as PyTorch has them.
	Parameters() []Named
}
