package k8s

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// overlays are what a user applies.
var overlays = []string{"dev", "ha"}

// object is what the server holds of a manifest, in as much of its shape as the checks look at.
type object struct {
	APIVersion                   string
	Kind                         string
	Metadata                     metadata
	Spec                         spec
	Data                         map[string]string
	AutomountServiceAccountToken *bool
}

type metadata struct {
	Name, Namespace, ResourceVersion string
	Labels, Annotations              map[string]string
}

// spec is the union of those of all kinds.
type spec struct {
	// StatefulSet
	Replicas             int
	ServiceName          string
	PodManagementPolicy  string
	Template             template
	VolumeClaimTemplates []object
	// Service
	ClusterIP                string
	PublishNotReadyAddresses bool
	Ports                    []servicePort
	// PodDisruptionBudget, Service: a selector of two shapes
	Selector       any
	MaxUnavailable any
}

type servicePort struct {
	Name       string
	Port       int
	TargetPort any
}

type template struct {
	Metadata metadata
	Spec     podSpec
}

type podSpec struct {
	ServiceAccountName            string
	AutomountServiceAccountToken  *bool
	EnableServiceLinks            *bool
	TerminationGracePeriodSeconds int
	SecurityContext               securityContext
	HostNetwork, HostPID          bool
	Affinity                      struct {
		PodAntiAffinity struct {
			Required []struct {
				TopologyKey   string
				LabelSelector struct {
					MatchLabels map[string]string
				}
			} `json:"requiredDuringSchedulingIgnoredDuringExecution"`
		}
	}
	Containers []container
	Volumes    []volume
}

type securityContext struct {
	RunAsNonRoot             bool
	RunAsUser                int
	ReadOnlyRootFilesystem   bool
	AllowPrivilegeEscalation *bool
	Privileged               bool
	Capabilities             struct{ Drop, Add []string }
	SeccompProfile           struct{ Type string }
}

type container struct {
	Name, Image   string
	Command, Args []string
	EnvFrom       []struct {
		ConfigMapRef struct{ Name string }
	}
	Env   []variable
	Ports []struct {
		Name          string
		ContainerPort int
	}
	StartupProbe, LivenessProbe, ReadinessProbe *probe
	Resources                                   struct{ Requests, Limits map[string]string }
	SecurityContext                             securityContext
	VolumeMounts                                []struct {
		Name, MountPath string
		ReadOnly        bool
	}
	Lifecycle struct {
		PreStop struct {
			Exec struct{ Command []string }
		}
	}
}

type variable struct {
	Name, Value string
	ValueFrom   struct {
		FieldRef         struct{ FieldPath string }
		ResourceFieldRef struct{ Resource string }
	}
}

type probe struct {
	HTTPGet struct {
		Path string
		Port any
	}
	PeriodSeconds, FailureThreshold int
}

type volume struct {
	Name      string
	ConfigMap *struct{ Name string }
	EmptyDir  *struct{}
	Projected *struct {
		Sources []struct {
			Secret *struct {
				Name     string
				Optional bool
				Items    []struct{ Key, Path string }
			}
		}
	}
}

// manifest is one of those that kustomize makes.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }

	text []byte // the whole, in YAML
}

// render is `kustomize build` of an overlay.
func render(t testing.TB, overlay string) []manifest {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command(tool(t, "kustomize"), "build", filepath.Join("..", "..", "deploy", "k8s", "overlays", overlay))
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil || problems.Len() > 0 {
		t.Fatalf("kustomize build %s: %v\n%s", overlay, err, problems.String())
	}
	var manifests []manifest
	for _, text := range bytes.Split(out.Bytes(), []byte("\n---\n")) {
		m := manifest{text: text}
		if err := yaml.Unmarshal(text, &m); err != nil {
			t.Fatalf("read a manifest of %s: %v", overlay, err)
		}
		manifests = append(manifests, m)
	}
	return manifests
}

// plurals are the names of the kinds in paths.
var plurals = map[string]string{
	"Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "ConfigMap": "configmaps", "Service": "services", "StatefulSet": "statefulsets",
	"PodDisruptionBudget": "poddisruptionbudgets", "NetworkPolicy": "networkpolicies",
}

// path is where the API has the object.
func (m manifest) path(t testing.TB) string {
	t.Helper()
	plural, ok := plurals[m.Kind]
	if !ok {
		t.Fatalf("the test does not know the kind %s of %s; add it to plurals", m.Kind, m.Metadata.Name)
	}
	root := "/apis/" + m.APIVersion
	if !strings.Contains(m.APIVersion, "/") {
		root = "/api/" + m.APIVersion
	}
	if m.Metadata.Namespace != "" {
		root += "/namespaces/" + m.Metadata.Namespace
	}
	return fmt.Sprintf("%s/%s/%s", root, plural, m.Metadata.Name)
}
