package shard

import (
	"runtime"
	"testing"
)

func BenchmarkReader(b *testing.B) {
	dir := b.TempDir()
	p, err := Pack(b.Context(), PackOptions{Source: fashion + "train-images-idx3-ubyte.gz", Dest: dir}, nil)
	if err != nil {
		b.Fatal(err)
	}
	d, err := Open(b.Context(), p.URI, Options{})
	if err != nil {
		b.Fatal(err)
	}
	order, err := NewOrder(d.Shape(), OrderOptions{Batch: 256, VirtualRanks: 8})
	if err != nil {
		b.Fatal(err)
	}
	r, err := NewReader(b.Context(), d, order, 3, 0, ReadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	p, err := Pack(b.Context(), PackOptions{Source: fashion + "train-images-idx3-ubyte.gz", Dest: dir}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(p.Bytes)
	for b.Loop() {
		if _, err := Open(b.Context(), p.URI, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIndex indexes one shard of 200,000 samples, keeps the index as a worker does, and reads it back.
func BenchmarkIndex(b *testing.B) {
	const n = 200_000
	for b.Loop() {
		x, err := indexTar(manySamples(n), "x.tar", visitor{})
		if err != nil {
			b.Fatal(err)
		}
		x.Bytes = 1 << 40
		data := x.encode()
		var kept *Index
		held := heldBytes(func() { kept, err = decodeIndex(data) })
		if err != nil || len(kept.Samples) != len(x.Samples) {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(data))/n, "file-B/sample")
		b.ReportMetric(float64(held)/n, "memory-B/sample")
		runtime.KeepAlive(kept)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}
