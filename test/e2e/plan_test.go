package e2e

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

// planned is the part of `sslctl plan -o json` that is compared with what is measured.
type planned struct {
	Action   string
	Estimate struct {
		SamplesPerEpoch, Steps uint64
		CheckpointBytes        uint64 `json:"checkpointBytes"`
		Read                   struct{ Index, Training, Evaluation, Total float64 }
		Workers                []struct{ BankBytes, RingBytes float64 }
	}
}

func plan(t *testing.T, environment []string, job string, arguments ...string) planned {
	t.Helper()
	o := succeed(t, t.TempDir(), environment, append([]string{"plan", job, "--offline", "-o", "json"}, arguments...)...)
	var p planned
	if err := json.Unmarshal([]byte(o.stdout), &p); err != nil {
		t.Fatalf("%v\n%s", err, o.stdout)
	}
	return p
}

// near fails unless what was planned is within 5 % of what was measured.
func near(t *testing.T, what string, planned, measured float64) {
	t.Helper()
	if math.Abs(planned-measured) > 0.05*measured {
		t.Errorf("%s: planned %.0f, measured %.0f: %+.1f %%", what, planned, measured, 100*(planned/measured-1))
	}
	t.Logf("%s: planned %.0f, measured %.0f", what, planned, measured)
}

// What plan says of ring and bank is what the members of the job report at its end, for each task and an even and an uneven cut.
func TestPlanAgainstMeasured(t *testing.T) {
	for _, task := range []struct{ name, settings string }{
		{"moco", ", bank: {size: 250}"}, {"simclr", ""}, {"mocov3", ", momentum: 0.9, predictor: {hidden: 32}"}, {"vicreg", ""}, {"instdisc", ", negatives: 200"},
	} {
		for _, workers := range []string{"2", "3"} {
			t.Run(task.name+" on "+workers, func(t *testing.T) {
				job := small(t, "small", "file://"+data, "file://"+t.TempDir(), "")
				settings := []string{"--workers", workers, "--set", "spec.task={name: " + task.name + task.settings + "}", "--set", "spec.training.epochs=1", "--set", "spec.evaluate=null"}
				p := plan(t, nil, job, settings...)
				r := up(t, nil, job, append(settings, "--coordinators", "1")...)
				if p.Estimate.Steps != r.Steps || len(p.Estimate.Workers) != len(r.Members) {
					t.Fatalf("planned %d steps and %d workers, there were %d and %d", p.Estimate.Steps, len(p.Estimate.Workers), r.Steps, len(r.Members))
				}
				for i, m := range r.Members {
					if m.RingBytesSent == 0 || (m.BankBytes > 0) != (task.name == "moco" || task.name == "instdisc") {
						t.Errorf("rank %s has sent %d bytes around the ring and holds %d of a bank", m.Worker, m.RingBytesSent, m.BankBytes)
					}
					near(t, "ring of rank "+m.Worker, p.Estimate.Workers[i].RingBytes, float64(m.RingBytesSent))
					near(t, "bank of rank "+m.Worker, p.Estimate.Workers[i].BankBytes, float64(m.BankBytes))
				}
			})
		}
	}
}

// What plan says is read from S3 is what a proxy between the workers and the store counts.
func TestPlannedReadsAgainstAProxy(t *testing.T) {
	minio := miniotest.Start(t, "datasets")
	environment := []string{"AWS_ACCESS_KEY_ID=" + miniotest.AccessKey, "AWS_SECRET_ACCESS_KEY=" + miniotest.SecretKey}
	for _, set := range []string{"train", "test"} {
		limit := map[string]string{"train": "512", "test": "256"}[set]
		source, err := filepath.Abs(filepath.Join("..", "..", "examples", "data", "fashion-mnist", set+"-images-idx3-ubyte.gz"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(sslctlBinary(t), "dataset", "pack", source, "s3://datasets", "--name", set, "--limit", limit, "--shards", "3", "--endpoint", minio.Endpoint)
		cmd.Env = append(cmd.Environ(), environment...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	target, err := url.Parse(minio.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var bytes atomic.Int64
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && strings.HasSuffix(r.Request.URL.Path, ".tar") {
				bytes.Add(r.ContentLength)
			}
			return nil
		},
	}
	proxy := httptest.NewServer(forward)
	defer proxy.Close()
	environment = append(environment, "AWS_ENDPOINT_URL="+proxy.URL)
	for _, workers := range []int{1, 2} {
		job := small(t, "small", "s3://datasets", "file://"+t.TempDir(), "")
		p := plan(t, environment, job, "--workers", strconv.Itoa(workers))
		bytes.Store(0)
		up(t, environment, job, "--workers", strconv.Itoa(workers), "--coordinators", "1")
		// Workers that start together index so few shards each for itself; one that comes a little later finds what the others have stored.
		most, measured := p.Estimate.Read.Total, float64(bytes.Load())
		least := most - p.Estimate.Read.Index*float64(workers-1)/float64(workers)
		if measured < 0.95*least || measured > 1.05*most {
			t.Errorf("bytes read on %d workers: planned %.0f to %.0f, measured %.0f", workers, least, most, measured)
		}
		t.Logf("bytes read on %d workers: planned %.0f to %.0f, measured %.0f", workers, least, most, measured)
	}
}
