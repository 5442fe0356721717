package telemetry

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rules is a rules file of Prometheus, as far as ours goes.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

var (
	metricName   = regexp.MustCompile(`\bsslctl_[a-z_]+`)
	labelMatcher = regexp.MustCompile(`(sslctl_[a-z_]+)\{([a-z_]+)=~?"([^"]*)"\}`)
)

// TestAlertsUseWhatThereIs reads the rules that users load into Prometheus: every metric and label in them exists.
func TestAlertsUseWhatThereIs(t *testing.T) {
	file, err := os.Open("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all rules
	d := yaml.NewDecoder(file)
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, group := range all.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || seen[rule.Alert] {
				t.Errorf("an alert of group %s is called %q, as another is or nothing", group.Name, rule.Alert)
			}
			seen[rule.Alert] = true
			if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) || rule.Annotations["summary"] == "" || rule.Annotations["runbook"] == "" {
				t.Errorf("%s lacks a severity, a summary or a runbook", rule.Alert)
			}
			row := "| " + rule.Alert + " | " + rule.Labels["severity"] + " | "
			if !strings.Contains(string(operations), row) || !strings.Contains(string(operations), " | "+rule.Annotations["runbook"]+" |\n") {
				t.Errorf("docs/operations.md lacks %s, or says something else to do than its runbook", rule.Alert)
			}
			checkExpression(t, rule.Alert, rule.Expr)
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}

func checkExpression(t *testing.T, alert, expression string) {
	t.Helper()
	names := metricName.FindAllString(expression, -1)
	if len(names) == 0 || strings.Count(expression, "(") != strings.Count(expression, ")") {
		t.Errorf("%s asks for nothing, or its parentheses do not match: %s", alert, expression)
	}
	for _, name := range names {
		if _, ok := definitionOf(name); !ok {
			t.Errorf("%s uses %s, which is no metric", alert, name)
		}
	}
	for _, match := range labelMatcher.FindAllStringSubmatch(expression, -1) {
		name, label, values := match[1], match[2], match[3]
		d, _ := definitionOf(name)
		if !slices.Contains(d.Labels, label) {
			t.Errorf("%s uses the label %s, which %s has not", alert, label, name)
		}
		for value := range strings.SplitSeq(values, "|") {
			if label != "code" && !strings.Contains(d.Help, value) { // Connect defines the codes
				t.Errorf("%s uses %s=%q, which the meaning of %s does not name: %s", alert, label, value, name, d.Help)
			}
		}
	}
}

// definitionOf finds the metric that a series belongs to.
func definitionOf(series string) (Definition, bool) {
	for _, d := range Definitions() {
		names := []string{d.Name}
		if d.Kind == Histogram {
			names = []string{d.Name + "_bucket", d.Name + "_sum", d.Name + "_count"}
		}
		if slices.Contains(names, series) {
			return d, true
		}
	}
	return Definition{}, false
}
