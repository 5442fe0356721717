package main

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/sslctl/sslctl/internal/jobspec"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

func TestDifferences(t *testing.T) {
	parsed := func(set ...string) []byte {
		job, err := jobspec.Parse([]byte(jobFile), set)
		if err != nil {
			t.Fatal(err)
		}
		return job.YAML()
	}
	got, err := differences(parsed(), parsed("spec.training.epochs=3", "metadata.labels.team=a", "spec.transforms=[{flip: {probability: 0.5}}]"))
	if err != nil {
		t.Fatal(err)
	}
	want := []difference{{"metadata.labels.team", "", "a"}, {"spec.training.epochs", "1", "3"}, {"spec.transforms[0].flip.probability", "", "0.5"}}
	if len(got) != len(want) {
		t.Fatalf("differences %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("difference %v, want %v", got[i], want[i])
		}
	}
}

// Preview is part of the scripted API.
func (s *scripted) Preview(_ context.Context, r *connect.Request[sslctlv1.PreviewRequest]) (*connect.Response[sslctlv1.PreviewResponse], error) {
	p, err := s.preview(r.Msg)
	return connect.NewResponse(p), err
}

// What plan compares decides its exit code, and says why in words.
func TestPlanAgainstTheCluster(t *testing.T) {
	data := t.TempDir()
	if code, _, stderr := sslctl("", "dataset", "pack", imageFolder(t), data, "--name", "tiny"); code != 0 {
		t.Fatal(stderr)
	}
	file := strings.ReplaceAll(jobFile, "file:///x.tar", "file://"+data+"/tiny-*.tar")
	for _, test := range []struct {
		name     string
		existing func(yaml []byte) *sslctlv1.Job
		code     int
		want     []string
	}{
		{"new", func([]byte) *sslctlv1.Job { return nil }, 1, []string{"makes a new job", "needs       1 to 8 workers", "w1      yes      free: rank 0", "w2      no       cordoned"}},
		{"the same", func(yaml []byte) *sslctlv1.Job {
			return &sslctlv1.Job{Uid: "7", State: sslctlv1.JobState_JOB_STATE_RUNNING, SpecYaml: yaml, Members: []*sslctlv1.Member{{WorkerId: "w9"}}}
		}, 0, []string{"changes nothing: uid 7 is running and the same", "w9"}},
		{"another", func(yaml []byte) *sslctlv1.Job {
			return &sslctlv1.Job{Uid: "7", State: sslctlv1.JobState_JOB_STATE_PAUSED, SpecYaml: []byte(strings.Replace(string(yaml), "epochs: 4", "epochs: 2", 1))}
		}, 1, []string{"\nsubmitting  would be refused: uid 7 of this name is paused and differs", "\nFIELD                 IN THE CLUSTER  IN THE FILE\nspec.training.epochs  2               4\n\nsamples     "}},
		{"ended", func(yaml []byte) *sslctlv1.Job {
			return &sslctlv1.Job{Uid: "7", State: sslctlv1.JobState_JOB_STATE_COMPLETED, SpecYaml: yaml}
		}, 1, []string{"makes a new run; the last of this name, uid 7, is completed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := serve(t, &scripted{preview: func(r *sslctlv1.PreviewRequest) (*sslctlv1.PreviewResponse, error) {
				p := &sslctlv1.PreviewResponse{Existing: test.existing(r.SpecYaml)}
				if p.Existing == nil || ended(p.Existing.State) {
					p.Needs, p.Members = "1 to 8 workers", []*sslctlv1.Member{{WorkerId: "w1"}}
					p.Workers = []*sslctlv1.Verdict{{WorkerId: "w1", TakesPart: true, Can: true, Why: "free: rank 0"}, {WorkerId: "w2", Why: "cordoned"}}
				}
				return p, nil
			}})
			code, stdout, stderr := sslctl(file, "plan", "-", "--addr", addr, "--probe=false", "--set", "spec.model.image={height: 8, width: 8, channels: 1}", "--set", "spec.training.globalBatch=16", "--set", "spec.training.epochs=4")
			if code != test.code || stderr != "" {
				t.Errorf("exit code %d, want %d; stderr %q", code, test.code, stderr)
			}
			for _, text := range test.want {
				if !strings.Contains(stdout, text) {
					t.Errorf("%q is missing in\n%s", text, stdout)
				}
			}
		})
	}
}
