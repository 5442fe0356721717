package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// smallDisk is a folder on a file system of so many KiB. The file system is mounted in a process of its own, whose view of the files the
// path goes through: it needs no more than the right to make a name space, and is gone when that process ends.
func smallDisk(t testing.TB, kib int) string {
	t.Helper()
	folder := t.TempDir()
	var failures []error
	// Root may mount where it may make a name space for mounts; others, and root in many containers, need one for users as well.
	for _, users := range []uintptr{0, syscall.CLONE_NEWUSER} {
		cmd := exec.Command("sh", "-c", fmt.Sprintf("mount -t tmpfs -o size=%dk,mode=777 tmpfs %s && echo ready && exec sleep 600", kib, folder))
		// Unshared rather than cloned: Go then keeps the mount from spreading.
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Cloneflags: users}
		if users != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			failures = append(failures, err)
			continue
		}
		stop := func() {
			_ = cmd.Process.Kill() // it may have ended by itself
			_ = cmd.Wait()
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			stop()
			failures = append(failures, fmt.Errorf("mount: %q, %w", line, err))
			continue
		}
		t.Cleanup(stop)
		return fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, folder)
	}
	t.Fatalf("make a small file system: %v; run the tests where a tmpfs can be mounted", errors.Join(failures...))
	return ""
}

// wholeCheckpoints lists the checkpoints below a folder by name, after comparing every file of each with its manifest.
func wholeCheckpoints(t *testing.T, folder string) (names []string) {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(folder, "*", "*", "step-*", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range manifests {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var manifest struct {
			Files []struct {
				Name, SHA256 string
				Size         int
			}
		}
		if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Files) != 9 {
			t.Fatalf("%s names %d files, want 9: %v", file, len(manifest.Files), err)
		}
		for _, f := range manifest.Files {
			content, err := os.ReadFile(filepath.Join(filepath.Dir(file), f.Name))
			if sum := sha256.Sum256(content); err != nil || len(content) != f.Size || hex.EncodeToString(sum[:]) != f.SHA256 {
				t.Errorf("%s is not what its manifest says: %d bytes, %v", f.Name, len(content), err)
			}
		}
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	return names
}

// checkpointFolders lists the folders of checkpoints, complete or not.
func checkpointFolders(t *testing.T, folder string) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*", "*", "step-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	return names
}

func TestBadInputFullDisk(t *testing.T) {
	t.Run("at the second checkpoint", func(t *testing.T) {
		disk := smallDisk(t, 8<<10) // a checkpoint has 5.6 MiB
		o := refuse(t, t.TempDir(), bad{arguments: upBad(small(t, "small", "file://"+data, "file://"+disk, "")), code: 7, says: []string{
			"store the checkpoint of step 12: ", "step-0000000012/", ": no space left; free some space below " + disk + "/run-", "; that of step 6 stands",
		}})
		if !strings.Contains(o.stdout, "step-0000000006 (step 6, ") {
			t.Errorf("the table does not name the checkpoint that stands:\n%s", o.stdout)
		}
		if whole, all := wholeCheckpoints(t, disk), checkpointFolders(t, disk); !slices.Equal(whole, []string{"step-0000000006"}) || !slices.Equal(all, whole) {
			t.Errorf("there are %v, complete are %v", all, whole)
		}
		noTemporaryFiles(t, disk)
	})
	t.Run("at the first checkpoint", func(t *testing.T) {
		disk := smallDisk(t, 1<<10)
		refuse(t, t.TempDir(), bad{arguments: upBad(small(t, "small", "file://"+data, "file://"+disk, "")), code: 7, says: []string{
			"store the checkpoint of step 6: ", ": no space left; free some space below ", "; no earlier checkpoint is there to continue from",
		}})
		if all := checkpointFolders(t, disk); len(all) != 0 {
			t.Errorf("%v is left", all)
		}
		noTemporaryFiles(t, disk)
	})
	t.Run("at the indexes", func(t *testing.T) {
		disk := smallDisk(t, 4)
		refuse(t, t.TempDir(), bad{arguments: upBad(small(t, "small", "file://"+data, "file://"+disk+"/small", "")), code: 7, says: []string{
			"spec.checkpoint: ", ": no space left", "cannot keep the index of file://" + data + "/train-",
		}})
		noTemporaryFiles(t, disk)
	})
}

func TestBadInputExport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	job := small(t, "small", "file://"+data, "file://"+t.TempDir(), "")
	for path, says := range map[string]string{
		file + "/encoder.safetensors":    "mkdir " + file + ": not a directory; name a file in a folder that can",
		"/proc/none/encoder.safetensors": "mkdir /proc/none: no such file or directory; name a file in a folder that can",
		"/proc/encoder.safetensors":      "cannot be written: no such file or directory; name a file in a folder that can",
		filepath.Dir(file):               "is a folder; expected a file",
	} {
		t.Run(path, func(t *testing.T) {
			dir := t.TempDir()
			refuse(t, dir, bad{arguments: upBad(job, "--export", path), code: 3, says: []string{"--export " + path, says}})
			missing(t, filepath.Join(dir, ".sslctl"))
		})
	}
	t.Run("full after the training", func(t *testing.T) {
		disk := smallDisk(t, 64)
		o := refuse(t, t.TempDir(), bad{arguments: upBad(job, "--export", disk+"/encoder.safetensors"), code: 1, says: []string{
			"sslctl: exporting to " + disk + "/encoder.safetensors: no space left on device; the encoder lies in file://",
		}})
		if !strings.Contains(o.stdout, "state       completed") || !strings.Contains(o.stdout, "/export/encoder.safetensors") {
			t.Errorf("the end of the job is not printed:\n%s", o.stdout)
		}
		if left, err := os.ReadDir(disk); err != nil || len(left) != 0 {
			t.Errorf("it has left %v, %v", left, err)
		}
	})
}

func TestBadInputInterrupt(t *testing.T) {
	t.Run("while it trains", func(t *testing.T) {
		dir, checkpoints := t.TempDir(), t.TempDir()
		c := launch(t, dir, nil, upBad(small(t, "small", "file://"+data, "file://"+checkpoints, ""), "--coordinators", "3", "--set", "spec.training.epochs=5000")...)
		c.awaitSaid("/5000") // it runs
		o := c.signal(os.Interrupt)
		found := regexp.MustCompile(`(?m)^paused at step ([0-9]+)/40000; its checkpoint is file://(.*)$`).FindStringSubmatch(o.stderr)
		if o.code != 130 || o.stdout != "" || found == nil || !strings.HasSuffix(o.stderr, "\nsslctl: interrupted\n") {
			t.Fatalf("exit status %d, stdout %q, stderr\n%s", o.code, o.stdout, o.stderr)
		}
		for _, once := range []string{"interrupted: pausing the job with a checkpoint; a second interrupt ends the process at once", "paused at step", "the log of this run is"} {
			if strings.Count(o.stderr, once) != 1 {
				t.Errorf("%q is not printed once:\n%s", once, o.stderr)
			}
		}
		// Before that, coordinators on a busy machine may have had something to say.
		_, after, _ := strings.Cut(o.stderr, "interrupted: ")
		if noisy := noise.FindString(after); noisy != "" {
			t.Errorf("%q is printed after the interrupt:\n%s", noisy, o.stderr)
		}
		if whole, all := wholeCheckpoints(t, checkpoints), checkpointFolders(t, checkpoints); !slices.Equal(all, whole) || !slices.Contains(whole, filepath.Base(found[2])) {
			t.Errorf("there are %v, complete are %v, named is %s", all, whole, found[2])
		}
		c.leftNothing()
		noTemporaryFiles(t, checkpoints)
	})
	t.Run("while it waits for its store", func(t *testing.T) {
		address, _ := deafAddress(t)
		dir := t.TempDir()
		c := launch(t, dir, nil, upBad(small(t, "small", "s3://none/small", "file://"+t.TempDir(), ""), "--set", "spec.dataset.endpoint=http://"+address)...)
		c.awaitSaid("trying again: list s3://none/small/train-")
		o := c.signal(syscall.SIGTERM)
		if o.code != 130 || !strings.HasSuffix(o.stderr, "\nsslctl: interrupted\n") || strings.Count(o.stderr, "paused at step 0, before the first checkpoint") != 1 {
			t.Errorf("exit status %d, stderr\n%s", o.code, o.stderr)
		}
		if noisy := noise.FindString(o.stderr); noisy != "" {
			t.Errorf("%q is printed:\n%s", noisy, o.stderr)
		}
		c.leftNothing()
	})
}
