package jobspec

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// valid is the smallest valid job.
const valid = `apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  dataset: {uri: file://x.tar}
  model: {name: mlp}
  task: {name: moco}
  optimizer: {lr: 0.1}
  training: {epochs: 1}
  checkpoint: {uri: file://c}
`

// TestInvalid compares everything that is wrong with each file of testdata/invalid with the golden .txt beside it.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseNamed(filepath.Base(file), data, nil)
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			compareGolden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheFormOfTheLossDependsOnTheTask(t *testing.T) {
	for task, want := range map[string]string{
		"{name: instdisc}": "softmax", "{name: instdisc, loss: nce}": "nce", "{name: simclr}": "ntxent", "{name: simclr, loss: hard}": "hard", "{name: moco}": "infonce",
	} {
		job, err := Parse([]byte(strings.Replace(valid, "{name: moco}", task, 1)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if job.Spec.Task.Loss != want {
			t.Errorf("%s: loss %q, want %q", task, job.Spec.Task.Loss, want)
		}
		again, err := Parse(job.YAML(), nil)
		if err != nil || !reflect.DeepEqual(again, job) {
			t.Errorf("%s: comes back as %+v, %v", task, again, err)
		}
	}
}

// A job that an earlier version began is still exported, deleted and shown.
func TestJobsOfEarlierNumericsAreRead(t *testing.T) {
	for _, numerics := range []string{"amd64-fma/1", "portable/1"} {
		job, err := Parse([]byte(valid), []string{"spec.training.numerics=" + numerics})
		if err != nil || job.Spec.Training.Numerics != numerics {
			t.Errorf("a job pinned to %s: %v", numerics, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	job, err := Parse([]byte(valid), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := job.Spec
	if s.Workers.Min != 1 || s.Workers.Max != 8 || s.Training.GlobalBatch != 256 || s.Training.MicroBatch() != 32 {
		t.Errorf("workers %+v, training %+v", s.Workers, s.Training)
	}
	if s.Sync.BucketBytes != 4<<20 || s.FaultTolerance.DetectWithin.Std() != 2*time.Second || s.Evaluate != nil {
		t.Errorf("sync %+v, fault tolerance %+v, evaluate %v", s.Sync, s.FaultTolerance, s.Evaluate)
	}
}

func TestBiasesAndNormsAreSparedByLARSUnlessTheFileSaysOtherwise(t *testing.T) {
	for set, want := range map[string]bool{
		"{name: sgd, lr: 1}": false, "{name: lars, lr: 1}": true, "{name: lars, lr: 1, excludeNormAndBias: false}": false, "{lr: 1, excludeNormAndBias: true}": true,
	} {
		job, err := Parse([]byte(valid), []string{"spec.optimizer=" + set})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(job.YAML(), nil)
		if err != nil || job.Spec.Optimizer.ExcludeNormAndBias != want || again.Spec.Optimizer.ExcludeNormAndBias != want {
			t.Errorf("%s: %v, and read again %v; want %v (%v)", set, job.Spec.Optimizer.ExcludeNormAndBias, again.Spec.Optimizer.ExcludeNormAndBias, want, err)
		}
	}
}

// One sample a virtual rank is enough where nothing is normalised over the batch.
func TestMicroBatchesOfOneSample(t *testing.T) {
	for set, fits := range map[string]bool{
		"{name: vit-tiny, projector: {batchNorm: false}}":              true,
		"{name: resnet18, norm: group, projector: {batchNorm: false}}": true,
		"{name: resnet18, projector: {batchNorm: false}}":              false,
		"{name: mlp, projector: {batchNorm: false}}":                   false,
		"{name: vit-tiny}": false,
	} {
		_, err := Parse([]byte(valid), []string{"spec.model=" + set, "spec.training.globalBatch=8", "spec.training.virtualRanks=8"})
		if (err == nil) != fits {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestAScheduleBySteps(t *testing.T) {
	job, err := Parse([]byte(valid), []string{"spec.optimizer={name: lars, lr: 0.3, clipNorm: 1.5, schedule: step, milestones: [120, 160], gamma: 0.2}"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(job.YAML(), nil)
	if err != nil || !reflect.DeepEqual(again, job) || !reflect.DeepEqual(job.Spec.Optimizer.Milestones, []int{120, 160}) {
		t.Errorf("%v\n%s", err, job.YAML())
	}
}

// TestExamples reads the shipped examples, and the canonical form of each gives an equal job and the same bytes.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		job, err := ParseFile(file, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := Parse(job.YAML(), nil)
		if err != nil {
			t.Fatalf("%s: reading the canonical form: %v\n%s", file, err, job.YAML())
		}
		if !reflect.DeepEqual(again, job) || string(again.YAML()) != string(job.YAML()) {
			t.Errorf("%s: the canonical form gives another job:\n%s\nthen\n%s", file, job.YAML(), again.YAML())
		}
	}
}

func TestCanonicalForm(t *testing.T) {
	job, err := Parse([]byte(valid), []string{"spec.evaluate.train.uri=file:///a", "spec.evaluate.test.uri=s3://b/c",
		"spec.evaluate.test.secretRef.name=minio", "metadata.labels={a: '1', b: yes it is}", "spec.transforms=[flip: , noise: {std: 1e-9}]",
		"spec.optimizer={name: sgd, lr: 0.00001, nesterov: true}", "spec.faultTolerance.detectWithin=90s"})
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/canonical.txt", string(job.YAML()))
	again, err := Parse(job.YAML(), nil)
	if err != nil || !reflect.DeepEqual(again, job) {
		t.Fatalf("%v\n%s", err, again.YAML())
	}
}

// Editors elsewhere write a byte order mark, carriage returns or UTF-16. The job is the same.
func TestEncodingsOfAJobFile(t *testing.T) {
	want, err := Parse([]byte(valid), nil)
	if err != nil {
		t.Fatal(err)
	}
	wide := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(valid)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	for name, data := range map[string][]byte{
		"byte order mark": []byte("\ufeff" + valid), "CRLF": []byte(strings.ReplaceAll(valid, "\n", "\r\n")), "UTF-16": wide,
		"ends with a mark": []byte("---\n" + valid + "...\n"),
	} {
		if job, err := Parse(data, nil); err != nil || !reflect.DeepEqual(job, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
