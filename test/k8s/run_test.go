package k8s

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

// user is someone with the binary, the address of the API and credentials of the object store.
type user struct {
	environment []string
}

// sslctl runs a command and returns what it prints.
func (u user) sslctl(t testing.TB, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(image.binary, arguments...)
	cmd.Env, cmd.Dir = u.environment, t.TempDir()
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sslctl %s: %v\n%s%s", strings.Join(arguments, " "), err, out, problems.String())
	}
	return string(out)
}

// What the manifests say is what the programs understand: the pods of both overlays run as processes, restricted as their containers,
// become ready by their probes, train a job with credentials from the mounted Secret, with one result, and end in order.
func TestThePodsOfTheOverlays(t *testing.T) {
	minio := miniotest.Start(t, "datasets", "checkpoints")
	u := user{environment: []string{"AWS_ACCESS_KEY_ID=" + miniotest.AccessKey, "AWS_SECRET_ACCESS_KEY=" + miniotest.SecretKey, "AWS_ENDPOINT_URL=" + minio.Endpoint}}
	source, err := filepath.Abs(filepath.Join(repository, "examples", "data", "fashion-mnist", "train-images-idx3-ubyte.gz"))
	if err != nil {
		t.Fatal(err)
	}
	u.sslctl(t, "dataset", "pack", source, "s3://datasets/small", "--name", "train", "--limit", "128")
	secrets := map[string]map[string]string{"sslctl-minio": {"accessKey": miniotest.AccessKey, "secretKey": miniotest.SecretKey}}
	server := startAPIServer(t)
	digests := map[string]string{}
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			all := pods(t, apply(t, server, overlay), secrets)
			for _, p := range all {
				p.start(t)
			}
			for _, p := range all {
				p.awaitReady(t)
			}
			u := u
			for _, variable := range all[0].environment {
				if strings.HasPrefix(variable, "SSLCTL_ADDR=") {
					u.environment = append(u.environment, variable)
				}
			}
			digests[overlay] = train(t, u, minio.Endpoint, all)
			for _, p := range all {
				scrape(t, p)
			}
			end(t, all)
		})
	}
	if digests["dev"] != digests["ha"] {
		t.Errorf("the same job ended with digest %s in dev, with %s in ha", digests["dev"], digests["ha"])
	}
}

// train runs a job of two steps on all workers, and returns the digest of its end.
func train(t *testing.T, u user, endpoint string, all []*pod) string {
	t.Helper()
	workers := 0
	for _, p := range all {
		if p.is("worker") {
			workers++
		}
	}
	file := filepath.Join(t.TempDir(), "job.yaml")
	write(t, file, fmt.Sprintf(`apiVersion: sslctl.io/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  workers: {min: %d, max: %d}
  dataset: {uri: "s3://datasets/small/train-*.tar", endpoint: %q, secretRef: {name: minio}}
  transforms:
    - randomResizedCrop: {size: 28}
    - normalize: {mean: [0.286], std: [0.353]}
  model: {name: resnet-tiny, projector: {hidden: 128, out: 64}}
  task: {name: moco, temperature: 0.2, momentum: 0.99, bank: {size: 128}}
  optimizer: {name: adamw, lr: 0.003}
  training: {seed: 7, globalBatch: 64, virtualRanks: 8, epochs: 1}
  checkpoint: {uri: "s3://checkpoints/%s", endpoint: %q, secretRef: {name: minio}}
`, workers, workers, endpoint, strings.ToLower(filepath.Base(t.Name())), endpoint))
	u.sslctl(t, "submit", file)
	var job struct {
		State, Digest string
		Members       []struct{ Worker string }
	}
	if err := json.Unmarshal([]byte(u.sslctl(t, "status", "small", "-o", "json")), &job); err != nil {
		t.Fatal(err)
	}
	if job.State != "completed" || len(job.Members) != workers || job.Digest == "" {
		t.Errorf("the job has ended as %+v, want it completed by %d workers", job, workers)
	}
	return job.Digest
}

// scrape follows the annotations that tell Prometheus where metrics are.
func scrape(t *testing.T, p *pod) {
	t.Helper()
	if p.annotations["prometheus.io/scrape"] != "true" {
		return
	}
	response, err := http.Get("http://" + p.address + ":" + p.annotations["prometheus.io/port"] + p.annotations["prometheus.io/path"])
	if err != nil {
		t.Errorf("scrape %s: %v", p.name, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("scrape %s: %s", p.name, response.Status)
	}
}

// end stops the pods as the kubelet does: preStop, then SIGTERM; SIGKILL never comes to that.
func end(t *testing.T, all []*pod) {
	t.Helper()
	for _, component := range []string{"worker", "coordinator"} {
		for _, p := range all {
			if !p.is(component) {
				continue
			}
			start := time.Now()
			if code := p.process.stop(t, syscall.SIGTERM); code != 0 {
				t.Errorf("%s ended with status %d", p.name, code)
			}
			if took := time.Since(start); took > p.grace {
				t.Errorf("%s took %v to end, its grace period is %v", p.name, took, p.grace)
			}
		}
	}
	for _, p := range all {
		if hook := p.container.Lifecycle.PreStop.Exec.Command; len(hook) > 0 {
			hook[0] = p.command[0]
			if out, err := p.run(hook).CombinedOutput(); err != nil {
				t.Errorf("%s: preStop: %v\n%s", p.name, err, out)
			}
			eventually(t, p.name+" lets its clients go", func() string {
				if !strings.Contains(p.process.output(), "lame duck") {
					return p.process.output()
				}
				return ""
			})
		}
	}
}
