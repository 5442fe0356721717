package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// data is a folder with 512 training and 256 test images of the shipped set, packed once for all tests.
var data string

func TestMain(m *testing.M) { os.Exit(withData(m)) }

func withData(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sslctl-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	for _, set := range []struct{ file, name, limit string }{{"train", "train", "512"}, {"test", "test", "256"}} {
		source := filepath.Join("..", "..", "examples", "data", "fashion-mnist", set.file+"-images-idx3-ubyte.gz")
		cmd := exec.Command(os.Getenv("SSLCTL_BINARY"), "dataset", "pack", source, folder, "--name", set.name, "--limit", set.limit, "--shards", "3")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "pack the test data with SSLCTL_BINARY=%q (run `make e2e`): %v\n%s", os.Getenv("SSLCTL_BINARY"), err, out)
			return 1
		}
	}
	data = folder
	return m.Run()
}
