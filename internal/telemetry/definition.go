package telemetry

//go:generate go run ./gen -out ../../docs/metrics.md

import (
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is the Prometheus type of a metric.
type Kind string

const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Process says who shows a metric, and which labels all of that process's series carry.
type Process struct {
	Name   string
	Labels []string
}

var (
	everyProcess = Process{Name: "every process"}
	workers      = Process{"worker", []string{"worker"}}
	workersOfJob = Process{"worker, while it takes part in the job", []string{"worker", "job_uid", "job_name"}}
	coordinators = Process{"coordinator", []string{"coordinator"}}
	leader       = Process{"coordinator, while it leads", []string{"coordinator"}}
	leaderOfJob  = Process{"coordinator, while it leads and the job has not ended", []string{"coordinator", "job_uid", "job_name"}}
)

// Definition is everything there is to say about one metric. What is collected and docs/metrics.md are both made from it.
type Definition struct {
	Name    string
	Kind    Kind
	Unit    string   // seconds, bytes, or empty for a plain number
	Labels  []string // beside those of the Process
	Help    string
	Process Process
	Buckets []float64 // of a histogram
}

// Definitions lists all metrics, sorted by name.
func Definitions() []Definition {
	all := slices.Concat(processDefinitions, workerDefinitions, jobDefinitions, coordinatorDefinitions, leaderDefinitions)
	slices.SortFunc(all, func(a, b Definition) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return all
}

// labelNames are the labels that the collectors below have; the process's first label is put on by the Registerer, for all alike.
func (d Definition) labelNames() []string {
	if len(d.Process.Labels) == 0 {
		return d.Labels
	}
	return slices.Concat(d.Process.Labels[1:], d.Labels)
}

func (d Definition) desc() *prometheus.Desc {
	return prometheus.NewDesc(d.Name, d.Help, d.labelNames(), nil)
}

func (d Definition) counters() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.labelNames())
}

func (d Definition) gauges() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.labelNames())
}

func (d Definition) histograms() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.Buckets}, d.labelNames())
}

// register adds all collectors, or says which one cannot be added.
func register(reg prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// readings is a collector of values that are read when Prometheus asks for them, so that no series outlives what it is about.
type readings struct {
	descs map[string]*prometheus.Desc // by name
	kinds map[string]prometheus.ValueType
	read  func(report Report)
}

// Report takes one value of the metric d. labels are those of the definition in its order: the process's from the second on, then its own.
type Report func(d Definition, value float64, labels ...string)

func newReadings(definitions []Definition, read func(report Report)) *readings {
	r := &readings{descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{}, read: read}
	for _, d := range definitions {
		r.descs[d.Name], r.kinds[d.Name] = d.desc(), prometheus.GaugeValue
		if d.Kind == Counter {
			r.kinds[d.Name] = prometheus.CounterValue
		}
	}
	return r
}

// Describe is part of prometheus.Collector.
func (r *readings) Describe(out chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		out <- d
	}
}

// Collect is part of prometheus.Collector.
func (r *readings) Collect(out chan<- prometheus.Metric) {
	r.read(func(d Definition, value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(r.descs[d.Name], r.kinds[d.Name], value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(r.descs[d.Name], err)
		}
		out <- m
	})
}
