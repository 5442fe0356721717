package telemetry

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

// everything is a registry with all metrics of all processes, each with at least one series.
func everything(t *testing.T) (*prometheus.Registry, *WorkerMetrics) {
	t.Helper()
	reg, err := NewRegistry("v1")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWorkerMetrics(reg, "w1")
	if err != nil {
		t.Fatal(err)
	}
	w.Job("7", "mnist")
	c, err := NewCoordinatorMetrics(reg, "c1", func(report Report) {
		for _, d := range slices.Concat(coordinatorDefinitions[:8], leaderDefinitions) {
			report(d, 1, make([]string, len(d.labelNames()))...)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.RequestSeconds.WithLabelValues("JobService/Submit", "ok").Observe(1)
	c.Events.WithLabelValues("Submitted").Inc()
	return reg, w
}

// gather returns the metrics of ours by name.
func gather(t *testing.T, reg prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]*dto.MetricFamily{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "sslctl_") {
			ours[f.GetName()] = f
		}
	}
	return ours
}

func TestWhatIsDefinedIsCollected(t *testing.T) {
	reg, _ := everything(t)
	got := gather(t, reg)
	for _, d := range Definitions() {
		f := got[d.Name]
		if f == nil {
			t.Errorf("%s is defined and not collected", d.Name)
			continue
		}
		delete(got, d.Name)
		if kind := strings.ToLower(f.GetType().String()); kind != string(d.Kind) || f.GetHelp() != d.Help {
			t.Errorf("%s is a %s (%q), defined as a %s (%q)", d.Name, kind, f.GetHelp(), d.Kind, d.Help)
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		want := slices.Sorted(slices.Values(slices.Concat(d.Process.Labels, d.Labels)))
		if !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %v, defined are %v", d.Name, labels, want)
		}
		if d.Unit != "" && !strings.Contains(d.Name, "_"+d.Unit) {
			t.Errorf("%s does not name its unit, %s", d.Name, d.Unit)
		}
		if len(d.Buckets) > 0 != (d.Kind == Histogram) {
			t.Errorf("%s is a %s with %d buckets", d.Name, d.Kind, len(d.Buckets))
		}
	}
	if len(got) > 0 {
		t.Errorf("collected and not defined: %v", slices.Collect(maps.Keys(got)))
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	reg, _ := everything(t)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sslctl_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestSeriesOfAJobThatIsLeftDisappear(t *testing.T) {
	reg, w := everything(t)
	count := func(uid string) int {
		n := 0
		for _, f := range gather(t, reg) {
			for _, m := range f.Metric {
				for _, l := range m.Label {
					if l.GetName() == "job_uid" && l.GetValue() == uid {
						n++
					}
				}
			}
		}
		return n
	}
	w.Job("7", "mnist").Steps.Inc()
	w.Job("7", "mnist").Steps.Inc() // another generation
	if got := testutil.ToFloat64(w.Job("7", "mnist").Steps); got != 2 {
		t.Errorf("2 steps in two generations count as %v", got)
	}
	w.Job("9", "mnist")
	if count("7") != 0 || count("9") == 0 {
		t.Errorf("of the job left there are %d series, of the new one %d", count("7"), count("9"))
	}
	w.Leave()
	w.Leave()
	if n := count("9"); n != 0 {
		t.Errorf("an idle worker has %d series of a job", n)
	}
}

func TestTwoWorkersShareARegistry(t *testing.T) {
	reg, _ := everything(t)
	if _, err := NewWorkerMetrics(reg, "w2"); err != nil {
		t.Fatal(err)
	}
	if got := len(gather(t, reg)["sslctl_worker_registered"].Metric); got != 2 {
		t.Errorf("%d workers are shown, expected 2", got)
	}
	if _, err := NewWorkerMetrics(reg, "w2"); err == nil || !strings.Contains(err.Error(), "register metrics") {
		t.Errorf("two workers of one id: %v", err)
	}
}
