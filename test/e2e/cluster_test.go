package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// cluster is coordinators and workers as processes of their own.
type cluster struct {
	t            testing.TB
	dir          string
	environment  []string
	addresses    []string
	nats, routes []string
	coordinators []*process
	workers      []*process
}

// newCluster starts some coordinators, with embedded NATS servers, and workers.
func newCluster(t testing.TB, coordinators, workers int, environment ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	for range coordinators {
		c.addresses = append(c.addresses, freeAddress(t))
		c.nats = append(c.nats, freeAddress(t))
		c.routes = append(c.routes, freeAddress(t))
		c.coordinators = append(c.coordinators, nil)
	}
	c.environment = append(environment, "SSLCTL_ADDR="+strings.Join(c.addresses, ","))
	for i := range coordinators {
		c.startCoordinator(i)
	}
	for i := range workers {
		c.startWorker(i)
	}
	return c
}

func (c *cluster) startCoordinator(i int) {
	c.t.Helper()
	var peers, routes []string
	for j, a := range c.addresses {
		peers = append(peers, fmt.Sprintf("c%d=%s", j, a))
		if j != i {
			routes = append(routes, "nats://"+c.routes[j])
		}
	}
	arguments := []string{"coordinator", "--id", fmt.Sprintf("c%d", i), "--listen", c.addresses[i], "--data-dir", fmt.Sprintf("%s/c%d", c.dir, i), "--nats-listen", c.nats[i]}
	if len(c.addresses) > 1 {
		arguments = append(arguments, "--peers", strings.Join(peers, ","), "--nats-cluster-listen", c.routes[i], "--nats-routes", strings.Join(routes, ","))
	}
	c.coordinators[i] = start(c.t, fmt.Sprintf("coordinator c%d", i), c.dir, c.environment, sslctlBinary(c.t), arguments...)
}

func (c *cluster) startWorker(i int) {
	c.t.Helper()
	name := fmt.Sprintf("w%d", i)
	p := start(c.t, "worker "+name, c.dir, c.environment, sslctlBinary(c.t), "worker", "--id", name)
	for len(c.workers) <= i {
		c.workers = append(c.workers, nil)
	}
	c.workers[i] = p
}

// killAll is the loss of every process at once.
func (c *cluster) killAll() {
	for _, p := range append(append([]*process{}, c.coordinators...), c.workers...) {
		p.kill()
	}
}

// sslctl runs a command against this cluster.
func (c *cluster) sslctl(arguments ...string) output {
	c.t.Helper()
	return succeed(c.t, c.dir, c.environment, arguments...)
}

// status is `sslctl status JOB -o json`. While no leader is known it is the zero result.
func (c *cluster) status(job string) result {
	c.t.Helper()
	o := sslctl(c.t, c.dir, c.environment, "status", job, "-o", "json")
	if o.code != 0 {
		return result{Reason: o.stderr}
	}
	return parse(c.t, o)
}

// await polls the job's status until it is as wanted, and fails at once when the job has failed.
func (c *cluster) await(job, what string, wanted func(result) bool) result {
	c.t.Helper()
	var last result
	eventually(c.t, "wait until job "+job+" "+what, func() string {
		last = c.status(job)
		if wanted(last) {
			return ""
		}
		if last.State == "failed" {
			c.t.Fatalf("job %s has failed: %s", job, last.Reason)
		}
		return fmt.Sprintf("%+v", last)
	})
	return last
}

// leader is the number of the coordinator that leads.
func (c *cluster) leader() int {
	c.t.Helper()
	found := -1
	eventually(c.t, "find the leader", func() string {
		o := sslctl(c.t, c.dir, c.environment, "status", "-o", "json")
		var status struct {
			Leader       string
			Coordinators []struct {
				ID     string
				Leader bool
			}
		}
		if err := json.Unmarshal([]byte(o.stdout), &status); err != nil {
			return err.Error() + o.stderr
		}
		for _, n := range status.Coordinators {
			if n.Leader {
				fmt.Sscanf(n.ID, "c%d", &found)
			}
		}
		if found < 0 {
			return "no leader in " + o.stdout
		}
		return ""
	})
	return found
}

// awaitWorkers waits until n workers are registered and alive.
func (c *cluster) awaitWorkers(n int) {
	c.t.Helper()
	eventually(c.t, "wait for the workers", func() string {
		o := sslctl(c.t, c.dir, c.environment, "status", "-o", "json")
		var status struct{ Workers []struct{ ID, State string } }
		if err := json.Unmarshal([]byte(o.stdout), &status); err != nil {
			return err.Error() + o.stderr
		}
		free := 0
		for _, w := range status.Workers {
			if w.State == "free" {
				free++
			}
		}
		if free < n {
			return fmt.Sprintf("%d of %d are free: %s", free, n, o.stdout)
		}
		return ""
	})
}
