package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

// unmeasured leaves the evaluation out of the small job, where it is not the subject.
const unmeasured = "spec.evaluate=null"

// upBad is `sslctl up` of the small job on two workers, with the arguments given.
func upBad(job string, arguments ...string) []string {
	return append([]string{"up", job, "--workers", "2", "--coordinators", "1", "--set", unmeasured}, arguments...)
}

// missing fails if there is something at path.
func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err == nil {
		t.Errorf("%s was made", path)
	}
}

// Job files and data sets that are refused for what they hold have scripts in folder broken.
func TestBadInputMoreWorkersThanThereAre(t *testing.T) {
	dir := t.TempDir()
	job := small(t, "small", "file://"+data, "file://"+dir, "")
	refuse(t, dir, bad{arguments: upBad(job, "--set", "spec.workers.min=3"), code: 3, says: []string{"the job needs 3 workers (spec.workers.min), --workers is 2"}})
	missing(t, filepath.Join(dir, ".sslctl"))
}

// copyShards copies the training shards to a new folder. change returns a member's new content, or nil to leave it out.
func copyShards(t *testing.T, change func(name string, content []byte) []byte) (folder string) {
	t.Helper()
	folder = t.TempDir()
	shards, err := filepath.Glob(filepath.Join(data, "train-*.tar"))
	if err != nil || len(shards) == 0 {
		t.Fatalf("no shards in %s: %v", data, err)
	}
	for _, shard := range shards {
		raw, err := os.ReadFile(shard)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		from, to := tar.NewReader(bytes.NewReader(raw)), tar.NewWriter(&out)
		for {
			h, err := from.Next()
			if err == io.EOF {
				break
			}
			content, readErr := io.ReadAll(from)
			if err := errors.Join(err, readErr); err != nil {
				t.Fatal(err)
			}
			if content = change(h.Name, content); content == nil {
				continue
			}
			h.Size = int64(len(content))
			err = to.WriteHeader(h)
			if _, writeErr := to.Write(content); err != nil || writeErr != nil {
				t.Fatal(err, writeErr)
			}
		}
		if err := errors.Join(to.Close(), os.WriteFile(filepath.Join(folder, filepath.Base(shard)), out.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestBadInputSamples(t *testing.T) {
	corrupted := ""
	corrupt := copyShards(t, func(name string, content []byte) []byte {
		if corrupted == "" && strings.HasSuffix(name, ".png") {
			corrupted = strings.TrimSuffix(name, ".png")
			return append(append(bytes.Clone(content[:60]), bytes.Repeat([]byte{0xff}, 40)...), content[100:]...)
		}
		return content
	})
	uri := "spec.dataset.uri=file://" + corrupt + "/train-*.tar"
	named := "file://" + corrupt + "/train-000.tar#" + corrupted + `: decode member "png"`
	checkpoints := "file://" + t.TempDir()
	job := small(t, "small", "file://"+data, checkpoints, "")

	t.Run("corrupt, none allowed", func(t *testing.T) {
		refuse(t, t.TempDir(), bad{arguments: upBad(job, "--set", uri), code: 7, says: []string{
			"samples that cannot be decoded: 1, allowed are 0 (spec.dataset.maxCorrupt): " + named, "mend or remove them, or raise the limit",
		}})
	})
	t.Run("corrupt, one allowed", func(t *testing.T) {
		digests := map[string]string{}
		for _, workers := range []string{"1", "2", "3"} {
			o := succeed(t, t.TempDir(), nil, "up", job, "--workers", workers, "--coordinators", "1", "-o", "json", "--set", unmeasured, "--set", uri, "--set", "spec.dataset.maxCorrupt=1")
			var ended struct {
				State, Digest  string
				CorruptSamples []string
			}
			if err := json.Unmarshal([]byte(o.stdout), &ended); err != nil {
				t.Fatal(err)
			}
			if ended.State != "completed" || len(ended.CorruptSamples) != 1 || !strings.HasPrefix(ended.CorruptSamples[0], named) {
				t.Errorf("%s workers: %+v", workers, ended)
			}
			if n := strings.Count(o.stderr, "replaced a sample that cannot be decoded"); n != 1 {
				t.Errorf("%s workers: the replacement is told %d times, want once:\n%s", workers, n, o.stderr)
			}
			digests[ended.Digest] = workers
		}
		if len(digests) != 1 || digests[""] != "" {
			t.Errorf("the digest depends on the workers: %v", digests)
		}
	})
	t.Run("other channels than the model's", func(t *testing.T) {
		// An npy file of 28 by 28 pixels with two channels, of which nobody knows what they mean.
		header := "{'descr': '|u1', 'fortran_order': False, 'shape': (28, 28, 2), }"
		header += strings.Repeat(" ", 117-len(header)) + "\n"
		two := append([]byte("\x93NUMPY\x01\x00\x76\x00"+header), make([]byte, 28*28*2)...)
		folder := t.TempDir()
		var shard bytes.Buffer
		w := tar.NewWriter(&shard)
		for i := range 128 {
			err := w.WriteHeader(&tar.Header{Name: strings.Repeat("x", i+1) + ".npy", Mode: 0o644, Size: int64(len(two))})
			if _, writeErr := w.Write(two); err != nil || writeErr != nil {
				t.Fatal(err, writeErr)
			}
		}
		if err := errors.Join(w.Close(), os.WriteFile(filepath.Join(folder, "two.tar"), shard.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		// However many are corrupt, each virtual rank gives up at the first one too many, and three are named.
		o := refuse(t, t.TempDir(), bad{arguments: upBad(job, "--set", "spec.dataset.uri=file://"+folder+"/two.tar"), code: 7, says: []string{
			"samples that cannot be decoded: 8, allowed are 0", "; and 5 more; mend or remove them",
		}})
		if n := strings.Count(o.stderr, "it has 2 channels, expected 1"); n != 3 {
			t.Errorf("%d samples are named, want 3:\n%s", n, o.stderr)
		}
	})
}

func TestBadInputStore(t *testing.T) {
	t.Parallel() // one of its cases mostly waits
	// Nobody listens there. It is given up within a minute, while the other cases run.
	unreachable, _ := deafAddress(t)
	lost := launch(t, t.TempDir(), nil, upBad(small(t, "small", "s3://datasets/small", "file://"+t.TempDir(), ""), "--set", "spec.dataset.endpoint=http://"+unreachable)...)

	minio := miniotest.Start(t, "datasets", "checkpoints")
	access := `, endpoint: "` + minio.Endpoint + `", secretRef: {name: minio}`
	keys := func(access, secret string) []string {
		return []string{"SSLCTL_SECRET_MINIO_ACCESS_KEY=" + access, "SSLCTL_SECRET_MINIO_SECRET_KEY=" + secret}
	}
	right := keys(miniotest.AccessKey, miniotest.SecretKey)
	source, err := filepath.Abs(filepath.Join("..", "..", "examples", "data", "fashion-mnist", "train-images-idx3-ubyte.gz"))
	if err != nil {
		t.Fatal(err)
	}
	succeed(t, t.TempDir(), right, "dataset", "pack", source, "s3://datasets/small", "--name", "train", "--limit", "512", "--shards", "3", "--endpoint", minio.Endpoint, "--secret", "minio")
	job := small(t, "small", "s3://datasets/small", "s3://checkpoints/small", access)

	for name, b := range map[string]bad{
		"bucket of the data": {environment: right, arguments: []string{"--set", "spec.dataset.uri=s3://nowhere/small/train-*.tar"}, says: []string{
			"spec.dataset: open data set: list s3://nowhere/small/train- at " + minio.Endpoint + ": no such bucket (NoSuchBucket, HTTP 404); create the bucket \"nowhere\" there, or correct the URI or the endpoint",
		}},
		"bucket of one object": {environment: right, arguments: []string{"--set", "spec.dataset.uri=s3://nowhere/small/train-000.tar"}, says: []string{
			"stat s3://nowhere/small/train-000.tar at " + minio.Endpoint + ": no such bucket (NoSuchBucket, HTTP 404)",
		}},
		"object": {environment: right, arguments: []string{"--set", "spec.dataset.uri=s3://datasets/small/train-007.tar"}, says: []string{
			"stat s3://datasets/small/train-007.tar at " + minio.Endpoint + ": no such object", "check the prefix and the name",
		}},
		"bucket of the checkpoints": {environment: right, arguments: []string{"--set", "spec.checkpoint.uri=s3://nowhere/small"}, says: []string{
			"spec.checkpoint: list s3://nowhere/small/run-", "no such bucket (NoSuchBucket, HTTP 404); create the bucket \"nowhere\" there",
		}},
		"secret key": {environment: keys(miniotest.AccessKey, "wrong-secret"), says: []string{
			"access denied (SignatureDoesNotMatch, HTTP 403); the secret key is wrong; check AWS_SECRET_ACCESS_KEY or the job's secretRef",
		}},
		"access key": {environment: keys("nobody", miniotest.SecretKey), says: []string{
			"access denied (InvalidAccessKeyId, HTTP 403); the service does not know this access key; check AWS_ACCESS_KEY_ID or the job's secretRef",
		}},
		"no such secret": {environment: right, arguments: []string{"--set", "spec.dataset.secretRef.name=nobody"}, says: []string{
			"spec.dataset: resolving secret nobody: secret not found on this machine", "SSLCTL_SECRET_NOBODY_ACCESS_KEY and SSLCTL_SECRET_NOBODY_SECRET_KEY in the environment of the worker",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b.code, b.arguments, b.says = 7, upBad(job, b.arguments...), append(b.says, "job small has ended as failed")
			o := refuse(t, t.TempDir(), b)
			for _, secret := range []string{miniotest.SecretKey, "wrong-secret"} {
				if strings.Contains(o.stdout+o.stderr, secret) {
					t.Errorf("it tells a secret:\n%s%s", o.stdout, o.stderr)
				}
			}
		})
	}
	// What is refused leaves at most the indexes of the shards that were read.
	for _, folder := range []string{"nowhere", "checkpoints"} {
		_ = filepath.WalkDir(filepath.Join(minio.Folder, folder), func(path string, e fs.DirEntry, err error) error {
			if err == nil && strings.Contains(path, "step-") {
				t.Errorf("a refused job has left %s", path)
			}
			return nil
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		lost.t = t
		o := lost.refused(bad{code: 7, says: []string{"job small has ended as failed", "(gave up after"}})
		lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
		if last := lines[len(lines)-1]; strings.Count(last, unreachable) != 2 || !strings.Contains(last, "connection refused; check that the service runs and that the endpoint is right (gave up after") {
			t.Errorf("the error is %q", last)
		}
		if !strings.Contains(o.stderr, "starting: worker-1 and worker-2 (trying again: list s3://datasets/small/train- at http://"+unreachable) {
			t.Errorf("nobody says what is waited for:\n%s", o.stderr)
		}
	})
}
