package main

import (
	"regexp"
	"strings"
	"testing"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// A watched job is shown when it has changed, below the time.
func TestStatusWatchShowsChanges(t *testing.T) {
	asked := 0
	addr := serve(t, &scripted{get: func(*sslctlv1.GetRequest) (*sslctlv1.Job, error) {
		if asked++; asked < 3 {
			return running(12), nil
		}
		return completed(), nil
	}})
	code, stdout, stderr := sslctl("", "status", "small", "--watch", "--addr", addr)
	blocks := strings.Split(stdout, "\njob ")
	if code != 0 || stderr != "" || asked != 3 || len(blocks) != 3 {
		t.Fatalf("exit code %d, asked %d times, stderr %q, stdout\n%s", code, asked, stderr, stdout)
	}
	heading := regexp.MustCompile(`^\d\d:\d\d:\d\d UTC$`)
	if !heading.MatchString(blocks[0]) || !strings.Contains(blocks[1], "running") {
		t.Errorf("it begins with %q, %q", blocks[0], blocks[1])
	}
	if i := strings.LastIndex(blocks[1], "\n\n"); i < 0 || !heading.MatchString(blocks[1][i+2:]) {
		t.Errorf("no empty line and time between\n%s", stdout)
	}
}

// A table of jobs has a line for each, whatever they failed for; the whole reason is in -o wide.
func TestListShortensReasons(t *testing.T) {
	failed := completed()
	failed.State = sslctlv1.JobState_JOB_STATE_FAILED
	failed.Reason = "worker w1: store the checkpoint of step 60: put file:///data/a/small-7/step-60/replicated.safetensors: no space left; free some space below /data/a/small-7 or name another folder"
	addr := serve(t, &scripted{list: func() ([]*sslctlv1.Job, error) { return []*sslctlv1.Job{failed}, nil }})
	_, stdout, _ := sslctl("", "list", "--addr", addr)
	if !strings.HasSuffix(stdout, "  store the checkpoint of step 60: put …/replicated.safetensors: no space left; f…\n") {
		t.Errorf("list prints\n%s", stdout)
	}
	if _, stdout, _ = sslctl("", "list", "-o", "wide", "--addr", addr); !strings.HasSuffix(stdout, "  "+failed.Reason+"\n") {
		t.Errorf("list -o wide prints\n%s", stdout)
	}
}

func TestBrief(t *testing.T) {
	for reason, want := range map[string]string{
		"needs 2 workers with labels rack=4; 1 is free":                           "needs 2 workers with labels rack=4; 1 is free",
		"worker a: list s3://data/small/train- at http://127.0.0.1:9000: refused": "list …/train- at http://127.0.0.1:9000: refused",
		"worker a is lost: silent for more than 2 s":                              "worker a is lost: silent for more than 2 s",
		"opening \"/a/b.tar\": 1/2 of it":                                         "opening \"…/b.tar\": 1/2 of it",
	} {
		if got := brief(reason); got != want {
			t.Errorf("brief(%q) is %q, want %q", reason, got, want)
		}
	}
}
