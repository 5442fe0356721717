package checkpoint

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/tensor"
)

// memory is a Store in a map.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	fail    func(op, key string) error // if set, may refuse an operation
	log     []string                   // "put key", "delete key"
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (m *memory) enter(op, key string) error {
	m.log = append(m.log, op+" "+key)
	if m.fail != nil {
		if err := m.fail(op, key); err != nil {
			return fmt.Errorf("%s %s: %w", op, key, err)
		}
	}
	return nil
}

func (m *memory) Put(_ context.Context, key string, r io.Reader, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("put", key); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if int64(len(b)) != size {
		return fmt.Errorf("put %s: %d bytes announced, %d came", key, size, len(b))
	}
	m.objects[key] = b
	return nil
}

func (m *memory) Get(_ context.Context, key string, off, length int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("get", key); err != nil {
		return nil, err
	}
	b, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("no such object: %s", key)
	}
	b = b[off:]
	if length >= 0 {
		b = b[:length]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m *memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.enter("delete", key); err != nil {
		return err
	}
	delete(m.objects, key)
	return nil
}

func floats(shape ...int) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)*0.25 - 3
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}

func uints(n int) *tensor.Dense {
	x := make([]uint64, n)
	for i := range x {
		x[i] = ^uint64(0) - uint64(i)*977
	}
	return tensor.New(tensor.WithShape(n), tensor.WithBacking(x))
}

// state is a small state with every type and odd sizes; fill shifts its values.
func state(fill float32) (replicated []Tensor, ranks [][]Tensor) {
	w := floats(3, 5, 2)
	for i := range w.Float32s() {
		w.Float32s()[i] += fill
	}
	replicated = []Tensor{
		{"encoder.weight", w},
		{"arena", floats(300)},
		{"count", tensor.New(tensor.WithShape(1), tensor.WithBacking([]int64{-42}))},
	}
	for v := range 2 {
		ranks = append(ranks, []Tensor{{"bank.keys", floats(4+v, 3)}, {"bank.positions", uints(4 + v)}})
	}
	return replicated, ranks
}

// write makes a checkpoint of state(fill) at a step.
func write(t *testing.T, s Store, step uint64, fill float32) Manifest {
	t.Helper()
	replicated, ranks := state(fill)
	m := Manifest{
		FormatVersion: FormatVersion, Job: Job{UID: 12, Name: "fashion-moco"}, Step: step, Generation: 3, Samples: step * 256, Skipped: 1,
		Counters: map[string]uint64{"corrupt": 2}, Numerics: "portable/1", VirtualRanks: 2, SpecSHA256: strings.Repeat("ab", 32),
	}
	var sums []TensorSum
	for v := Replicated; v < 2; v++ {
		tensors := replicated
		if v != Replicated {
			tensors = ranks[v]
		}
		entry, err := WriteFile(t.Context(), s, step, v, tensors)
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, entry)
		for _, x := range tensors {
			sums = append(sums, SumOf(x.Name, v, x.Value))
		}
	}
	m.Digest = Digest(m.Step, m.Skipped, sums)
	if err := WriteManifest(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	return m
}
