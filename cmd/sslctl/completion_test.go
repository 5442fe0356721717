package main

import (
	"testing"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// A shell is offered the names of jobs once each, where a job is asked for and nowhere else.
func TestCompletionOfJobs(t *testing.T) {
	addr := serve(t, &scripted{list: func() ([]*sslctlv1.Job, error) {
		old := completed()
		return []*sslctlv1.Job{old, {Name: "other", Uid: "8"}, running(3)}, nil
	}})
	t.Setenv("SSLCTL_ADDR", addr)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"status", ""}, "small\trunning\nother\tunspecified\n:4\n"},
		{[]string{"export", "small", ""}, ":0\n"},
		{[]string{"submit", ""}, ":0\n"},
	} {
		code, stdout, _ := sslctl("", append([]string{"__complete"}, test.args...)...)
		if code != 0 || stdout != test.want {
			t.Errorf("%v: exit code %d, %q; want %q", test.args, code, stdout, test.want)
		}
	}
}
