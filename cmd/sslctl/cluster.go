package main

import (
	"fmt"
	"io"
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

func reportCluster(c *sslctlv1.GetClusterResponse, jobs []*sslctlv1.Job) clusterReport {
	r := clusterReport{
		Cluster: c.Cluster, Leader: c.LeaderId, Version: c.Version, Term: c.Term, AppliedIndex: c.AppliedIndex, NATS: c.NatsUrls,
		Coordinators: []coordinatorReport{}, Workers: reportWorkers(c.Workers), Jobs: []jobReport{},
	}
	for _, n := range c.Coordinators {
		r.Coordinators = append(r.Coordinators, coordinatorReport{n.Id, n.Address, n.Leader, n.State, n.LastSeenMsAgo})
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
	workerTable(w, c.Workers, wide)
	fmt.Fprintln(w)
	jobTable(w, jobs, wide)
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
