package shard

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
)

// IDX is an array of bytes in the format of the MNIST files (http://yann.lecun.com/exdb/mnist/): two zero bytes, the element type (8 for
// bytes), the number of dimensions, each dimension as a big-endian uint32, the elements in row-major order.
type IDX struct {
	Dims []int // the first one counts the items
	Data []byte
}

// Item is the i-th item's bytes.
func (x IDX) Item(i int) []byte {
	n := len(x.Data) / max(x.Dims[0], 1)
	return x.Data[i*n : (i+1)*n]
}

// maxIDX bounds what one IDX file may hold, in bytes: it is read whole.
const maxIDX = 16 << 30

// ParseIDX reads one IDX array, gzipped or not. With limit > 0, at most so many items are read. The error says what the file lacks; the
// caller adds its name.
func ParseIDX(r io.Reader, limit int) (IDX, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if start, _ := b.Peek(2); len(start) == 2 && start[0] == 0x1f && start[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return IDX{}, idxError(err)
		}
		b = bufio.NewReaderSize(z, 64<<10)
	}
	var magic [4]byte
	if _, err := io.ReadFull(b, magic[:]); err != nil {
		return IDX{}, idxError(err)
	}
	if magic[0] != 0 || magic[1] != 0 || magic[2] != 8 || magic[3] == 0 || magic[3] > 4 {
		return IDX{}, fmt.Errorf("%w: it starts with % x; an IDX file of bytes starts with 00 00 08 and 1 to 4 dimensions", ErrFormat, magic)
	}
	x := IDX{Dims: make([]int, magic[3])}
	size := uint64(1)
	for i := range x.Dims {
		var d [4]byte
		if _, err := io.ReadFull(b, d[:]); err != nil {
			return IDX{}, idxError(err)
		}
		n := binary.BigEndian.Uint32(d[:])
		if i == 0 && limit > 0 {
			n = min(n, uint32(min(limit, 1<<31-1)))
		}
		high, low := bits.Mul64(size, uint64(n))
		if size = low; high != 0 || size > maxIDX {
			return IDX{}, fmt.Errorf("%w: its dimensions %v…×%d make more than %d GiB", ErrFormat, x.Dims[:i], n, maxIDX>>30)
		}
		x.Dims[i] = int(n)
	}
	// Read in growing pieces: a wrong header must not make us allocate what isn't there.
	var err error
	if x.Data, err = io.ReadAll(io.LimitReader(b, int64(size))); err != nil {
		return IDX{}, idxError(err)
	}
	if uint64(len(x.Data)) != size {
		return IDX{}, fmt.Errorf("%w: it holds %d of the %d bytes that its header %v promises", ErrTruncated, len(x.Data), size, x.Dims)
	}
	return x, nil
}

func idxError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// readIDX reads a local IDX file with a certain number of dimensions.
func readIDX(name, what string, limit int, dims ...int) (x IDX, err error) {
	f, err := os.Open(name)
	if err != nil {
		return IDX{}, fmt.Errorf("read %s: %w", what, err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("read %s: %w", what, closeErr)
		}
	}()
	if x, err = ParseIDX(f, limit); err != nil {
		return IDX{}, fmt.Errorf("read %s from %s: %w", what, name, err)
	}
	for _, d := range dims {
		if len(x.Dims) == d {
			return x, nil
		}
	}
	return IDX{}, fmt.Errorf("read %s from %s: %w: it has the dimensions %v; expected %v of them", what, name, ErrFormat, x.Dims, dims)
}
