package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// imageFolder makes a folder with two classes of three images each.
func imageFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, class := range []string{"bag", "boot"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			img := image.NewGray(image.Rect(0, 0, 8, 8))
			img.SetGray(i, i, color.Gray{Y: 200})
			f, err := os.Create(filepath.Join(dir, class, strconv.Itoa(i)+".png"))
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, img); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestDatasetPackAndInspect(t *testing.T) {
	source, out := imageFolder(t), t.TempDir()
	code, stdout, stderr := sslctl("", "dataset", "pack", source, out, "--name", "tiny", "--shards", "2")
	want := "file://" + out + "/tiny-{000..001}.tar: 6 samples in 2 shards"
	if code != 0 || !strings.HasPrefix(stdout, want) || !strings.Contains(stdout, "classes: bag, boot") || stderr != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}

	code, stdout, stderr = sslctl("", "dataset", "inspect", "file://"+out+"/tiny-{000..001}.tar", "--decode")
	if code != 0 || !strings.Contains(stdout, "png+cls: 6") || !strings.Contains(stdout, "2, ") || !strings.Contains(stdout, ", 3 samples each") ||
		!strings.Contains(stdout, "6, all with a label") || !strings.Contains(stdout, "every pixel") || !strings.Contains(stdout, "8×8 grey: 6") || !strings.Contains(stdout, "0: 3, 1: 3") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}

	code, stdout, _ = sslctl("", "dataset", "inspect", "file://"+out+"/tiny-*.tar")
	if code != 0 || !strings.Contains(stdout, "header and end of PNG and JPEG images; --decode looks at every pixel") {
		t.Errorf("exit code %d, stdout %q", code, stdout)
	}

	if code, _, stderr := sslctl("", "dataset", "pack", source, out, "--name", "tiny"); code != 6 || !strings.Contains(stderr, "already exists") {
		t.Errorf("packing again: exit code %d, stderr %q", code, stderr)
	}
	if code, _, stderr := sslctl("", "dataset", "pack", source+"/nothing", out, "--name", "other"); code != 1 && code != 3 || !strings.Contains(stderr, "nothing") {
		t.Errorf("packing nothing: exit code %d, stderr %q", code, stderr)
	}

	first := filepath.Join(out, "tiny-000.tar")
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first, data[:len(data)/3], 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = sslctl("", "dataset", "inspect", "file://"+out+"/tiny-*.tar", "-o", "json")
	if code != 3 || !strings.Contains(stdout, `"problems"`) || !strings.Contains(stderr, "has problems, ") || strings.Contains(stderr, "unusable") {
		t.Errorf("a truncated shard: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, _, stderr = sslctl("", "dataset", "inspect", "file://"+out+"/none-*.tar")
	if code != 3 || !strings.Contains(stderr, "nothing matches") {
		t.Errorf("no shards: exit code %d, stderr %q", code, stderr)
	}
}

// Photographs come in hundreds of sizes; the table names the usual ones and counts the others.
func TestInspectNamesTheMostFrequent(t *testing.T) {
	counts := map[string]uint64{"9×9 grey": 50, "8×8 grey": 2}
	for side := 10; side < 17; side++ {
		counts[strconv.Itoa(side)+"×1 grey"] = 1
	}
	if got, want := boundsText(counts), "; 8 to 16 wide, 1 to 9 high"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := boundsText(map[string]uint64{"9×9 grey": 50, "8×8 grey": 2}); got != "" {
		t.Errorf("of sizes that are listed: %q", got)
	}
	want := "9×9 grey: 50, 8×8 grey: 2, 10×1 grey: 1, 11×1 grey: 1, 12×1 grey: 1, 13×1 grey: 1, 3 other sizes: 3"
	if got := countsText(counts, "sizes"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPackRefusesDamagedImages names all that no job could read, and leaves nothing behind.
func TestPackRefusesDamagedImages(t *testing.T) {
	source, out := imageFolder(t), t.TempDir()
	whole, err := os.ReadFile(filepath.Join(source, "bag", "0.png"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"bag/0.png": whole[:40], "boot/1.png": nil, "boot/photo.webp": nil, "boot/note.WEBP": nil, "boot/README": nil} {
		if err := os.WriteFile(filepath.Join(source, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pack := func() (int, string, string) {
		return sslctl("", "dataset", "pack", source, out, "--shards", "3", "--keep-order")
	}
	code, stdout, stderr := pack()
	for _, want := range []string{"2 images that no job can read: ", "bag/0.png: the file is cut off: ", "boot/1.png: the file is empty; mend or remove what is named\n"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q lacks %q", stderr, want)
		}
	}
	if left, err := os.ReadDir(out); code != 3 || stdout != "" || err != nil || len(left) > 0 {
		t.Errorf("exit code %d, stdout %q, left %v (%v)", code, stdout, left, err)
	}
	for _, name := range []string{"bag/0.png", "boot/1.png"} {
		if err := os.Remove(filepath.Join(source, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := "ignored: 3 files that do not end in .png, .jpg, .jpeg or .npy (.webp: 2, README: 1)\n"
	if code, stdout, stderr := pack(); code != 0 || !strings.HasSuffix(stdout, want) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
