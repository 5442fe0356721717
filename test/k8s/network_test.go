package k8s

import (
	"fmt"
	"slices"
	"testing"
)

// policy is the spec of a NetworkPolicy.
type policy struct {
	PodSelector     labelSelector
	PolicyTypes     []string
	Ingress, Egress []rule
}

type rule struct {
	From, To []peer
	Ports    []struct{ Port any }
}

type peer struct {
	PodSelector, NamespaceSelector *labelSelector
}

type labelSelector struct {
	MatchLabels      map[string]string
	MatchExpressions []struct {
		Key, Operator string
		Values        []string
	}
}

func (s labelSelector) selects(t testing.TB, labels map[string]string) bool {
	t.Helper()
	for key, value := range s.MatchLabels {
		if labels[key] != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator != "NotIn" {
			t.Fatalf("the test does not know the operator %s", e.Operator)
		}
		if slices.Contains(e.Values, labels[e.Key]) {
			return false
		}
	}
	return true
}

// flows are the connections between pods of the overlays that must be possible: from, to, port. No others may be.
var flows = map[string][]string{
	"dev": {
		"sslctl-coordinator sslctl-coordinator api",
		"sslctl-coordinator sslctl-coordinator nats",
		"sslctl-worker sslctl-coordinator api",
		"sslctl-worker sslctl-coordinator nats",
		"sslctl-worker sslctl-worker ring",
	},
	"ha": {
		"sslctl-coordinator sslctl-coordinator api",
		"sslctl-coordinator sslctl-nats client",
		"sslctl-nats sslctl-nats cluster",
		"sslctl-worker sslctl-coordinator api",
		"sslctl-worker sslctl-nats client",
		"sslctl-worker sslctl-worker ring",
	},
}

// checkNetwork evaluates the policies for each pair of pods in the overlay.
func checkNetwork(t *testing.T, s *apiServer, a applied) {
	var policies []policy
	for _, o := range a.kind("NetworkPolicy") {
		var held struct{ Spec policy }
		s.get("/apis/networking.k8s.io/v1/namespaces/"+o.Metadata.Namespace+"/networkpolicies/"+o.Metadata.Name, &held)
		policies = append(policies, held.Spec)
	}
	var allowed []string
	sets := a.kind("StatefulSet")
	for _, from := range sets {
		for _, direction := range []string{"Ingress", "Egress"} {
			if !slices.ContainsFunc(policies, func(p policy) bool {
				return slices.Contains(p.PolicyTypes, direction) && p.PodSelector.selects(t, from.Spec.Template.Metadata.Labels)
			}) {
				t.Errorf("no policy is about %s of %s, so all of it is allowed", direction, from.Metadata.Name)
			}
		}
		for _, to := range sets {
			c := to.Spec.Template.Spec.Containers[0]
			for _, port := range c.Ports {
				opens := func(rules []rule, side func(rule) []peer, other object) bool {
					return slices.ContainsFunc(rules, func(r rule) bool {
						return matchesPort(r, port.Name, port.ContainerPort) && matchesPeer(t, side(r), other)
					})
				}
				out := slices.ContainsFunc(policies, func(p policy) bool {
					return p.PodSelector.selects(t, from.Spec.Template.Metadata.Labels) && opens(p.Egress, func(r rule) []peer { return r.To }, to)
				})
				in := slices.ContainsFunc(policies, func(p policy) bool {
					return p.PodSelector.selects(t, to.Spec.Template.Metadata.Labels) && opens(p.Ingress, func(r rule) []peer { return r.From }, from)
				})
				if out && in {
					allowed = append(allowed, fmt.Sprintf("%s %s %s", from.Metadata.Name, to.Metadata.Name, port.Name))
				}
			}
		}
	}
	slices.Sort(allowed)
	if want := flows[a.overlay]; !slices.Equal(allowed, want) {
		t.Errorf("the policies allow\n%q, want\n%q", allowed, want)
	}
}

// matchesPort tells whether a rule is about a port. A rule without ports is about all.
func matchesPort(r rule, name string, number int) bool {
	for _, p := range r.Ports {
		if p.Port == name || fmt.Sprint(p.Port) == fmt.Sprint(number) {
			return true
		}
	}
	return len(r.Ports) == 0
}

// matchesPeer tells whether pods of the same namespace are among the peers. No peers at all means everybody.
func matchesPeer(t testing.TB, peers []peer, other object) bool {
	for _, p := range peers {
		if p.NamespaceSelector == nil && p.PodSelector != nil && p.PodSelector.selects(t, other.Spec.Template.Metadata.Labels) {
			return true
		}
	}
	return len(peers) == 0
}
