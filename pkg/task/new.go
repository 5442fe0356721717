package task

import (
	"fmt"
	"strings"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
)

// Environment is what every task is built from.
type Environment struct {
	Model        *nn.Model // freshly initialised, with projector; the task takes it over
	VirtualRanks int       // V
	Lo, Hi       int       // owned virtual ranks [Lo, Hi)
	GlobalBatch  int       // B, a multiple of V
	TotalSteps   uint64    // of the job
	Samples      uint64    // N, of the data set
	Key          keyed.Key // of the job's seed
	// Enter is called when a step goes on to another phase of its work, one of the Phase constants; nil: nobody wants to know.
	Enter func(phase string)
}

// Phases of a step, for Environment.Enter. What lies around Step (data, update) is the trainer's to name, what lies below Group is the
// collectives'.
const (
	PhaseForward  = "forward"  // views to embeddings
	PhaseBank     = "bank"     // embeddings against negatives, and writing to the bank
	PhaseBackward = "backward" // gradients of the parameters
)

// enter says that another phase begins.
func (e Environment) enter(phase string) {
	if e.Enter != nil {
		e.Enter(phase)
	}
}

// owned is the number of owned virtual ranks.
func (e Environment) owned() int { return e.Hi - e.Lo }

// micro is the number of samples of a virtual rank in a step, n.
func (e Environment) micro() int { return e.GlobalBatch / e.VirtualRanks }

// Config is a task's own settings. A task reads those that concern it.
type Config struct {
	Name          string
	Temperature   float64 // τ
	Momentum      float64 // of the key encoder
	ShuffleGroups int     // batch-norm sub-groups inside a virtual rank; the model is built with the same number
	BankSize      int     // K
	MaskOwnKeys   bool    // a query is not contrasted with earlier keys of its own sample
	Loss          string  // of instance discrimination: "softmax" or "nce"; of SimCLR: "ntxent", "supcon", "crossview", "sigmoid", "dcl", "debiased" or "hard"; of MoCo: "infonce" and the last three
	TauPlus       float64 // of the losses "debiased" and "hard": chance of a negative to be of the anchor's class
	Beta          float64 // of the loss "hard": weight of hard negatives
	InitialBias   float64 // of the loss "sigmoid", whose learned scale starts at 1/τ
	Negatives     int     // that a step draws from a bank of samples
	BankMomentum  float64 // of the slots of a bank of samples
	Redundancy    float64 // of Barlow Twins: weight of the correlations between elements
	Invariance    float64 // of VICReg: weights of its terms
	Variance      float64
	Covariance    float64

	// MomentumSchedule is how Momentum goes over the steps: "constant", or no name, and "cosine", as optim.Momentum has them.
	MomentumSchedule string
}

// constructors maps each task's name to its constructor. A new task adds a line here, a file beside moco.go, and a line in the job
// file's table of names.
var constructors = []struct {
	name string
	make func(Config, Environment) (Task, error)
}{
	{"moco", newMoCo},
	{"simclr", newSimCLR},
	{"instdisc", newInstDisc},
	{"mocov3", newMoCoV3},
	{"byol", newBYOL},
	{"simsiam", newSimSiam},
	{"barlowtwins", newBarlowTwins},
	{"vicreg", newVICReg},
}

// Names lists the tasks that New knows.
func Names() []string {
	var names []string
	for _, c := range constructors {
		names = append(names, c.name)
	}
	return names
}

// New makes the task that c names. It returns an error for an unknown name or settings that the task cannot run with.
func New(c Config, e Environment) (Task, error) {
	if e.VirtualRanks < 1 || e.Lo < 0 || e.Lo >= e.Hi || e.Hi > e.VirtualRanks || e.GlobalBatch%e.VirtualRanks != 0 {
		return nil, fmt.Errorf("make task %q for virtual ranks [%d, %d) of %d with batch %d: expected 0 ≤ lo < hi ≤ V and a batch that V divides", c.Name, e.Lo, e.Hi, e.VirtualRanks, e.GlobalBatch)
	}
	for _, known := range constructors {
		if known.name == c.Name {
			return known.make(c, e)
		}
	}
	return nil, fmt.Errorf("make task %q: unknown name; expected one of %s", c.Name, strings.Join(Names(), ", "))
}

// checkInBatch refuses what a task cannot run with whose negatives are the batch's other samples.
func checkInBatch(c Config, e Environment) error {
	switch {
	case c.Temperature <= 0:
		return fmt.Errorf("make task %s: temperature is %v, expected above 0", c.Name, c.Temperature)
	case e.GlobalBatch < 2:
		return fmt.Errorf("make task %s: a batch of %d leaves no negatives, expected 2 or more", c.Name, e.GlobalBatch)
	}
	return nil
}
