package jobspec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	ref := &SecretRef{Name: "minio-1"}
	dir := t.TempDir()
	t.Setenv(SecretsDir, dir)
	if _, err := ref.Resolve(); !errors.Is(err, ErrSecret) || !strings.Contains(err.Error(), "SSLCTL_SECRET_MINIO_1_ACCESS_KEY") {
		t.Errorf("nothing there: got %v", err)
	}

	t.Setenv("SSLCTL_SECRET_MINIO_1_ACCESS_KEY", "a")
	t.Setenv("SSLCTL_SECRET_MINIO_1_SECRET_KEY", "b")
	if s, err := ref.Resolve(); err != nil || s.AccessKey != "a" || s.SecretKey != "b" {
		t.Errorf("from the environment: got %q %q, %v", s.AccessKey, s.SecretKey, err)
	}

	if err := os.Mkdir(filepath.Join(dir, "minio-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ref.Resolve(); !errors.Is(err, ErrSecret) {
		t.Errorf("a folder without files: got %v", err)
	}
	for name, key := range map[string]string{"accessKey": "file-a\n", "secretKey": "file-b\n"} {
		if err := os.WriteFile(filepath.Join(dir, "minio-1", name), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ref.Resolve()
	if err != nil || s.AccessKey != "file-a" || s.SecretKey != "file-b" {
		t.Errorf("from files: got %q %q, %v", s.AccessKey, s.SecretKey, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "file-") {
		t.Errorf("printing shows the secret: %s", text)
	}

	if _, err := (&SecretRef{Name: "../x"}).Resolve(); !errors.Is(err, ErrSecret) {
		t.Errorf("a path as a name: got %v", err)
	}
	if s, err := (*SecretRef)(nil).Resolve(); err != nil || s != (Secret{}) {
		t.Errorf("no reference: got %v, %v", s, err)
	}
}
