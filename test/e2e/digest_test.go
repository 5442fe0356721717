package e2e

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

// up runs a job on a cluster in one process and returns the object that it prints.
func up(t testing.TB, environment []string, job string, arguments ...string) result {
	t.Helper()
	return parse(t, succeed(t, t.TempDir(), environment, append([]string{"up", job, "-o", "json"}, arguments...)...))
}

var (
	referenceOnce   sync.Once
	referenceResult result
	referenceFolder string
)

// reference is the small job, undisturbed on one worker with one coordinator: what every other way to run it must end with. It runs once.
func reference(t testing.TB) (result, string) {
	t.Helper()
	referenceOnce.Do(func() {
		folder, err := os.MkdirTemp("", "sslctl-e2e-reference-")
		if err != nil {
			t.Fatal(err)
		}
		referenceFolder = folder
		referenceResult = up(t, nil, small(t, "small", "file://"+data, "file://"+folder, ""), "--workers", "1", "--coordinators", "1")
	})
	if referenceResult.Digest == "" {
		t.Fatal("the reference run has failed")
	}
	return referenceResult, referenceFolder
}

func TestOneDigestForAnyCluster(t *testing.T) {
	want, _ := reference(t)
	if want.State != "completed" || want.Steps != 16 || want.Samples != 1024 || want.Generations != 1 || want.StepsRepeated != 0 {
		t.Errorf("the reference run says %+v", want)
	}
	minio := miniotest.Start(t, "datasets", "checkpoints")
	environment := []string{"AWS_ACCESS_KEY_ID=" + miniotest.AccessKey, "AWS_SECRET_ACCESS_KEY=" + miniotest.SecretKey, "AWS_ENDPOINT_URL=" + minio.Endpoint}
	for _, set := range []string{"train", "test"} {
		limit := map[string]string{"train": "512", "test": "256"}[set]
		source, err := filepath.Abs(filepath.Join("..", "..", "examples", "data", "fashion-mnist", set+"-images-idx3-ubyte.gz"))
		if err != nil {
			t.Fatal(err)
		}
		succeed(t, t.TempDir(), environment, "dataset", "pack", source, "s3://datasets/small", "--name", set, "--limit", limit, "--shards", "3")
	}
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	start(t, "nats-server", t.TempDir(), nil, tool(t, "nats-server"), "-a", host, "-p", port)
	answers(t, address)

	folder := "file://" + t.TempDir()
	for _, c := range []struct {
		name, data, checkpoints string
		arguments               []string
	}{
		{"2 workers, 3 coordinators", "file://" + data, folder + "/a", []string{"--workers", "2", "--coordinators", "3"}},
		{"3 workers, 1 coordinator", "file://" + data, folder + "/b", []string{"--workers", "3", "--coordinators", "1"}},
		{"5 workers, external NATS", "file://" + data, folder + "/c", []string{"--workers", "5", "--coordinators", "1", "--nats", "nats://" + address}},
		{"2 workers, MinIO", "s3://datasets/small", "s3://checkpoints/d", []string{"--workers", "2", "--coordinators", "1"}},
		{"3 workers, 3 coordinators, MinIO, external NATS", "s3://datasets/small", "s3://checkpoints/e", []string{"--workers", "3", "--nats", "nats://" + address}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := up(t, environment, small(t, "small", c.data, c.checkpoints, ""), c.arguments...)
			if got.Digest != want.Digest {
				t.Errorf("digest %s, one worker with a folder has %s", got.Digest, want.Digest)
			}
			for name, value := range want.Evaluation {
				if got.Evaluation[name] != value {
					t.Errorf("%s is %v, one worker with a folder has %v", name, got.Evaluation[name], value)
				}
			}
			sharedWork(t, got)
		})
	}
}

// Each of the other tasks in small: one digest for any number of workers, and a bank only where there is one.
func TestOneDigestForEveryTask(t *testing.T) {
	for _, c := range []struct {
		name, settings string
		bank           bool
	}{
		{"simclr", "{name: simclr}", false},
		{"simclr, hard negatives", "{name: simclr, loss: hard}", false},
		{"mocov3", "{name: mocov3, momentum: 0.9, predictor: {hidden: 32}}", false},
		{"byol", "{name: byol, predictor: {hidden: 32}}", false},
		{"vicreg", "{name: vicreg}", false},
		{"instdisc, softmax", "{name: instdisc, negatives: 200}", true},
		{"instdisc, NCE", "{name: instdisc, loss: nce, negatives: 200}", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			digest := ""
			for _, workers := range []string{"1", "2", "3", "5"} {
				got := up(t, nil, small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--workers", workers, "--coordinators", "1",
					"--set", "spec.task="+c.settings, "--set", "spec.training.epochs=1", "--set", "spec.evaluate=null")
				if digest == "" {
					digest = got.Digest
				}
				if got.Digest != digest || got.Steps != 8 {
					t.Errorf("%s workers: digest %s after %d steps, one worker has %s after 8", workers, got.Digest, got.Steps, digest)
				}
				for _, m := range got.Members {
					if (m.BankBytes > 0) != c.bank {
						t.Errorf("%s workers: rank %d holds %d bytes of a bank", workers, m.Rank, m.BankBytes)
					}
				}
			}
		})
	}
}

// sharedWork checks that each member did its part and no more: samples, bytes on the ring, bank memory.
func sharedWork(t *testing.T, r result) {
	t.Helper()
	const b, v, d, bank = 64, 8, 64, 250
	const parameters = 360000 // of the model with projector, rounded down
	w := len(r.Members)
	for _, m := range r.Members {
		owned := uint64(m.VirtualRankHi - m.VirtualRankLo)
		if want := r.Steps * b * owned / v; m.Samples != want {
			t.Errorf("rank %d trained on %d samples, want %d", m.Rank, m.Samples, want)
		}
		// A ring all-reduce sends 2·(W−1)/W of the gradient; gathers of the queries and keys add 2·B·d.
		if least := r.Steps * uint64(w-1) * (2*4*parameters + 2*4*b*d) / uint64(w); w > 1 && m.RingBytesSent < least {
			t.Errorf("rank %d sent %d bytes on the ring, less than the %d that the sums and gathers need", m.Rank, m.RingBytesSent, least)
		}
		if most := uint64((v+w-1)/w*((bank+v-1)/v)) * (4*d + 16); m.BankBytes == 0 || m.BankBytes > most {
			t.Errorf("rank %d holds %d bytes of the bank, want 1 to %d", m.Rank, m.BankBytes, most)
		}
	}
}

func TestTheDigestMovesWithWhatTheResultDependsOn(t *testing.T) {
	want, _ := reference(t)
	seen := map[string]string{want.Digest: "the reference"}
	for _, set := range []string{"spec.training.seed=8", "spec.task.temperature=0.2000001", "spec.optimizer.lr=0.0030001"} {
		got := up(t, nil, small(t, "small", "file://"+data, "file://"+t.TempDir(), ""), "--workers", "1", "--coordinators", "1", "--set", set)
		if other, ok := seen[got.Digest]; ok {
			t.Errorf("%s has the digest of %s", set, other)
		}
		seen[got.Digest] = set
	}
}

// The digest again from the files of a checkpoint alone, by a reader of safetensors that shares no code with the product.
func TestTheDigestIsAHashOfTheCheckpointsFiles(t *testing.T) {
	want, folder := reference(t)
	manifests, err := filepath.Glob(filepath.Join(folder, "*", "*", "step-0000000016", "manifest.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("manifests of the last step: %v, %v", manifests, err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(manifests[0]), "*.safetensors"))
	if err != nil || len(files) != 9 {
		t.Fatalf("%d tensor files, want that of the replicated tensors and those of 8 virtual ranks: %v", len(files), err)
	}
	var lines []string
	for _, file := range files {
		suffix := ""
		if base := filepath.Base(file); strings.HasPrefix(base, "virtual-rank-") {
			suffix = "@" + base[len("virtual-rank-"):len("virtual-rank-")+3]
		}
		lines = append(lines, tensorLines(t, file, suffix)...)
	}
	sort.Strings(lines)
	text := "sslctl-digest/1\nstep 16\nskipped 0\n" + strings.Join(lines, "")
	if sum := sha256.Sum256([]byte(text)); hex.EncodeToString(sum[:]) != want.Digest {
		t.Errorf("the files hash to %x, the job ended with %s", sum, want.Digest)
	}
}

func tensorLines(t *testing.T, file, suffix string) (lines []string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	for name, x := range header {
		if name == "__metadata__" {
			continue
		}
		values := raw[8+int(n)+x.Offsets[0] : 8+int(n)+x.Offsets[1]]
		width := map[string]int{"F32": 4, "I64": 8, "U64": 8}[x.DType]
		row := 128 * width
		if len(x.Shape) > 1 {
			row = len(values) / x.Shape[0]
		}
		sum := uint64(0)
		for r := 0; r*row < len(values); r++ {
			message := binary.LittleEndian.AppendUint64(append([]byte(name), 0), uint64(r))
			sum += xxhash.Sum64(append(message, values[r*row:min((r+1)*row, len(values))]...))
		}
		shape := strings.ReplaceAll(fmt.Sprint(x.Shape), " ", ",")
		lines = append(lines, fmt.Sprintf("%s%s %s %s %016x\n", name, suffix, x.DType, shape, sum))
	}
	return lines
}
