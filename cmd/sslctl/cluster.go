package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// clusterReport is the cluster as -o json and -o yaml show it.
type clusterReport struct {
	Cluster      string              `json:"cluster"`
	Leader       string              `json:"leader"`
	Version      string              `json:"version"`
	Term         uint64              `json:"term"`
	AppliedIndex uint64              `json:"appliedIndex"`
	NATS         []string            `json:"nats"`
	Coordinators []coordinatorReport `json:"coordinators"`
	Workers      []workerReport      `json:"workers"`
	Jobs         []jobReport         `json:"jobs"`
}

type coordinatorReport struct {
	ID            string `json:"id"`
	Address       string `json:"address"`
	Leader        bool   `json:"leader"`
	State         string `json:"state"`
	LastSeenMsAgo int64  `json:"lastSeenMsAgo"`
}

type workerReport struct {
	ID            string            `json:"id"`
	Incarnation   uint64            `json:"incarnation"`
	Host          string            `json:"host"`
	Version       string            `json:"version"`
	Numerics      []string          `json:"numerics"`
	Labels        map[string]string `json:"labels,omitempty"`
	Cores         int32             `json:"cores"`
	State         string            `json:"state"`
	JobUID        string            `json:"jobUid,omitempty"`
	LastSeenMsAgo int64             `json:"lastSeenMsAgo"`
}

func reportCluster(c *sslctlv1.GetClusterResponse, jobs []*sslctlv1.Job) clusterReport {
	r := clusterReport{
		Cluster: c.Cluster, Leader: c.LeaderId, Version: c.Version, Term: c.Term, AppliedIndex: c.AppliedIndex, NATS: c.NatsUrls,
		Coordinators: []coordinatorReport{}, Workers: []workerReport{}, Jobs: []jobReport{},
	}
	for _, n := range c.Coordinators {
		r.Coordinators = append(r.Coordinators, coordinatorReport{n.Id, n.Address, n.Leader, n.State, n.LastSeenMsAgo})
	}
	for _, w := range c.Workers {
		r.Workers = append(r.Workers, workerReport{w.Id, w.Incarnation, w.Host, w.Version, w.Numerics, w.Labels, w.Cores, w.State, w.JobUid, w.LastSeenMsAgo})
	}
	for _, j := range jobs {
		r.Jobs = append(r.Jobs, reportJob(j))
	}
	return r
}

func clusterTable(w io.Writer, c *sslctlv1.GetClusterResponse, jobs []*sslctlv1.Job, wide bool) {
	rows := [][]string{{"COORDINATOR", "ADDRESS", "ROLE"}}
	for _, n := range c.Coordinators {
		role := n.State
		if n.LastSeenMsAgo > 0 {
			role = fmt.Sprintf("%s, seen %s", n.State, agoText(n.LastSeenMsAgo))
		}
		rows = append(rows, []string{n.Id, n.Address, role})
	}
	columns(w, rows)
	fmt.Fprintln(w)
	names := map[string]string{}
	for _, j := range jobs {
		names[j.Uid] = j.Name
	}
	workerTable(w, c.Workers, names, wide)
	fmt.Fprintln(w)
	jobTable(w, jobs, wide)
}

// workerTable lists workers; names are those of the jobs, by UID.
func workerTable(w io.Writer, workers []*sslctlv1.Worker, names map[string]string, wide bool) {
	head := []string{"WORKER", "STATE", "JOB", "HOST", "CORES", "SEEN"}
	if wide {
		head = append(head, "NUMERICS", "VERSION", "LABELS", "INCARNATION")
	}
	rows := [][]string{head}
	for _, x := range workers {
		row := []string{x.Id, x.State, cmp.Or(names[x.JobUid], x.JobUid), x.Host, fmt.Sprint(x.Cores), agoText(x.LastSeenMsAgo)}
		if wide {
			row = append(row, strings.Join(x.Numerics, ","), x.Version, pairsText(x.Labels), fmt.Sprint(x.Incarnation))
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}

// agoText is how long ago something was: "106 ms ago", "4.2 s ago", "3m05s ago".
func agoText(ms int64) string {
	switch {
	case ms < 1000:
		return fmt.Sprintf("%d ms ago", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.1f s ago", float64(ms)/1000)
	}
	return durationText(time.Duration(ms)*time.Millisecond) + " ago"
}
