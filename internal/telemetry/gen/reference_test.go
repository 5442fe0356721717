package main

import (
	"bytes"
	"os"
	"testing"
)

func TestReferenceIsFresh(t *testing.T) {
	got, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Reference()) {
		t.Fatal("docs/metrics.md is stale: run go generate ./internal/telemetry")
	}
}
