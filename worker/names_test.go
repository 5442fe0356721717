package worker

import (
	"slices"
	"testing"

	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/pkg/nn"
)

// The job file's table of models is the package's list, and says truly which encoders have batch norm.
func TestTableOfModels(t *testing.T) {
	var names []string
	for _, info := range jobspec.Models() {
		names = append(names, info.Name)
		has, err := nn.HasBatchNorm(info.Name)
		if err != nil || has != info.BatchNorm {
			t.Errorf("%s: batch norm is %v in the job file's table, %v in the model (%v)", info.Name, info.BatchNorm, has, err)
		}
	}
	slices.Sort(names)
	if want := nn.Names(); !slices.Equal(names, want) {
		t.Errorf("the job file knows %v, pkg/nn has %v", names, want)
	}
}
