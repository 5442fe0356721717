package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportLaw checks every package of the module, as it is built on each architecture that has files of its own.
func TestImportLaw(t *testing.T) {
	seen := map[string]bool{}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, p := range list(t, arch) {
			for _, breach := range Breaches(p) {
				if !seen[breach] {
					seen[breach] = true
					t.Error(breach)
				}
			}
		}
	}
}

// list asks the go command for the packages of the module.
func list(t *testing.T, arch string) []Package {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports,TestImports,XTestImports", module+"/...")
	cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []Package
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Package
			XTestImports []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.TestImports = append(p.TestImports, p.XTestImports...)
		packages = append(packages, p.Package)
	}
	if len(packages) < 10 {
		t.Fatalf("go list names only %d packages", len(packages))
	}
	return packages
}

// TestBreaches shows that each kind of breach is seen, and that what the design allows is not one.
func TestBreaches(t *testing.T) {
	of := func(folder string, imports ...string) Package {
		p := Package{ImportPath: module + "/" + folder, Name: "x"}
		for _, i := range imports {
			if !strings.Contains(i, ".") && strings.Contains("pkg proto internal worker shard coordinator cmd", strings.Split(i, "/")[0]) {
				i = module + "/" + i
			}
			p.Imports = append(p.Imports, i)
		}
		return p
	}
	legal := []Package{
		of("pkg/nn", "pkg/simd", "pkg/keyed"),
		of("pkg/allreduce", "github.com/nats-io/nats.go", "pkg/task"),
		of("internal/jobspec/gen", "internal/jobspec"),
		of("coordinator", "coordinator/state", "internal/bus", "github.com/hashicorp/raft"),
		of("worker", "pkg/task", "shard", "internal/jobspec", "proto/sslctl/v1alpha1"),
		of("internal/blob/miniotest", "testing", "internal/blob"),
		of("test/e2e", "worker", "coordinator", "github.com/minio/minio-go/v7"),
	}
	for _, p := range legal {
		if found := Breaches(p); len(found) > 0 {
			t.Errorf("legal: %v", found)
		}
	}
	breaches := map[string]Package{
		"it may import nothing of ours":             of("pkg/keyed", "pkg/simd"),
		"imports pkg/task; it may":                  of("pkg/nn", "pkg/task"),
		"imports internal/blob":                     of("pkg/checkpoint", "internal/blob"),
		"imports internal/bus":                      of("internal/blob", "internal/bus"),
		"imports pkg/keyed; it may":                 of("coordinator/state", "pkg/keyed"),
		"imports worker":                            of("shard", "worker"),
		"imports pkg/nn":                            of("cmd/sslctl", "pkg/nn"),
		"only coordinator may":                      of("worker", "github.com/hashicorp/raft"),
		"only internal/bus, pkg/allreduce may":      of("worker", "github.com/nats-io/nats.go"),
		"only internal/blob may":                    of("shard", "github.com/minio/minio-go/v7"),
		"free of the outside world":                 of("coordinator/state", "os"),
		"uses cgo":                                  of("pkg/simd", "C"),
		"imports testing in production code":        of("pkg/simd", "testing"),
		"a helper of tests, in production":          of("shard", "internal/blob/miniotest"),
		"no rule covers this folder":                of("pkg/new"),
		"is a main package":                         {ImportPath: module + "/worker/tool", Name: "main"},
		"its tests import worker; they may import ": {ImportPath: module + "/pkg/nn", Name: "nn", TestImports: []string{module + "/worker"}},
	}
	for want, p := range breaches {
		found := Breaches(p)
		if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%s importing %v: got %v, want %q", p.ImportPath, p.Imports, found, want)
		}
	}
}
