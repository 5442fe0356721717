package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/worker"
	"go.yaml.in/yaml/v3"
)

// What submitting would do.
const (
	planOffline  = "unknown"  // nobody was asked
	planCreate   = "create"   // a job of this name, or another run of it
	planNone     = "none"     // the job is there, as it is in the file
	planConflict = "conflict" // one of its name is there that differs: submitting would be refused
)

// planReport is a plan as -o json and -o yaml show it.
type planReport struct {
	Job         string           `json:"job"`
	Action      string           `json:"action"` // create, none, conflict; unknown with --offline
	UID         string           `json:"uid,omitempty"`
	State       string           `json:"state,omitempty"` // of the newest job of the name
	Differences []difference     `json:"differences,omitempty"`
	Placement   *placementReport `json:"placement,omitempty"`
	Workers     int              `json:"workers"` // that the estimate is for
	Estimate    *worker.Estimate `json:"estimate"`
	Seconds     number           `json:"seconds,omitempty"` // that all steps take, computing alone
	Machine     *machineReport   `json:"machine,omitempty"` // where the probe ran

	members []*sslctlv1.Member
}

type placementReport struct {
	Needs   string          `json:"needs"`
	Waits   string          `json:"waits,omitempty"`
	Workers []verdictReport `json:"workers"`
}

type machineReport struct {
	Host     string `json:"host"`
	Cores    int    `json:"cores"`
	Numerics string `json:"numerics"`
}

// difference is a field that a job in the cluster has otherwise; empty where one of the two has none.
type difference struct {
	Field   string `json:"field"`
	Cluster string `json:"cluster"`
	File    string `json:"file"`
}

// differences compares two job files field by field.
func differences(cluster, file []byte) ([]difference, error) {
	old, err := fields(cluster)
	if err != nil {
		return nil, err
	}
	now, err := fields(file)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(old)
	maps.Copy(all, now)
	var list []difference
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if old[field] != now[field] {
			list = append(list, difference{field, old[field], now[field]})
		}
	}
	return list, nil
}

// fields are the values of a YAML document by their paths.
func fields(text []byte) (map[string]string, error) {
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("reading the job file: %w", err)
	}
	out := map[string]string{}
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case map[string]any:
			for name, child := range node {
				walk(strings.TrimPrefix(path+"."+name, "."), child)
			}
		case []any:
			for i, child := range node {
				walk(path+"["+strconv.Itoa(i)+"]", child)
			}
		default:
			out[path] = fmt.Sprint(node)
		}
	}
	walk("", tree)
	return out, nil
}

// table writes the plan for people.
func (r planReport) table(w io.Writer, wide bool) {
	rows := [][]string{{"job", r.Job}, {"submitting", r.consequence()}}
	if p := r.Placement; p != nil {
		rows = append(rows, []string{"needs", p.Needs})
		if p.Waits != "" {
			rows = append(rows, []string{"would wait", p.Waits})
		}
	}
	columns(w, rows)
	if len(r.Differences) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"FIELD", "IN THE CLUSTER", "IN THE FILE"}}
		for _, d := range r.Differences {
			rows = append(rows, []string{d.Field, d.Cluster, d.File})
		}
		columns(w, rows)
	}
	if p := r.Placement; p != nil && len(p.Workers) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"WORKER", "GETS IT", "WHY"}}
		for _, v := range p.Workers {
			gets := "no"
			if v.TakesPart {
				gets = "yes"
			}
			rows = append(rows, []string{v.Worker, gets, v.Why})
		}
		columns(w, rows)
	}
	fmt.Fprintln(w)
	r.estimate(w)
	fmt.Fprintln(w)
	r.ranks(w)
}

// consequence is what submitting would do, in words.
func (r planReport) consequence() string {
	switch {
	case r.Action == planOffline:
		return "not compared (--offline)"
	case r.Action == planNone:
		return fmt.Sprintf("changes nothing: uid %s is %s and the same", r.UID, r.State)
	case r.Action == planConflict:
		return fmt.Sprintf("would be refused: uid %s of this name is %s and differs; cancel it, or choose another metadata.name", r.UID, r.State)
	case r.UID != "":
		return fmt.Sprintf("makes a new run; the last of this name, uid %s, is %s", r.UID, r.State)
	}
	return "makes a new job"
}

// estimate writes what all workers need together.
func (r planReport) estimate(w io.Writer) {
	e := r.Estimate
	read := fmt.Sprintf("%s an epoch, %s in all: %s to index", bytesText(e.Read.Epoch), bytesText(e.Read.Total), bytesText(e.Read.Index))
	for _, part := range []struct {
		bytes uint64
		what  string
	}{{e.Read.Initial, "to fill the bank"}, {e.Read.Training, "to train"}, {e.Read.Evaluation, "to evaluate"}} {
		if part.bytes > 0 {
			read += fmt.Sprintf(", %s %s", bytesText(part.bytes), part.what)
		}
	}
	rows := [][]string{
		{"samples", fmt.Sprintf("%d an epoch; the last %d of the stream fill no batch", e.SamplesPerEpoch, e.SamplesUnused)},
		{"steps", fmt.Sprint(e.Steps)},
		{"parameters", fmt.Sprint(e.Parameters)},
		{"reads", read},
		{"checkpoint", bytesText(e.CheckpointBytes)},
	}
	if p := e.Probe; p != nil {
		rows[len(rows)-1][1] += fmt.Sprintf(", %d of them in the run", e.Checkpoints)
		rows = append(rows,
			[]string{"takes", fmt.Sprintf("%s: %.3f s a step, %.3f s of it for samples; exchange over the network comes on top", r.duration(), p.StepSeconds, p.DataSeconds)},
			[]string{"memory", fmt.Sprintf("%s for the process of the largest worker", bytesText(p.MemoryBytes))},
			[]string{"measured", fmt.Sprintf("%d steps on %s, %d cores, %s", p.Steps, r.Machine.Host, r.Machine.Cores, r.Machine.Numerics)},
		)
	}
	if e.Efficiency < 1 {
		rows = append(rows, []string{"uneven", fmt.Sprintf("workers have unequal shares of the virtual ranks: %.0f %% of their time is waiting for the largest", 100*(1-e.Efficiency))})
	}
	columns(w, rows)
}

// ranks writes the part of each worker.
func (r planReport) ranks(w io.Writer) {
	head := []string{"RANK", "WORKER", "VIRTUAL RANKS", "SAMPLES/STEP", "READS/EPOCH", "BANK", "STATE"}
	probed := r.Estimate.Probe != nil
	if probed {
		head = append(head, "RING/STEP", "RING IN ALL")
	}
	rows := [][]string{head}
	for i, x := range r.Estimate.Workers {
		name := ""
		if len(r.members) == len(r.Estimate.Workers) {
			name = r.members[i].WorkerId
		}
		row := []string{fmt.Sprint(i), name, rangeText(uint32(x.VirtualRankLo), uint32(x.VirtualRankHi)), fmt.Sprint(x.SamplesPerStep),
			bytesText(x.EpochBytes), bytesText(x.BankBytes), bytesText(x.StateBytes)}
		if probed {
			row = append(row, bytesText(x.RingBytesPerStep), bytesText(x.RingBytes))
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}
