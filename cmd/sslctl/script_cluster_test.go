package main

import (
	"bytes"
	"context"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sslctl/sslctl/coordinator"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/proto/sslctl/v1alpha1/sslctlv1connect"
)

// scriptDetectWithin is far longer than a script takes, so that the workers of runCluster need no heartbeats.
const scriptDetectWithin = 2 * time.Minute

// runCluster is "cluster worker[:key=value] …": a coordinator runs until the script ends, SSLCTL_ADDR names it, and workers are registered
// that do nothing.
func runCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: cluster [worker[:key=value] …]")
	}
	n, err := coordinator.Start(coordinator.Config{
		ID: "a", Listen: "127.0.0.1:0", DataDir: ts.MkAbs("coordinator"), DetectWithin: scriptDetectWithin, Cluster: "script",
		NATSURLs: func() []string { return []string{"nats://127.0.0.1:4222"} },
	})
	ts.Check(err)
	ts.Defer(func() { ts.Check(n.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), scriptDetectWithin)
	defer cancel()
	ts.Check(n.WaitLeader(ctx))
	ts.Setenv("SSLCTL_ADDR", n.Address())
	workers := sslctlv1connect.NewWorkerServiceClient(http.DefaultClient, "http://"+n.Address())
	for _, arg := range args {
		id, label, labelled := strings.Cut(arg, ":")
		r := &sslctlv1.RegisterRequest{WorkerId: id, Incarnation: 1, Numerics: []string{"portable/1"}, Cores: 2, Host: "here", Version: "v0"}
		if key, value, _ := strings.Cut(label, "="); labelled {
			r.Labels = map[string]string{key: value}
		}
		_, err := workers.Register(ctx, connect.NewRequest(r))
		ts.Check(err)
	}
}

// runUntil is "await pattern command …": the command is repeated until a line of what it prints matches.
func runUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await pattern command [argument …]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	var out []byte
	for deadline := time.Now().Add(scriptDetectWithin); !pattern.Match(out); {
		if time.Now().After(deadline) {
			ts.Fatalf("%q never printed %s, but %s", args[1:], args[0], out)
		}
		cmd := exec.Command(path, args[2:]...)
		cmd.Env = append(cmd.Environ(), "SSLCTL_ADDR="+ts.Getenv("SSLCTL_ADDR"))
		out, _ = cmd.CombinedOutput()
		out = bytes.TrimSpace(out)
	}
}
