package snapshot_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"testing"

	"github.com/sslctl/sslctl/coordinator/snapshot"
	"github.com/sslctl/sslctl/coordinator/state"
)

func written(t *testing.T) []byte {
	t.Helper()
	s, _ := state.Apply(state.New(), 5, state.Command{NowMS: 1, Submit: &state.Submit{
		Name: "photos", Spec: []byte("spec"), Need: state.Requirements{WorkersMin: 1, WorkersMax: 2, VirtualRanks: 4, Numerics: "auto", GlobalBatch: 8, Epochs: 1},
	}})
	var file bytes.Buffer
	if err := snapshot.Write(&file, snapshot.Meta{Cluster: "c", Coordinator: "a", Version: "v1", Index: 5, Term: 2, SavedUnixMS: 1000}, s); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestWriteRead(t *testing.T) {
	file := written(t)
	meta, s, err := snapshot.Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if meta.Format != snapshot.Format || meta.Cluster != "c" || meta.Index != 5 || meta.Term != 2 || meta.StateBytes == 0 || s.Jobs[5].Name != "photos" {
		t.Fatalf("read %+v, %+v", meta, s)
	}
	if again := written(t); !bytes.Equal(again, file) {
		t.Fatal("equal states give different files")
	}
}

// Whatever byte is lost or altered, the file is refused.
func TestDamage(t *testing.T) {
	file := written(t)
	for i := range file {
		if _, _, err := snapshot.Read(bytes.NewReader(file[:i])); !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrFormat) {
			t.Fatalf("cut at byte %d of %d: %v", i, len(file), err)
		}
		altered := bytes.Clone(file)
		altered[i] ^= 0x40
		meta, s, err := snapshot.Read(bytes.NewReader(altered))
		harmless := false // as in the head of gzip, which has a time, or where two codes give the same text
		if err == nil {
			var again bytes.Buffer
			harmless = snapshot.Write(&again, meta, s) == nil && bytes.Equal(again.Bytes(), file)
		}
		if !harmless && !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrFormat) {
			t.Fatalf("altered at byte %d of %d: %v", i, len(file), err)
		}
	}
}

// A file whose parts are whole but do not belong together, and one of a later version, are refused with the reason.
func TestForeignFiles(t *testing.T) {
	pack := func(members ...string) []byte {
		var file bytes.Buffer
		zip := gzip.NewWriter(&file)
		w := tar.NewWriter(zip)
		for i := 0; i < len(members); i += 2 {
			if err := w.WriteHeader(&tar.Header{Name: members[i], Mode: 0o600, Size: int64(len(members[i+1]))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(members[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), zip.Close()); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	head := `{"format":"sslctl-snapshot/1","stateFormat":"` + state.SnapshotFormat + `"}`
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, snapshot.ErrFormat},
		{"another tar", pack("readme.txt", "hello"), snapshot.ErrFormat},
		{"later version", pack("meta.json", `{"format":"sslctl-snapshot/2"}`), snapshot.ErrFormat},
		{"no state", pack("meta.json", head), snapshot.ErrDamaged},
		{"wrong sums", pack("meta.json", head, "state.json", "{}", "SHA256SUMS", "0  meta.json\n0  state.json\n"), snapshot.ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := snapshot.Read(bytes.NewReader(test.file)); !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
		})
	}
}
