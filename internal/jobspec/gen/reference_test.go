package main

import (
	"bytes"
	"os"
	"testing"
)

func TestReferenceIsFresh(t *testing.T) {
	want, err := Reference("../job.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/job.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("docs/job.md is stale: run go generate ./internal/jobspec")
	}
}
