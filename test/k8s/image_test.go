package k8s

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// image is what deploy/Dockerfile makes, as far as it can be made without a container engine.
var image struct {
	binary     string // on this machine
	entrypoint string // in the image
	user       int
}

const repository = "../.."

func TestMain(m *testing.M) { os.Exit(withImage(m)) }

func withImage(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sslctl-image-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	if err := buildImage(folder); err != nil {
		fmt.Fprintln(os.Stderr, "do what deploy/Dockerfile says:", err)
		return 1
	}
	return m.Run()
}

// buildImage runs the Dockerfile's own build command, outside a container.
func buildImage(folder string) error {
	steps, err := instructions(filepath.Join(repository, "deploy", "Dockerfile"))
	if err != nil {
		return err
	}
	for _, step := range steps {
		verb, rest, _ := strings.Cut(step, " ")
		switch {
		case verb == "RUN" && strings.Contains(rest, "go build"):
			image.binary = filepath.Join(folder, "sslctl")
			cmd := exec.Command("sh", "-c", strings.ReplaceAll(rest, "/out/", folder+"/"))
			cmd.Dir, cmd.Stderr = repository, os.Stderr
			cmd.Env = append(os.Environ(), "VERSION=of-the-image", "TARGETOS=", "TARGETARCH=")
			err = cmd.Run()
		case verb == "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &[]*string{&image.entrypoint})
		case verb == "USER":
			_, err = fmt.Sscanf(rest, "%d:", &image.user)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return nil
}

// instructions are the lines of a Dockerfile without comments.
func instructions(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var steps []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			steps = append(steps, line)
		}
	}
	return steps, lines.Err()
}

// asContainer makes a command run as a container of the restricted kind would: its root is a folder, its user is not root and has no
// capabilities. Folders that are to be read-only have no write permission.
func asContainer(cmd *exec.Cmd, root string, user int) *exec.Cmd {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}},
		Chroot:      root, Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user), NoSetGroups: true},
	}
	return cmd
}

// The image holds one static binary that runs without anything beside it, as the user of the Dockerfile.
func TestTheImage(t *testing.T) {
	binary, err := elf.Open(image.binary)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, part := range binary.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %v: it is not static", part.Type)
		}
	}
	root := newRoot(t)
	root.install(image.binary, image.entrypoint)
	root.lock()
	out, err := asContainer(&exec.Cmd{Path: image.entrypoint, Args: []string{image.entrypoint, "version"}}, root.dir, image.user).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "of-the-image") {
		t.Errorf("sslctl version: %v\n%s", err, out)
	}
	// What is not a volume cannot be written to.
	out, err = asContainer(&exec.Cmd{Path: image.entrypoint, Args: []string{image.entrypoint, "coordinator", "--listen=127.0.0.1:0", "--data-dir=/data"}}, root.dir, image.user).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied") {
		t.Errorf("a coordinator made its folder outside a volume: %v\n%s", err, out)
	}
}

// The build sees every file that it needs: .dockerignore leaves out nothing that the binary is made of.
func TestTheBuildContextIsWhole(t *testing.T) {
	steps, err := instructions(filepath.Join(repository, "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, compiler, _ := strings.Cut(strings.Fields(steps[0])[2], ":")
	if !strings.Contains(string(module), "\ngo "+compiler+".") {
		t.Errorf("the Dockerfile builds with Go %s, go.mod wants another", compiler)
	}
	ignored, err := instructions(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{if not .Module.Replace}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}{{end}}", "./cmd/sslctl")
	list.Dir = repository
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range strings.Fields(string(out)) {
		relative, err := filepath.Rel(top, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range ignored {
			if relative == pattern || strings.HasPrefix(relative, pattern+string(filepath.Separator)) {
				t.Errorf("%s is part of the binary, but .dockerignore leaves out %s", relative, pattern)
			}
		}
	}
}
