package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// fresh are the figures that need a process of their own, in bytes.
var fresh = map[string]func() (float64, error){
	"memory-resnet18": func() (float64, error) { return memoryOfSteps("resnet18") },
	"scratch-infonce": func() (float64, error) { return scratch(infoNCEStep(newInfoNCE())), nil },
	"scratch-ntxent":  func() (float64, error) { return scratch(ntXentStep()), nil },
}

func alone() []string { return slices.Sorted(maps.Keys(fresh)) }

// runAlone measures one of fresh in this process and prints it.
func runAlone(name string) error {
	measure, ok := fresh[name]
	if !ok {
		return fmt.Errorf("there is nothing named %q; expected one of %s", name, strings.Join(alone(), ", "))
	}
	value, err := measure()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.NewEncoder(os.Stdout).Encode(value)
}

// inFreshProcess measures one of fresh in a process that has done nothing before.
func (b *bench) inFreshProcess(ctx context.Context, name string) (value float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, self, "-only", name)
	cmd.Stderr = os.Stderr
	return decode(cmd, name)
}

// peerInFreshProcess runs one of bench/peers, which prints one number.
func (b *bench) peerInFreshProcess(ctx context.Context, script string, arguments ...string) (float64, error) {
	return decode(b.python(ctx, script, arguments...), script)
}

func decode(cmd *exec.Cmd, what string) (value float64, err error) {
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", what, err)
	}
	if err := json.Unmarshal(out, &value); err != nil {
		return 0, fmt.Errorf("measure %s: it printed %q, expected one number: %w", what, bytes.TrimSpace(out), err)
	}
	return value, nil
}

// scratch is the number of bytes that the first call allocates, freed or not: never less than it holds at once.
func scratch(call func()) float64 {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// resident reads a size of this process in bytes from /proc/self/status: VmRSS now, VmHWM at its highest.
func resident(field string) (float64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", field, err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == field+":" {
			kilobytes, err := strconv.ParseFloat(words[1], 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", field, err)
			}
			return 1024 * kilobytes, nil
		}
	}
	return 0, fmt.Errorf("read %s: /proc/self/status does not have it", field)
}
