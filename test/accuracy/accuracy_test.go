//go:build accuracy

// Package accuracy trains the example jobs to their end and holds the results against what the same recipe reaches elsewhere. It takes
// minutes for each seed, so `make accuracy` runs it, not `make test`.
package accuracy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// measured is what an example job ends with.
type measured struct{ kNN, linear float64 }

// examples are the jobs of examples/, fashion-NAME.yaml. Trained on the 10,000 images that are shipped and measured on all 10,000 test
// images, the mean over three seeds must reach the bar. PyTorch with the same recipe, batch norm over the whole batch: SimCLR 0.824 / 0.848,
// instance discrimination 0.819 / 0.846, MoCo 0.816 / 0.837.
var examples = []struct {
	name string
	bar  measured
}{
	{"moco", measured{0.805, 0.83}},
	{"simclr", measured{0.812, 0.84}},
	{"instdisc", measured{0.808, 0.84}},
	{"mocov3", measured{0.805, 0.83}},
}

// How far a healthy encoder is from a collapsed and from an untrained one.
const (
	leastGainKNN, leastGainLinear             = 0.015, 0.025
	mostMeanCosine, leastRank, mostUniformity = 0.4, 8, -1.5
)

func TestExamples(t *testing.T) {
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			mean := map[string]float64{}
			for _, seed := range []string{"7", "8", "9"} {
				for name, value := range train(t, e.name, "spec.training.seed="+seed) {
					mean[name] += value / 3
				}
			}
			t.Logf("mean: %v", mean)
			atLeast(t, "kNN", mean["knn.top1"], e.bar.kNN)
			atLeast(t, "linear", mean["linear.top1"], e.bar.linear)
			atLeast(t, "kNN above the untrained model", mean["knn.top1"]-mean["untrained.knn.top1"], leastGainKNN)
			atLeast(t, "linear above the untrained model", mean["linear.top1"]-mean["untrained.linear.top1"], leastGainLinear)
			atLeast(t, "effective rank", mean["effectiveRank"], leastRank)
			atLeast(t, "minus uniformity", -mean["uniformity"], -mostUniformity)
			atLeast(t, "minus mean cosine", -mean["meanCosine"], -mostMeanCosine)
		})
	}
}

// SimCLR on all 60,000 images for four epochs; PyTorch reaches 0.874 / 0.889.
func TestSimCLROnAllImages(t *testing.T) {
	got := train(t, "simclr", "spec.training.epochs=4", "spec.dataset.uri="+all("train"), "spec.evaluate.train.uri="+all("train"))
	atLeast(t, "kNN", got["knn.top1"], 0.865)
	atLeast(t, "linear", got["linear.top1"], 0.88)
}

// all is where `make accuracy` packs a set of the whole of Fashion-MNIST.
func all(set string) string { return "file://.sslctl/full/" + set + "-*.tar" }

// train runs an example job to its end, measured once, there, on all 10,000 test images, and returns the measures.
func train(t *testing.T, example string, set ...string) map[string]float64 {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	arguments := []string{"up", "examples/fashion-" + example + ".yaml", "-o", "json"}
	for _, s := range append(set, "spec.evaluate.everyEpochs=1000", "spec.evaluate.test.uri="+all("test")) {
		arguments = append(arguments, "--set", s)
	}
	cmd := exec.Command(os.Getenv("SSLCTL_BINARY"), arguments...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %v: %v", cmd.Args, err)
	}
	var result struct {
		Digest     string
		Loss       float64
		Evaluation map[string]float64
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v: loss %.3f, digest %.12s, %v", set, result.Loss, result.Digest, result.Evaluation)
	return result.Evaluation
}

func atLeast(t *testing.T, what string, got, bar float64) {
	t.Helper()
	if !(got >= bar) {
		t.Errorf("%s is %.4f, want at least %.4f", what, got, bar)
	}
}
