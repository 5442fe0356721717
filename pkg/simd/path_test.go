package simd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestChoosePath(t *testing.T) {
	for _, c := range []struct {
		want       string
		most, path int
	}{{"", 0, 0}, {"", 2, 2}, {"portable", 2, 0}, {"avx2", 1, 1}, {"avx2", 2, 1}, {"avx512", 2, 2}} {
		if got, err := choosePath(c.want, c.most); err != nil || got != c.path {
			t.Errorf("%q on a machine with %s: path %d and error %v, want %d", c.want, paths[c.most], got, err, c.path)
		}
	}
	for _, c := range []struct {
		want string
		most int
		says string
	}{{"AVX2", 2, `"AVX2"`}, {"sse", 2, "portable, avx2, avx512"}, {"avx512", 1, "portable, avx2"}, {"avx2", 0, "only portable"}} {
		if _, err := choosePath(c.want, c.most); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), PathVariable) {
			t.Errorf("%q on a machine with %s: error %v, want one with %s", c.want, paths[c.most], err, c.says)
		}
	}
}

// The variable is read at start-up, so this test runs itself with it.
func TestEnvironmentForcesAPath(t *testing.T) {
	const inside = "SIMD_TEST_INSIDE"
	if want := os.Getenv(inside); want != "" {
		if Path() != want {
			t.Fatalf("path %s, want %s", Path(), want)
		}
		if portable := Profile() == profilePortable; portable != (want == "portable") {
			t.Fatalf("profile %s on path %s", Profile(), want)
		}
		return
	}
	run := func(value string) (string, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEnvironmentForcesAPath$", "-test.v")
		cmd.Env = append(os.Environ(), PathVariable+"="+value, inside+"="+value)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, value := range paths[:machinePath()+1] {
		if out, err := run(value); err != nil || !strings.Contains(out, "PASS") {
			t.Errorf("%s=%s: %v\n%s", PathVariable, value, err, out)
		}
	}
	out, err := run("fast")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 3 || strings.Count(out, "\n") != 1 || !strings.Contains(out, `SSLCTL_SIMD is "fast"`) {
		t.Errorf("an unknown path: %v\n%s", err, out)
	}
}
