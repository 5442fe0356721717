package telemetry

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

var buildInfo = Definition{
	Name: "sslctl_build_info", Kind: Gauge, Labels: []string{"version", "go_version"}, Process: everyProcess,
	Help: "Always 1. The labels tell what runs.",
}

var processDefinitions = []Definition{buildInfo}

// NewRegistry makes the registry of a process: what the Go runtime and the operating system tell of it, and which build it is. Workers
// and coordinators of the process add their own.
func NewRegistry(version string) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	build := buildInfo.gauges()
	build.WithLabelValues(version, runtime.Version()).Set(1)
	err := register(reg, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err != nil {
		return nil, err
	}
	return reg, nil
}
