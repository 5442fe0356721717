package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

type workerReport struct {
	ID            string            `json:"id"`
	Incarnation   uint64            `json:"incarnation"`
	Host          string            `json:"host"`
	Version       string            `json:"version"`
	Numerics      []string          `json:"numerics"`
	Labels        map[string]string `json:"labels,omitempty"`
	Cores         int32             `json:"cores"`
	State         string            `json:"state"`
	Cordoned      bool              `json:"cordoned"`
	Job           string            `json:"job,omitempty"`
	JobUID        string            `json:"jobUid,omitempty"`
	Rank          *uint32           `json:"rank,omitempty"` // in that job
	WorkingForUID string            `json:"workingForUid,omitempty"`
	LastSeenMsAgo int64             `json:"lastSeenMsAgo"`
}

func reportWorker(w *sslctlv1.Worker) workerReport {
	r := workerReport{
		ID: w.Id, Incarnation: w.Incarnation, Host: w.Host, Version: w.Version, Numerics: w.Numerics, Labels: w.Labels, Cores: w.Cores,
		State: w.State, Cordoned: w.Cordoned, Job: w.JobName, JobUID: w.JobUid, WorkingForUID: w.WorkingForUid, LastSeenMsAgo: w.LastSeenMsAgo,
	}
	if w.JobUid != "" {
		r.Rank = &w.Rank
	}
	return r
}

func reportWorkers(workers []*sslctlv1.Worker) []workerReport {
	reports := make([]workerReport, len(workers))
	for i, w := range workers {
		reports[i] = reportWorker(w)
	}
	return reports
}

// workerTable lists workers.
func workerTable(w io.Writer, workers []*sslctlv1.Worker, wide bool) {
	head := []string{"WORKER", "STATE", "JOB", "RANK", "NUMERICS", "LABELS", "CORES", "HOST", "SEEN"}
	if wide {
		head = append(head, "VERSION", "INCARNATION")
	}
	rows := [][]string{head}
	for _, x := range workers {
		job, rank, seen := "", "", ""
		if x.JobUid != "" {
			job, rank = cmp.Or(x.JobName, x.JobUid), fmt.Sprint(x.Rank)
		}
		if x.Incarnation != 0 {
			seen = agoText(x.LastSeenMsAgo)
		}
		row := []string{x.Id, workerState(x), job, rank, strings.Join(x.Numerics, ","), pairsText(x.Labels), fmt.Sprint(x.Cores), x.Host, seen}
		if wide {
			row = append(row, x.Version, fmt.Sprint(x.Incarnation))
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}

// workerState is the state in words: "busy, cordoned".
func workerState(w *sslctlv1.Worker) string {
	switch w.State {
	case "cordoned", "draining", "drained":
		return w.State
	}
	if w.Cordoned {
		return w.State + ", cordoned"
	}
	return w.State
}
