package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sslctl/sslctl/internal/blob/miniotest"
)

// badNetwork is a proxy before an S3 service that spoils requests in turn, and lets the next one through.
type badNetwork struct {
	service http.Handler
	mu      sync.Mutex
	reads   int // of data
	writes  int // of checkpoints
	spoiled map[string]int
}

// readFaults and writeFaults are what happens to the first, third, fifth … read and write; the first fault follows the last.
var (
	readFaults  = []string{"503", "wrong bytes", "cut", "429", "aborted", "stalled", "wrong bytes", "cut"}
	writeFaults = []string{"503", "aborted", "429"}
)

func (n *badNetwork) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch fault := n.next(r); fault {
	case "":
		n.service.ServeHTTP(w, r)
	case "503", "429":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(map[string]int{"503": http.StatusServiceUnavailable, "429": http.StatusTooManyRequests}[fault])
		_, _ = w.Write([]byte("<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"))
	case "aborted":
		panic(http.ErrAbortHandler)
	default:
		n.service.ServeHTTP(&spoiler{ResponseWriter: w, fault: fault, request: r}, r)
	}
}

// next decides what happens to a request. A fault happens no more than five times, so that a stalled transfer does not take the whole test.
func (n *badNetwork) next(r *http.Request) (fault string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/datasets/") && strings.HasSuffix(r.URL.Path, ".tar"):
		if n.reads++; n.reads%2 == 1 {
			fault = readFaults[n.reads/2%len(readFaults)]
		}
	case r.Method == http.MethodPut:
		if n.writes++; n.writes%2 == 1 {
			fault = writeFaults[n.writes/2%len(writeFaults)]
		}
	}
	if fault == "stalled" && n.spoiled[fault] == 1 || n.spoiled[fault] == 5 {
		return ""
	}
	n.spoiled[fault]++
	return fault
}

// spoiler lets half of what is first written through, and then does as its fault says.
type spoiler struct {
	http.ResponseWriter
	fault   string
	request *http.Request
	wrote   bool
}

func (s *spoiler) Write(p []byte) (int, error) {
	if s.wrote {
		return s.ResponseWriter.Write(p)
	}
	s.wrote = true
	half := len(p) / 2
	if s.fault == "wrong bytes" {
		spoilt := append([]byte{}, p...)
		spoilt[half] ^= 0xff
		return s.ResponseWriter.Write(spoilt)
	}
	n, err := s.ResponseWriter.Write(p[:half])
	if err != nil {
		return n, err
	}
	if err := http.NewResponseController(s.ResponseWriter).Flush(); err != nil {
		return n, err
	}
	if s.fault == "stalled" {
		<-s.request.Context().Done() // until the other side gives up
	}
	panic(http.ErrAbortHandler)
}

// A service that throttles, breaks off, stands still and spoils bytes costs time and nothing else. Keys with all that URLs take for
// something else are ordinary keys.
func TestStoreFaultsDoNotChangeTheResult(t *testing.T) {
	want, _ := reference(t)
	t.Parallel()
	minio := miniotest.Start(t, "datasets", "checkpoints")
	target, err := url.Parse(minio.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	network := &badNetwork{spoiled: map[string]int{}, service: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}}
	front := httptest.NewServer(network)
	t.Cleanup(front.Close)
	environment := []string{"AWS_ACCESS_KEY_ID=" + miniotest.AccessKey, "AWS_SECRET_ACCESS_KEY=" + miniotest.SecretKey}
	folder := "s3://datasets/my photos/ü+100%25&=#"
	for set, limit := range map[string]string{"train": "512", "test": "256"} {
		source, err := filepath.Abs(filepath.Join("..", "..", "examples", "data", "fashion-mnist", set+"-images-idx3-ubyte.gz"))
		if err != nil {
			t.Fatal(err)
		}
		succeed(t, t.TempDir(), environment, "dataset", "pack", source, folder, "--name", set, "--limit", limit, "--shards", "3", "--endpoint", minio.Endpoint)
	}
	job := small(t, "small", folder, "s3://checkpoints/small runs", `, endpoint: "`+front.URL+`"`)
	got := up(t, environment, job, "--workers", "2", "--coordinators", "1", "--set", "spec.faultTolerance.detectWithin=20s") // a slow machine is not the fault that is tested
	if got.Digest != want.Digest || got.Generations != 1 {
		t.Errorf("digest %s in %d generations, without faults %s in one", got.Digest, got.Generations, want.Digest)
	}
	for name, value := range want.Evaluation {
		if got.Evaluation[name] != value {
			t.Errorf("%s is %v, without faults %v", name, got.Evaluation[name], value)
		}
	}
	for _, fault := range append(readFaults, writeFaults...) {
		if network.spoiled[fault] == 0 {
			t.Errorf("nothing was %s", fault)
		}
	}
}
