package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCheckpointRoundTrip(t *testing.T) {
	s := newMemory()
	m := write(t, s, 100, 0)
	keys, _ := s.List(t.Context(), "")
	want := []string{"step-0000000100/manifest.json", "step-0000000100/replicated.safetensors", "step-0000000100/virtual-rank-000.safetensors", "step-0000000100/virtual-rank-001.safetensors"}
	if !slices.Equal(keys, want) {
		t.Fatalf("layout is %v, want %v", keys, want)
	}
	if last := s.log[len(s.log)-1]; last != "put step-0000000100/manifest.json" {
		t.Errorf("last operation is %q, want the manifest", last)
	}
	got, err := ReadManifest(t.Context(), s, Dir(100))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", m); a != b {
		t.Errorf("manifest read is\n%s, want\n%s", a, b)
	}
	if err := Verify(t.Context(), s, got); err != nil {
		t.Errorf("Verify: %v", err)
	}
	digest, err := DigestOf(t.Context(), s, Dir(100))
	if err != nil || digest != m.Digest {
		t.Errorf("DigestOf = %s, %v; want %s, what the live state had", digest, err, m.Digest)
	}
	replicated, ranks := state(77)
	for _, entry := range got.Files {
		f, err := ReadFile(t.Context(), s, Dir(100), entry)
		if err != nil {
			t.Fatal(err)
		}
		dst := replicated
		if entry.VirtualRank != Replicated {
			dst = ranks[entry.VirtualRank]
		}
		if err := f.Load(dst); err != nil {
			t.Fatal(err)
		}
	}
	original, _ := state(0)
	if a, b := RowSum("w", replicated[0].Value), RowSum("w", original[0].Value); a != b {
		t.Error("loaded values differ from those written")
	}
}

// One state has one file, so that a replayed step may overwrite its checkpoint with the same bytes.
func TestSameStateSameBytes(t *testing.T) {
	a, b := newMemory(), newMemory()
	write(t, a, 5, 1)
	write(t, b, 5, 1)
	for k := range a.objects {
		if string(a.objects[k]) != string(b.objects[k]) {
			t.Errorf("%s differs between two writes of one state", k)
		}
	}
}

func TestDamageIsFoundBeforeValuesAreHandedOut(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"flipped bit": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"truncated":   func(b []byte) []byte { return b[:len(b)-3] },
		"longer":      func(b []byte) []byte { return append(b, 0) },
		"empty":       func([]byte) []byte { return nil },
	} {
		s := newMemory()
		m := write(t, s, 7, 0)
		key := Dir(7) + "/" + m.Files[1].Name
		s.objects[key] = damage(s.objects[key])
		if f, err := ReadFile(t.Context(), s, Dir(7), m.Files[1]); f != nil || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: ReadFile: %v, want ErrDamaged with the file's name", name, err)
		}
		if err := Verify(t.Context(), s, m); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: Verify: %v, want ErrDamaged with the file's name", name, err)
		}
		if _, err := DigestOf(t.Context(), s, Dir(7)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: DigestOf: %v, want ErrDamaged", name, err)
		}
	}
	s := newMemory()
	m := write(t, s, 7, 0)
	delete(s.objects, Dir(7)+"/"+m.Files[0].Name)
	if err := Verify(t.Context(), s, m); err == nil {
		t.Error("Verify accepts a checkpoint without one of its files")
	}
}

func TestDigestOfSeesOtherValues(t *testing.T) {
	s := newMemory()
	a, b := write(t, s, 1, 0), write(t, s, 2, 0)
	if a.Digest == b.Digest {
		t.Error("two steps have one digest")
	}
	// A manifest may claim anything; the files say what is there.
	b.Digest = a.Digest
	if err := WriteManifest(t.Context(), s, b); err != nil {
		t.Fatal(err)
	}
	got, err := DigestOf(t.Context(), s, Dir(2))
	if err != nil || got == b.Digest {
		t.Errorf("DigestOf = %s, %v: it repeats the manifest's claim", got, err)
	}
}

func TestWriteFileFailsWithItsCause(t *testing.T) {
	s := newMemory()
	s.fail = func(op, key string) error { return errFull }
	if _, err := WriteFile(t.Context(), s, 1, Replicated, []Tensor{{"w", floats(2)}}); !errors.Is(err, errFull) || strings.Count(err.Error(), "step-0000000001/replicated.safetensors") != 1 {
		t.Errorf("WriteFile: %v, want the cause and the file", err)
	}
}

func TestManifestRefuses(t *testing.T) {
	s := newMemory()
	good := write(t, s, 9, 0)
	for want, change := range map[string]func(m *Manifest){
		"format version 2: this program reads version 1": func(m *Manifest) { m.FormatVersion = 2 },
		"job.uid is 0":                         func(m *Manifest) { m.Job.UID = 0 },
		"job.name is empty":                    func(m *Manifest) { m.Job.Name = "" },
		"it is of step 10, whose folder is":    func(m *Manifest) { m.Step = 10 },
		"skipped is 10: expected at most":      func(m *Manifest) { m.Skipped = 10 },
		"numerics is empty":                    func(m *Manifest) { m.Numerics = "" },
		"virtualRanks is 0":                    func(m *Manifest) { m.VirtualRanks = 0 },
		"2 of 3 virtual ranks have a file":     func(m *Manifest) { m.VirtualRanks = 3 },
		`specSha256 is "x"`:                    func(m *Manifest) { m.SpecSHA256 = "x" },
		"digest is \"AB":                       func(m *Manifest) { m.Digest = strings.Repeat("AB", 32) },
		"is listed twice":                      func(m *Manifest) { m.Files = append(m.Files, m.Files[0]) },
		`"replicated.safetensors" is missing`:  func(m *Manifest) { m.Files = m.Files[1:] },
		`name is "../x"`:                       func(m *Manifest) { m.Files[0].Name = "../x" },
		"files[2].virtualRank is 7: expected ": func(m *Manifest) { m.Files[2].VirtualRank = 7 },
		"files[1].size is -1":                  func(m *Manifest) { m.Files[1].Size = -1 },
		`files[1].sha256 is ""`:                func(m *Manifest) { m.Files[1].SHA256 = "" },
	} {
		m := good
		m.Files = slices.Clone(good.Files)
		change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		s.objects["step-0000000009/manifest.json"] = b
		if _, err := ReadManifest(t.Context(), s, Dir(9)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadManifest: %v, want an error with %q", err, want)
		}
		if strings.HasPrefix(want, "it is of step") {
			continue // correct in a folder of its own
		}
		if err := WriteManifest(t.Context(), s, m); err == nil {
			t.Errorf("WriteManifest accepts what must fail with %q", want)
		}
	}
	b, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"unexpected end of JSON input": string(b[:len(b)/2]),
		`unknown field "extra"`:        `{"extra":1,` + string(b[1:]),
		"invalid character 'x' after":  string(b) + "x",
		"format version 0":             "{}",
	} {
		s.objects["step-0000000009/manifest.json"] = []byte(text)
		if _, err := ReadManifest(t.Context(), s, Dir(9)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadManifest(%q): %v, want an error with %q", text, err, want)
		}
	}
}

func TestListAndPrune(t *testing.T) {
	s := newMemory()
	for _, step := range []uint64{300, 100, 200, 1000} {
		write(t, s, step, 0)
	}
	// Left by crashes, or not ours.
	s.objects["step-0000000050/replicated.safetensors"] = []byte("x")
	s.objects["step-0000000150/manifest.json"] = []byte("{")
	s.objects["step-0000002000/replicated.safetensors"] = []byte("x")
	s.objects["step-7/manifest.json"] = []byte("not ours")
	s.objects["step-notes.txt"] = []byte("not ours")
	s.objects["encoder.safetensors"] = []byte("not ours")

	complete, ignored, err := List(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if got := steps(complete); !slices.Equal(got, []uint64{100, 200, 300, 1000}) {
		t.Errorf("List finds steps %v", got)
	}
	if len(ignored) != 1 || ignored[0].Dir != "step-0000000150" || !errors.Is(ignored[0].Reason, ErrFormat) {
		t.Errorf("List ignores %v", ignored)
	}

	s.log = nil
	deleted, err := Prune(t.Context(), s, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(deleted, []uint64{50, 100, 200}) {
		t.Errorf("Prune deletes %v", deleted)
	}
	if i, j := slices.Index(s.log, "delete step-0000000100/manifest.json"), slices.Index(s.log, "delete step-0000000100/replicated.safetensors"); i < 0 || j < 0 || i > j {
		t.Errorf("the manifest must go first: %v", s.log)
	}
	keys, _ := s.List(t.Context(), "")
	for _, want := range []string{"encoder.safetensors", "step-0000000150/manifest.json", "step-notes.txt", "step-7/manifest.json", "step-0000002000/replicated.safetensors", "step-0000000300/manifest.json", "step-0000001000/manifest.json"} {
		if !slices.Contains(keys, want) {
			t.Errorf("Prune has deleted %s", want)
		}
	}
	if len(keys) != 13 {
		t.Errorf("%d keys are left: %v", len(keys), keys)
	}
	if deleted, err := Prune(t.Context(), s, 2); err != nil || len(deleted) != 0 {
		t.Errorf("second Prune: %v, %v", deleted, err)
	}
	if _, err := Prune(t.Context(), s, 0); err == nil {
		t.Error("Prune accepts keep 0")
	}
}

// What is written of a checkpoint that fails goes again; a checkpoint that an earlier run has completed stays.
func TestDiscard(t *testing.T) {
	s := newMemory()
	write(t, s, 100, 0)
	entry, err := WriteFile(t.Context(), s, 200, 3, []Tensor{{"w", floats(2)}})
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.objects)
	complete, _, err := List(t.Context(), s)
	if err != nil || len(complete) != 1 {
		t.Fatal(complete, err)
	}
	if err := Discard(t.Context(), s, 100, complete[0].Files); err != nil || len(s.objects) != before {
		t.Errorf("%v; %d objects of %d are left of a complete checkpoint and another's file", err, len(s.objects), before)
	}
	if err := Discard(t.Context(), s, 200, []FileEntry{entry}); err != nil || len(s.objects) != before-1 {
		t.Errorf("%v; %d objects, want %d", err, len(s.objects), before-1)
	}
	s.fail = func(op, key string) error { return errFull }
	if err := Discard(t.Context(), s, 200, []FileEntry{entry}); !errors.Is(err, errFull) {
		t.Errorf("a store that fails: %v", err)
	}
}

func steps(all []Manifest) (out []uint64) {
	for _, m := range all {
		out = append(out, m.Step)
	}
	return out
}

// Wherever a prune breaks off, what List shows is whole.
func TestInterruptedPruneLeavesWholeCheckpoints(t *testing.T) {
	for after := range 8 {
		s := newMemory()
		for step := range uint64(3) {
			write(t, s, step+1, 0)
		}
		n := 0
		s.fail = func(op, key string) error {
			if op != "delete" {
				return nil
			}
			if n++; n > after {
				return errFull
			}
			return nil
		}
		if _, err := Prune(t.Context(), s, 1); !errors.Is(err, errFull) {
			t.Errorf("after %d deletions: %v", after, err)
		}
		s.fail = nil
		complete, _, err := List(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range complete {
			if err := Verify(t.Context(), s, m); err != nil {
				t.Errorf("after %d deletions: %v", after, err)
			}
		}
		if deleted, err := Prune(t.Context(), s, 1); err != nil {
			t.Errorf("prune again after %d deletions: deleted %v: %v", after, deleted, err)
		}
		if keys, _ := s.List(t.Context(), ""); len(keys) != 4 {
			t.Errorf("prune again after %d deletions leaves %v", after, keys)
		}
	}
}

func TestListEndsWithItsContext(t *testing.T) {
	s := newMemory()
	write(t, s, 1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.fail = func(op, key string) error { return ctx.Err() }
	if _, _, err := List(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v, want the context's error", err)
	}
}
