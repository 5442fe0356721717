package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	demoBatch     = 256
	demoWarm      = 20 // steps before the measured ones: more than either side holds ready
	demoSteps     = 60
	demoRounds    = 3
	demoEpochs    = 100             // more than is measured
	demoWithin    = 2 * time.Minute // for a turn of ours
	pollAddress   = 100 * time.Millisecond
	pollSteps     = 10 * time.Millisecond
	addressInLog  = "serving metrics and health checks"
	stepsInMetric = "sslctl_job_steps_total"
)

// worker is row h: the demo job on one worker, from the shards to the update, in samples a second. Start-up, indexing and the first steps do not count.
func (b *bench) worker(ctx context.Context) ([]figure, error) {
	f := figure{ID: "h", Work: "demo job, one worker: read, transform, step", Unit: "samples/s", bar: ratioBar(1 / 1.2)}
	p, err := b.startPeer(ctx, "pipeline", map[string]any{"shards": filepath.Join(b.root, demoShards)})
	var absent missing
	switch {
	case errors.As(err, &absent):
		f.PeerName = absent.Error()
	case err != nil:
		return nil, err
	default:
		defer p.close()
		f.PeerName = p.Name
	}
	var ours, theirs []float64
	for range demoRounds {
		rate, err := b.demo(ctx)
		if err != nil {
			return nil, fmt.Errorf("run the demo job: %w", err)
		}
		ours = append(ours, rate)
		if p == nil {
			continue
		}
		seconds, err := p.run(demoSteps, demoWarm)
		if err != nil {
			return nil, err
		}
		total := 0.
		for _, s := range seconds {
			total += s
		}
		theirs = append(theirs, demoSteps*demoBatch/total)
	}
	f.Ours = median(ours)
	if p != nil {
		f.against(median(theirs), median(theirs)/f.Ours)
	}
	return []figure{f}, nil
}

// demoShards are the images that `make data` packs, below the root.
const demoShards = ".sslctl/data/fashion-train-*.tar"

// demo runs the example with `sslctl up` until enough steps are done, and returns samples a second.
func (b *bench) demo(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	dir, err := os.MkdirTemp("", "sslctl-bench-")
	if err != nil {
		return 0, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, filepath.Join(b.root, "bin", "sslctl"), "up", filepath.Join(b.root, "examples", "fashion-moco.yaml"),
		"--workers", "1", "--dir", dir, "--http-listen", "127.0.0.1:0", "--set", "spec.evaluate=null", "--set", fmt.Sprintf("spec.training.epochs=%d", demoEpochs),
		"--set", "spec.dataset.uri=file://"+filepath.Join(b.root, demoShards), "--set", "spec.checkpoint.uri=file://"+filepath.Join(dir, "checkpoints"))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start sslctl (make builds it): %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
		cancel()
	}()
	rate, err := rateOfJob(ctx, dir)
	cmd.Process.Kill()
	<-ended
	if err != nil {
		return 0, fmt.Errorf("%w; sslctl said:\n%s", err, said.String())
	}
	return rate, nil
}

// rateOfJob watches the counter of steps and returns samples a second between two of its increments.
func rateOfJob(ctx context.Context, dir string) (float64, error) {
	address, err := metricsAddress(ctx, dir)
	if err != nil {
		return 0, err
	}
	from, start, err := reached(ctx, address, demoWarm)
	if err != nil {
		return 0, err
	}
	to, end, err := reached(ctx, address, from+demoSteps)
	if err != nil {
		return 0, err
	}
	return (to - from) * demoBatch / end.Sub(start).Seconds(), nil
}

// metricsAddress waits for the log of the run below dir to tell where metrics are served.
func metricsAddress(ctx context.Context, dir string) (string, error) {
	for {
		logs, err := filepath.Glob(filepath.Join(dir, "run-*", "log"))
		if err != nil {
			return "", fmt.Errorf("look for the log: %w", err)
		}
		for _, path := range logs {
			data, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("read the log: %w", err)
			}
			for line := range strings.Lines(string(data)) {
				var entry struct{ Msg, On string }
				if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == addressInLog {
					return entry.On, nil
				}
			}
		}
		if err := wait(ctx, pollAddress); err != nil {
			return "", fmt.Errorf("wait for metrics: %w", err)
		}
	}
}

// reached waits until the counter has been seen to rise to at least steps, and returns it with the time.
func reached(ctx context.Context, address string, steps float64) (float64, time.Time, error) {
	before := -1.
	for {
		now, err := counter(ctx, address)
		if err != nil {
			return 0, time.Time{}, err
		}
		if before >= 0 && now > before && now >= steps {
			return now, time.Now(), nil
		}
		before = now
		pause := pollAddress
		if now >= steps-10 {
			pause = pollSteps
		}
		if err := wait(ctx, pause); err != nil {
			return 0, time.Time{}, fmt.Errorf("wait for step %v: %w", steps, err)
		}
	}
}

// counter reads how many steps the worker has done.
func counter(ctx context.Context, address string) (total float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	for line := range strings.Lines(string(body)) {
		if name, value, ok := cutMetric(line); ok && name == stepsInMetric {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("read metrics: %q: %w", line, err)
			}
			total += v
		}
	}
	return total, nil
}

// cutMetric takes a line of Prometheus' text format apart.
func cutMetric(line string) (name, value string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 || strings.HasPrefix(line, "#") {
		return "", "", false
	}
	name, _, _ = strings.Cut(fields[0], "{")
	return name, fields[len(fields)-1], true
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
