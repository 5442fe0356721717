package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "github.com/sslctl/sslctl"

// Package is what the law looks at: imports of production code, and of tests in the package and beside it.
type Package struct {
	ImportPath  string
	Name        string
	Imports     []string
	TestImports []string // both kinds
}

// rule says what the packages under one folder may import of ours. Everything else of ours is forbidden.
type rule struct {
	folder string   // relative to the module; also covers folders in it
	may    []string // folders, each with those in it; a package may always import from its own folder
}

// order is that of pkg/: each may import those before it, none after it, so that there are no circles and the roots stay small.
var order = []string{
	"pkg/keyed", "pkg/simd", "pkg/nn", "pkg/objective", "pkg/optim", "pkg/transform", "pkg/memorybank", "pkg/task", "pkg/allreduce",
	"pkg/evaluate", "pkg/checkpoint",
}

var rules = append(pkgRules(),
	rule{"proto", nil},
	rule{"shard", []string{"proto", "pkg/keyed", "internal/blob"}},
	rule{"internal", []string{"proto"}},
	rule{"coordinator", []string{"proto", "internal"}},
	rule{"worker", []string{"proto", "pkg", "shard", "internal"}},
	rule{"cmd/sslctl", []string{"coordinator", "worker", "shard", "proto", "internal"}},
)

// pure are packages that decide and do nothing else: no sockets, no files, no processes, no clock-driven goroutines of others.
var pure = []string{"coordinator/state", "coordinator/planner", "pkg/keyed", "pkg/objective", "pkg/memorybank", "pkg/optim", "pkg/nn"}

// worldly is what a pure package may not import.
var worldly = []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "math/rand", "math/rand/v2", "crypto/rand"}

// foreign says where a library of others may be used by production code.
var foreign = []struct {
	library string
	only    []string
}{
	{"github.com/hashicorp/raft", []string{"coordinator"}},
	{"github.com/hashicorp/raft-boltdb", []string{"coordinator"}},
	{"github.com/nats-io/nats.go", []string{"internal/bus", "pkg/allreduce"}},
	{"github.com/nats-io/nats-server", []string{"internal/bus"}},
	{"github.com/minio/minio-go", []string{"internal/blob"}},
	{"github.com/spf13/cobra", []string{"cmd/sslctl"}},
	{"github.com/mmcloughlin/avo", []string{"pkg/simd/internal/gen"}},
}

func pkgRules() []rule {
	list := []rule{{"pkg/keyed", nil}, {"pkg/simd", nil}}
	for i, folder := range order[2:] {
		list = append(list, rule{folder, order[:i+2]})
	}
	return list
}

// free are folders that the law does not cover: tests across packages, benchmarks, scripts.
var free = []string{"test", "bench", "scripts", "examples"}

// Breaches lists everything in which p breaks the law.
func Breaches(p Package) []string {
	folder, ours := relative(p.ImportPath)
	if !ours || under(folder, free...) {
		return nil
	}
	var found []string
	report := func(format string, arguments ...any) {
		found = append(found, fmt.Sprintf("%s: ", folder)+fmt.Sprintf(format, arguments...))
	}
	i := slices.IndexFunc(rules, func(r rule) bool { return under(folder, r.folder) })
	if i < 0 {
		report("no rule covers this folder: give it one in the design and in internal/archtest")
		return found
	}
	r := rules[i]
	if p.Name == "main" && folder != "cmd/sslctl" && path.Base(folder) != "gen" {
		report("is a main package; cmd/sslctl is the only one beside generators (folders named gen)")
	}
	for _, imported := range p.Imports {
		if to, ours := relative(imported); ours {
			switch {
			case helper(to) && !helper(folder):
				report("imports %s, a helper of tests, in production code", to)
			case !allowed(r, folder, to):
				report("imports %s; it may import %s", to, describe(r.may))
			}
			continue
		}
		if imported == "C" {
			report("uses cgo; the product builds without")
		}
		if imported == "testing" && !helper(folder) {
			report("imports testing in production code")
		}
		if slices.Contains(pure, folder) && slices.Contains(worldly, imported) {
			report("imports %s; it must stay free of the outside world", imported)
		}
		for _, f := range foreign {
			if library(imported, f.library) && !under(folder, f.only...) && !helper(folder) {
				report("imports %s; only %s may", imported, strings.Join(f.only, ", "))
			}
		}
	}
	for _, imported := range p.TestImports {
		// Tests may use helpers and compare with more than their package may import, but a layer's tests stay below the layers above it.
		if to, ours := relative(imported); ours && !helper(to) && !testAllowed(r, folder, to) {
			report("its tests import %s; they may import %s", to, describe(r.may))
		}
	}
	return found
}

func allowed(r rule, folder, to string) bool {
	if under(r.folder, "internal") {
		// Each folder of internal is a package of its own: they do not import each other.
		own := strings.Join(strings.SplitN(folder, "/", 3)[:2], "/")
		return under(to, own) || under(to, r.may...)
	}
	return under(to, r.folder) || under(to, r.may...)
}

// testAllowed lets tests use the infrastructure of internal, and siblings of pkg, besides what the package itself may import.
func testAllowed(r rule, folder, to string) bool {
	return allowed(r, folder, to) || under(to, "internal") || under(to, "pkg") && under(folder, "pkg", "shard")
}

// helper tells whether a folder is a package for tests only, such as internal/blob/miniotest.
func helper(folder string) bool {
	return strings.HasSuffix(folder, "test") && strings.Contains(folder, "/")
}

// library tells whether an import path belongs to a library, in any major version.
func library(imported, name string) bool {
	return imported == name || strings.HasPrefix(imported, name+"/")
}

func relative(importPath string) (folder string, ours bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func under(folder string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return folder == root || strings.HasPrefix(folder, root+"/") })
}

func describe(folders []string) string {
	if len(folders) == 0 {
		return "nothing of ours"
	}
	return "of ours " + strings.Join(folders, ", ")
}
