package jobspec

import (
	"errors"
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	job, err := Parse([]byte(valid), []string{
		"spec.training.epochs=0.5", "spec.training.epochs=2.5", // the last one counts
		"spec.transforms=[flip: {}, jitter: {}]", "spec.transforms[0].flip.probability=0.25", "spec.transforms.1.jitter.gamma=1",
		"spec.evaluate.train.uri=file:///a", "spec.evaluate.test={uri: file:///b}",
		"spec.sync.bucketBytes=1Mi", "metadata.labels.owner=ann",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := job.Spec
	if s.Training.Epochs != 2.5 || s.Transforms[0].Flip.Probability != 0.25 || s.Transforms[1].Jitter.Gamma != 1 ||
		s.Evaluate.Train.URI != "file:///a" || s.Evaluate.Test.URI != "file:///b" || s.Evaluate.KNN.K != 20 || s.Sync.BucketBytes != 1<<20 ||
		job.Metadata.Labels["owner"] != "ann" {
		t.Errorf("got\n%s", job.YAML())
	}
	job, err = Parse(job.YAML(), []string{"spec.evaluate=null"})
	if err != nil || job.Spec.Evaluate != nil {
		t.Errorf("null does not remove the section: %v", err)
	}
}

func TestSetErrors(t *testing.T) {
	cases := []struct{ set, want string }{
		{"spec.training.epoch=1", "--set spec.training.epoch=1: spec.training.epoch: unknown field; did you mean epochs?"},
		{"spec.training.epochs=many", `--set spec.training.epochs=many: spec.training.epochs: is the text "many"; expected a number > 0`},
		{"spec.training.epochs", "expected path=value"},
		{"=1", "expected path=value"},
		{"spec.transforms[3].flip.probability=1", "spec.transforms: is empty and has no element 3"},
		{"metadata.name.x=1", `is the text "small" and has no field x`},
		{"spec.training={a: [", "the value is not YAML"},
		{"spec.task.bank.size=1", "spec.task.bank.size: is 1, less than one negative"},
		{"spec.evaluate.everyEpochs=1", "spec.evaluate.train.uri: is missing"},
		{"spec.optimizer.momentum=0.5", "has no meaning with name: adamw; expected it only beside name: sgd or lars"},
	}
	for _, c := range cases {
		_, err := Parse([]byte(valid), []string{c.set})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--set %s\n got %v\nwant %s", c.set, err, c.want)
		}
	}
}

// No error about an override repeats what may be a secret.
func TestSetKeepsSecrets(t *testing.T) {
	for set, want := range map[string]string{
		"spec.dataset.secretKey=hunter2":                                     "--set spec.dataset.secretKey=…: spec.dataset.secretKey: credentials never stand in a job file",
		"spec.dataset.secretKey={a: [hunter2":                                "--set spec.dataset.secretKey=…: spec.dataset.secretKey: the value is not YAML",
		"spec.dataset={uri: s3://b/train.tar, SECRET_ACCESS_KEY: hunter2}":   "--set spec.dataset=…: spec.dataset.SECRET_ACCESS_KEY: credentials never",
		"spec.dataset.secretRef=hunter2":                                     "--set spec.dataset.secretRef=…: spec.dataset.secretRef: is no map",
		"spec.dataset.uri=s3://me:hunter2@b/train.tar":                       "--set spec.dataset.uri=…: spec.dataset.uri: credentials never",
		"spec.checkpoint={uri: s3://b/c, endpoint: 'http://me:hunter2@h:1'}": "--set spec.checkpoint=…: spec.checkpoint.endpoint: credentials never",
		"spec.dataset.token.x=hunter2":                                       "--set spec.dataset.token.x=…: ",
	} {
		_, err := Parse([]byte(valid), []string{set})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("--set %s\n got %v\nwant %s", set, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"epochs", "seed", "globalBatch", "virtualRanks"}
	for got, want := range map[string]string{"epoch": "epochs", "sede": "seed", "globalbatch": "globalBatch", "virtual_ranks": "virtualRanks", "lr": "", "zzzzzz": ""} {
		if n := nearest(got, names); n != want {
			t.Errorf("nearest(%q) = %q, want %q", got, n, want)
		}
	}
}

func TestSizeAndDuration(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "7": 7, "4Mi": 4 << 20, "4MiB": 4 << 20, "1k": 1000, "2GB": 2e9, "512Ki": 512 << 10} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Mi", "4 Mi", "1.5Mi", "9999999Ti", "0x10", "4mi"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %v, want an error", text, got)
		}
	}
	for d, want := range map[Duration]string{2e9: "2s", 90e9: "1m30s", 60e9: "1m", 3600e9: "1h", 3605e9: "1h0m5s", 5e8: "500ms"} {
		if d.String() != want {
			t.Errorf("%d = %q, want %q", d, d.String(), want)
		}
	}
}
