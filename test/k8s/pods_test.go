package k8s

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pod is one of a StatefulSet, run as a process on a loopback address of its own, with the ports of the manifest.
type pod struct {
	name, address string
	annotations   map[string]string
	grace         time.Duration
	container     container
	root          *root
	command       []string
	environment   []string
	process       *process
}

// programs are the images of the manifests: what lies where in them, and what they run unless told.
func programs(t testing.TB, name string) (binary, path string, entrypoint []string) {
	t.Helper()
	switch name, _, _ := strings.Cut(name, ":"); name {
	case "sslctl":
		return image.binary, image.entrypoint, []string{image.entrypoint}
	case "nats":
		return tool(t, "nats-server"), "/usr/local/bin/nats-server", nil
	}
	t.Fatalf("the test does not know the image %s", name)
	return "", "", nil
}

// pods makes the pods of an overlay, of which none runs yet.
func pods(t testing.TB, a applied, secrets map[string]map[string]string) []*pod {
	t.Helper()
	var all []*pod
	var names []string // of pods, as others call them, and their addresses
	network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
	for _, set := range a.kind("StatefulSet") {
		for ordinal := range set.Spec.Replicas {
			p := &pod{
				name: set.Metadata.Name + "-" + strconv.Itoa(ordinal), address: network + strconv.Itoa(len(all)+1),
				container: set.Spec.Template.Spec.Containers[0], root: newRoot(t), annotations: set.Spec.Template.Metadata.Annotations,
				grace: time.Duration(set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second,
			}
			all = append(all, p)
			names = append(names, p.name+"."+set.Spec.ServiceName+":", p.address+":")
		}
	}
	i := 0
	for _, set := range a.kind("StatefulSet") {
		for range set.Spec.Replicas {
			all[i].prepare(t, a, set, strings.NewReplacer(names...), secrets)
			i++
		}
	}
	return all
}

// prepare fills the pod's file system and finds out its command and environment.
func (p *pod) prepare(t testing.TB, a applied, set object, names *strings.Replacer, secrets map[string]map[string]string) {
	t.Helper()
	local := func(text string) string {
		text = names.Replace(everywhere.ReplaceAllString(text, "${1}"+p.address+":$2"))
		if strings.Contains(text, "."+set.Spec.ServiceName) {
			t.Errorf("%s: %q names a pod that the overlay does not have", p.name, text)
		}
		return text
	}
	binary, path, entrypoint := programs(t, p.container.Image)
	p.root.install(binary, path)
	p.command = append(entrypoint, p.container.Args...)
	if len(p.container.Command) > 0 {
		p.command = append(p.container.Command, p.container.Args...)
		p.command[0] = path
	}
	for i := range p.command {
		p.command[i] = local(p.command[i])
	}
	for _, from := range p.container.EnvFrom {
		for key, value := range a.find("ConfigMap", from.ConfigMapRef.Name).Data {
			p.environment = append(p.environment, key+"="+local(value))
		}
	}
	for _, v := range p.container.Env {
		value := v.Value
		switch {
		case v.ValueFrom.FieldRef.FieldPath == "metadata.name":
			value = p.name
		case v.ValueFrom.FieldRef.FieldPath == "status.podIP":
			value = p.address
		case v.ValueFrom.ResourceFieldRef.Resource != "":
			value = strconv.FormatInt(p.resource(t, v.ValueFrom.ResourceFieldRef.Resource), 10)
		case value == "":
			t.Errorf("%s: the test does not know where %s comes from", p.name, v.Name)
		}
		p.environment = append(p.environment, v.Name+"="+value)
	}
	p.root.lock(p.mount(t, a, set, local, secrets)...)
}

// everywhere matches an address that listens on all interfaces: each pod has one of its own.
var everywhere = regexp.MustCompile(`(^|=|")(?:0\.0\.0\.0)?:(\d+)`)

// mount makes the pod's volumes and lists those that can be written to.
func (p *pod) mount(t testing.TB, a applied, set object, local func(string) string, secrets map[string]map[string]string) (writable []string) {
	t.Helper()
	for _, m := range p.container.VolumeMounts {
		p.root.folder(m.MountPath)
		if !m.ReadOnly {
			writable = append(writable, m.MountPath)
		}
		for _, v := range set.Spec.Template.Spec.Volumes {
			switch {
			case v.Name != m.Name:
			case v.ConfigMap != nil:
				for name, content := range a.find("ConfigMap", v.ConfigMap.Name).Data {
					p.root.file(filepath.Join(m.MountPath, name), local(content))
				}
			case v.Projected != nil:
				for _, source := range v.Projected.Sources {
					for _, item := range source.Secret.Items {
						p.root.file(filepath.Join(m.MountPath, item.Path), secrets[source.Secret.Name][item.Key])
					}
				}
			}
		}
	}
	return writable
}

// resource is what the downward API says of a resource: whole cores, rounded up, or bytes.
func (p *pod) resource(t testing.TB, which string) int64 {
	t.Helper()
	kind, name, _ := strings.Cut(which, ".")
	text := map[string]map[string]string{"limits": p.container.Resources.Limits, "requests": p.container.Resources.Requests}[kind][name]
	for suffix, factor := range map[string]int64{"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				t.Fatalf("%s is %q: %v", which, text, err)
			}
			return n * factor
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q: %v", which, text, err)
	}
	return n
}

func (p *pod) start(t testing.TB) {
	t.Helper()
	p.process = start(t, p.name, p.run(p.command))
}

// run is a command in the pod's container.
func (p *pod) run(command []string) *exec.Cmd {
	return asContainer(&exec.Cmd{Path: command[0], Args: command, Env: p.environment}, p.root.dir, image.user)
}

// probe asks as the kubelet does, and returns what is wrong.
func (p *pod) probe(of *probe) string {
	port, _ := p.container.port(of.HTTPGet.Port)
	response, err := http.Get(fmt.Sprintf("http://%s:%d%s", p.address, port, of.HTTPGet.Path))
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Sprintf("%s: %s: %s %v", of.HTTPGet.Path, response.Status, body, err)
	}
	return ""
}

// awaitReady waits until all three probes of the pod succeed.
func (p *pod) awaitReady(t testing.TB) {
	t.Helper()
	for _, of := range []*probe{p.container.StartupProbe, p.container.LivenessProbe, p.container.ReadinessProbe} {
		eventually(t, "wait for "+p.name, func() string {
			if p.process.over() {
				t.Fatalf("%s has ended with status %d: %s", p.name, p.process.cmd.ProcessState.ExitCode(), strings.Join(p.command, " "))
			}
			return p.probe(of)
		})
	}
}

// is tells whether the pod is of a component.
func (p *pod) is(component string) bool { return strings.HasPrefix(p.name, "sslctl-"+component+"-") }
