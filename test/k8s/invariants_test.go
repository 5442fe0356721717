package k8s

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// userProvided are what the user brings, as deploy/k8s/README.md says: all of them optional.
var userProvided = []string{"sslctl-minio"}

// checkInvariants looks at an overlay as the server holds it, with its defaults filled in.
func checkInvariants(t *testing.T, a applied) {
	for _, label := range []string{"enforce", "warn", "audit"} {
		if got := a.kind("Namespace")[0].Metadata.Labels["pod-security.kubernetes.io/"+label]; got != "restricted" {
			t.Errorf("the namespace's Pod Security %s is %q, want restricted", label, got)
		}
	}
	sets := a.kind("StatefulSet")
	if len(sets) == 0 {
		t.Fatal("no StatefulSet")
	}
	for _, set := range sets {
		t.Run(set.Metadata.Name, func(t *testing.T) {
			checkPod(t, a, set)
			for _, c := range set.Spec.Template.Spec.Containers {
				checkContainer(t, a, c, set)
			}
			checkNames(t, a, set)
			checkDisruption(t, a, set)
		})
	}
}

func checkPod(t *testing.T, a applied, set object) {
	pod := set.Spec.Template.Spec
	sc := pod.SecurityContext
	if !sc.RunAsNonRoot || sc.RunAsUser == 0 || sc.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("the pod's security context is %+v; want a user that is not root, and seccomp RuntimeDefault", sc)
	}
	if pod.HostNetwork || pod.HostPID {
		t.Error("the pod shares a namespace of its host")
	}
	account := a.find("ServiceAccount", pod.ServiceAccountName)
	switch {
	case account == nil:
		t.Errorf("service account %q is not in the overlay", pod.ServiceAccountName)
	case account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
		t.Error("the pod is given a token of the Kubernetes API")
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Error("service links are on: they set SSLCTL_… variables, which are flags")
	}
	for _, v := range pod.Volumes {
		switch {
		case v.ConfigMap != nil:
			if a.find("ConfigMap", v.ConfigMap.Name) == nil {
				t.Errorf("volume %s: ConfigMap %s is not in the overlay", v.Name, v.ConfigMap.Name)
			}
		case v.Projected != nil:
			for _, source := range v.Projected.Sources {
				if !slices.Contains(userProvided, source.Secret.Name) || !source.Secret.Optional {
					t.Errorf("volume %s: Secret %s is neither in the overlay nor documented as the user's, and optional", v.Name, source.Secret.Name)
				}
			}
		case v.EmptyDir == nil:
			t.Errorf("volume %s is of a kind that the test does not know", v.Name)
		}
	}
}

func checkContainer(t *testing.T, a applied, c container, set object) {
	sc := c.SecurityContext
	if !sc.ReadOnlyRootFilesystem || sc.Privileged || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation ||
		!slices.Equal(sc.Capabilities.Drop, []string{"ALL"}) || len(sc.Capabilities.Add) > 0 {
		t.Errorf("container %s: its security context is %+v", c.Name, sc)
	}
	for name, p := range map[string]*probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if p == nil {
			t.Errorf("container %s has no %s probe", c.Name, name)
		} else if _, ok := c.port(p.HTTPGet.Port); !ok {
			t.Errorf("container %s: its %s probe is of port %v, which it does not have", c.Name, name, p.HTTPGet.Port)
		}
	}
	for _, resource := range []string{"cpu", "memory"} {
		if c.Resources.Requests[resource] == "" || c.Resources.Limits[resource] == "" {
			t.Errorf("container %s: %s has a request of %q and a limit of %q; want both", c.Name, resource, c.Resources.Requests[resource], c.Resources.Limits[resource])
		}
	}
	from := map[string]string{}
	for _, v := range c.Env {
		from[v.Name] = v.ValueFrom.ResourceFieldRef.Resource
	}
	if from["GOMAXPROCS"] != "limits.cpu" || from["GOMEMLIMIT"] != "requests.memory" {
		t.Errorf("container %s: GOMAXPROCS comes from %q, GOMEMLIMIT from %q", c.Name, from["GOMAXPROCS"], from["GOMEMLIMIT"])
	}
	if image, tag, _ := strings.Cut(c.Image, ":"); image == "" || tag == "" || strings.HasPrefix(tag, "latest") {
		t.Errorf("container %s: image %q has no tag that stays", c.Name, c.Image)
	}
	for _, e := range c.EnvFrom {
		if a.find("ConfigMap", e.ConfigMapRef.Name) == nil {
			t.Errorf("container %s: ConfigMap %s is not in the overlay", c.Name, e.ConfigMapRef.Name)
		}
	}
	var volumes []string
	for _, v := range set.Spec.Template.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, v := range set.Spec.VolumeClaimTemplates {
		volumes = append(volumes, v.Metadata.Name)
	}
	for _, m := range c.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("container %s mounts %s, which the pod does not have", c.Name, m.Name)
		}
	}
}

// port is the number of a port that is given by name or by number.
func (c container) port(which any) (int, bool) {
	for _, p := range c.Ports {
		if p.Name == which || fmt.Sprint(p.ContainerPort) == fmt.Sprint(which) {
			return p.ContainerPort, true
		}
	}
	return 0, false
}

// checkNames follows the services: those that select the pods lead to ports that exist, and the one that names the pods is headless.
func checkNames(t *testing.T, a applied, set object) {
	governing := a.find("Service", set.Spec.ServiceName)
	if governing == nil || governing.Spec.ClusterIP != "None" {
		t.Fatalf("service %q, which names the pods, is missing or not headless", set.Spec.ServiceName)
	}
	if set.Spec.Replicas > 1 && set.Spec.Template.Metadata.Labels["app.kubernetes.io/component"] != "worker" {
		if !governing.Spec.PublishNotReadyAddresses || set.Spec.PodManagementPolicy != "Parallel" {
			t.Error("the members of a group become ready together: they must start in parallel and find each other before they are ready")
		}
	}
	for _, service := range a.kind("Service") {
		if !selects(service.Spec.Selector, set) {
			continue
		}
		for _, p := range service.Spec.Ports {
			if _, ok := set.Spec.Template.Spec.Containers[0].port(p.TargetPort); !ok {
				t.Errorf("service %s: port %s leads to %v, which the container does not have", service.Metadata.Name, p.Name, p.TargetPort)
			}
		}
	}
}

// selects tells whether a map of labels is among those of the set's pods.
func selects(selector any, set object) bool {
	labels, _ := selector.(map[string]any)
	if matching, ok := labels["matchLabels"].(map[string]any); ok {
		labels = matching
	}
	for key, value := range labels {
		if set.Spec.Template.Metadata.Labels[key] != value {
			return false
		}
	}
	return len(labels) > 0
}

// checkDisruption: no eviction takes a majority of a group, and no node holds two members of one.
func checkDisruption(t *testing.T, a applied, set object) {
	var budgets []string
	for _, b := range a.kind("PodDisruptionBudget") {
		if selects(b.Spec.Selector, set) {
			budgets = append(budgets, fmt.Sprint(b.Spec.MaxUnavailable))
		}
	}
	if !slices.Equal(budgets, []string{"1"}) {
		t.Errorf("the budgets for disruption allow %v pods away; want one budget, of 1", budgets)
	}
	group := set.Spec.Template.Metadata.Labels["app.kubernetes.io/component"] != "worker"
	if !group || set.Spec.Replicas == 1 {
		return
	}
	if set.Spec.Replicas%2 == 0 {
		t.Errorf("%d members; want an odd number", set.Spec.Replicas)
	}
	apart := false
	for _, term := range set.Spec.Template.Spec.Affinity.PodAntiAffinity.Required {
		apart = apart || term.TopologyKey == "kubernetes.io/hostname" && len(term.LabelSelector.MatchLabels) > 0 &&
			maps.Equal(term.LabelSelector.MatchLabels, intersection(term.LabelSelector.MatchLabels, set.Spec.Template.Metadata.Labels))
	}
	if !apart {
		t.Error("two members may come to the same node")
	}
}

// intersection is what two maps have in common.
func intersection(a, b map[string]string) map[string]string {
	both := map[string]string{}
	for key, value := range a {
		if b[key] == value {
			both[key] = value
		}
	}
	return both
}
