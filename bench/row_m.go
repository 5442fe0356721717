package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// definitionsFolder has the definitions in float64 and the list of who compares what.
const definitionsFolder = "test/fixtures"

// fixtures is row m: how many of the fixtures that PyTorch computed in float64 are missed, by the product by more than 1e-5 of the largest value or by the references
// in float64 by more than 1e-12. The tests say so.
func (b *bench) fixtures(ctx context.Context) ([]figure, error) {
	data, err := os.ReadFile(filepath.Join(b.root, definitionsFolder, "compared.json"))
	if err != nil {
		return nil, fmt.Errorf("read the list of fixtures: %w", err)
	}
	var compared map[string]map[string]string
	if err := json.Unmarshal(data, &compared); err != nil {
		return nil, fmt.Errorf("read the list of fixtures: %w", err)
	}
	passed, err := b.passed(ctx, slices.Sorted(maps.Keys(compared)))
	if err != nil {
		return nil, err
	}
	total, missed := 0, []string{}
	for folder, tests := range compared {
		for name, test := range tests {
			total++
			if !passed[folder+" "+test] {
				missed = append(missed, name)
			}
		}
	}
	f := figure{ID: "m", Work: fmt.Sprintf("comparisons with fixtures: %d", total), Ours: float64(len(missed)), Unit: "missed", bar: absoluteBar(0)}
	if slices.Sort(missed); len(missed) > 0 {
		f.Work += ", missed: " + strings.Join(missed, " ")
	}
	return []figure{f}, nil
}

// passed runs the tests against PyTorch and the definitions, and tells which have passed, as "folder test".
func (b *bench) passed(ctx context.Context, folders []string) (map[string]bool, error) {
	arguments := []string{"test", "-count=1", "-json"}
	for _, folder := range append(folders, definitionsFolder) {
		arguments = append(arguments, "./"+folder)
	}
	cmd := exec.CommandContext(ctx, "go", append(arguments, "-run", "PyTorch|Fixture|AffineGrid|Definitions")...)
	cmd.Dir, cmd.Stderr = b.root, os.Stderr
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		return nil, fmt.Errorf("run the tests against fixtures: %w", err)
	}
	return passedIn(out), nil
}

// passedIn reads what `go test -json` printed. The definitions hold all fixtures at once: where they fail, nothing has passed.
func passedIn(out []byte) map[string]bool {
	passed := map[string]bool{}
	for line := range bytes.Lines(out) {
		var event struct{ Action, Package, Test string }
		if json.Unmarshal(line, &event) != nil || event.Action != "pass" && event.Action != "fail" {
			continue
		}
		_, folder, _ := strings.Cut(event.Package, "sslctl/sslctl/")
		if folder == definitionsFolder && event.Action == "fail" {
			return nil
		}
		passed[folder+" "+event.Test] = event.Action == "pass"
	}
	return passed
}
