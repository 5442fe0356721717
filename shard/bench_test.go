package shard

import "testing"

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
