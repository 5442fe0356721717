// Subset-idx writes the first items of an IDX file, gzipped, without a time stamp: the same input gives the same bytes. It made the files
// in examples/data/fashion-mnist:
//
//	go run ./scripts/subset-idx -n 10000 FOLDER/train-images-idx3-ubyte.gz examples/data/fashion-mnist/train-images-idx3-ubyte.gz
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"os"

	"github.com/sslctl/sslctl/shard"
)

func main() {
	n := flag.Int("n", 0, "how many items to keep")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: subset-idx -n COUNT FROM TO")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 || *n <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *n); err != nil {
		fmt.Fprintln(os.Stderr, "subset-idx:", err)
		os.Exit(1)
	}
}

func run(from, to string, n int) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	x, err := shard.ParseIDX(bytes.NewReader(data), n)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	if x.Dims[0] != n {
		return fmt.Errorf("%s holds %d items; %d were asked for", from, x.Dims[0], n)
	}
	header := []byte{0, 0, 8, byte(len(x.Dims))}
	for _, d := range x.Dims {
		header = binary.BigEndian.AppendUint32(header, uint32(d))
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{header, x.Data} {
		if _, err := z.Write(part); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}
