package main

import (
	"fmt"
	"io"
	"strings"

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
	ID      string `json:"id"`
	Address string `json:"address"`
	Leader  bool   `json:"leader"`
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
		r.Coordinators = append(r.Coordinators, coordinatorReport{n.Id, n.Address, n.Leader})
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
		role := "follower"
		if n.Leader {
			role = "leader"
		}
		rows = append(rows, []string{n.Id, n.Address, role})
	}
	columns(w, rows)
	fmt.Fprintln(w)
	workerTable(w, c.Workers, wide)
	fmt.Fprintln(w)
	jobTable(w, jobs, wide)
}

func workerTable(w io.Writer, workers []*sslctlv1.Worker, wide bool) {
	head := []string{"WORKER", "STATE", "JOB", "HOST", "CORES", "SEEN"}
	if wide {
		head = append(head, "NUMERICS", "VERSION", "LABELS", "INCARNATION")
	}
	rows := [][]string{head}
	for _, x := range workers {
		row := []string{x.Id, x.State, x.JobUid, x.Host, fmt.Sprint(x.Cores), fmt.Sprintf("%d ms ago", x.LastSeenMsAgo)}
		if wide {
			var labels []string
			for _, k := range sortedKeys(x.Labels) {
				labels = append(labels, k+"="+x.Labels[k])
			}
			row = append(row, strings.Join(x.Numerics, ","), x.Version, strings.Join(labels, ","), fmt.Sprint(x.Incarnation))
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}
