// Package k8s checks deploy/k8s with the real API server of Kubernetes and runs what the manifests say with the real binaries.
package k8s

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience bounds every wait of these tests. It is far above what any of them takes, so only a hang meets it.
const patience = 3 * time.Minute

// tool is a program that `make tools` has installed.
func tool(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("SSLCTL_TOOLS")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(home, ".cache", "sslctl-tools")
	}
	path := filepath.Join(root, "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run `make tools`", err)
	}
	return path
}

// apiServer is a running kube-apiserver with a store of its own and nothing in it.
type apiServer struct {
	t       testing.TB
	address string
	http    *http.Client
}

const adminToken = "admin-of-this-test"

// startAPIServer starts etcd and kube-apiserver in a folder of the test, which ends them.
func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	dir := t.TempDir()
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		t.Fatalf("%v; run `make tools`", err)
	}
	// etcd listens on sockets in dir, whose names must look like host:port.
	const client, peer = "unix://localhost:1", "unix://localhost:2"
	start(t, "etcd", &exec.Cmd{Path: etcd, Dir: dir, Args: []string{"etcd", "--name=test", "--data-dir=etcd",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=test=" + peer}})

	s := &apiServer{t: t, address: freeAddress(t)}
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tokens"), adminToken+",admin,1,system:masters\n")
	write(t, filepath.Join(dir, "service-accounts.key"), signingKey(t))
	p := start(t, "kube-apiserver", &exec.Cmd{Path: tool(t, "kube-apiserver"), Dir: dir, Args: []string{"kube-apiserver",
		"--etcd-servers=" + client, "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=certificates",
		"--token-auth-file=tokens", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=service-accounts.key",
		"--service-account-signing-key-file=service-accounts.key"}})
	eventually(t, "wait for kube-apiserver", func() string {
		if p.over() {
			t.Fatalf("kube-apiserver has ended:\n%s", p.output())
		}
		if s.http == nil {
			if s.http, err = trusting(filepath.Join(dir, "certificates", "apiserver.crt")); err != nil {
				return err.Error()
			}
		}
		_, err := s.do(http.MethodGet, "/readyz", "", nil)
		if err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}

// signingKey is a new key for the tokens of service accounts, in PEM.
func signingKey(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// trusting is a client that trusts the certificate that the server has made for itself.
func trusting(file string) (*http.Client, error) {
	certificate, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

// answer is what the server has said.
type answer struct {
	status   int
	warnings []string
	body     []byte
}

// do sends one request. A status other than 2xx is an error.
func (s *apiServer) do(method, path, contentType string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "https://"+s.address+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := s.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, warnings: response.Header.Values("Warning")}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return a, err
	}
	if a.status/100 != 2 {
		return a, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, a.body)
	}
	return a, nil
}

// get reads an object back, as the server has completed it.
func (s *apiServer) get(path string, into any) {
	s.t.Helper()
	a, err := s.do(http.MethodGet, path, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		s.t.Fatalf("read %s: %v", path, err)
	}
}
