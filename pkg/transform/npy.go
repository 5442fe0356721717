package transform

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// The header of an npy file is a Python dictionary with exactly these three entries; numpy writes them in this order, others may not.
var (
	npyType  = regexp.MustCompile(`'descr'\s*:\s*'([^']*)'`)
	npyOrder = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	npyShape = regexp.MustCompile(`'shape'\s*:\s*\(([0-9,\s]*)\)`)
)

// decodeNPY reads an array as numpy.save writes it (format: numpy.lib.format, versions 1 to 3).
func decodeNPY(data []byte) (Image, error) {
	header, values, err := splitNPY(data)
	if err != nil {
		return Image{}, err
	}
	dtype, order, shape := npyType.FindStringSubmatch(header), npyOrder.FindStringSubmatch(header), npyShape.FindStringSubmatch(header)
	if dtype == nil || order == nil || shape == nil {
		return Image{}, fmt.Errorf("npy header %q: expected descr, fortran_order and shape", clip(header))
	}
	if order[1] != "False" {
		return Image{}, fmt.Errorf("npy array in Fortran order: expected C order (save numpy.ascontiguousarray)")
	}
	h, w, c, err := npySize(shape[1])
	if err != nil {
		return Image{}, err
	}
	width := 1
	switch dtype[1] {
	case "|u1":
	case "<f4":
		width = 4
	default:
		return Image{}, fmt.Errorf("npy array of type %q: expected |u1 (uint8) or <f4 (float32)", clip(dtype[1]))
	}
	n := h * w * c
	if len(values) != n*width {
		return Image{}, fmt.Errorf("npy array of shape (%s) has %d bytes of values: expected %d", shape[1], len(values), n*width)
	}
	m := Image{h, w, c, make([]float32, n)}
	if width == 1 {
		for i, v := range values {
			m.Pix[i] = unit[v]
		}
		return m, nil
	}
	for i := range m.Pix {
		v := math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:]))
		if !(v >= 0 && v <= 1) { // NaN included
			return Image{}, fmt.Errorf("npy array holds %v at element %d: expected values in [0, 1]", v, i)
		}
		m.Pix[i] = v + 0 // −0 becomes 0
	}
	return m, nil
}

func splitNPY(data []byte) (header string, values []byte, err error) {
	magic := []byte("\x93NUMPY")
	if len(data) < 10 || !bytes.HasPrefix(data, magic) {
		return "", nil, fmt.Errorf("it does not begin as an npy file does")
	}
	start, length := 10, uint64(binary.LittleEndian.Uint16(data[8:]))
	switch data[6] {
	case 1:
	case 2, 3:
		if len(data) < 12 {
			return "", nil, fmt.Errorf("npy header ends too early")
		}
		start, length = 12, uint64(binary.LittleEndian.Uint32(data[8:]))
	default:
		return "", nil, fmt.Errorf("npy format version %d: expected 1, 2 or 3", data[6])
	}
	if length > uint64(len(data)-start) {
		return "", nil, fmt.Errorf("npy header of %d bytes ends after the file", length)
	}
	end := start + int(length)
	return string(data[start:end]), data[end:], nil
}

func npySize(shape string) (h, w, c int, err error) {
	var dims []int
	for _, s := range strings.Split(shape, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("npy shape (%s): %w", clip(shape), err)
		}
		dims = append(dims, n)
	}
	if len(dims) == 2 {
		dims = append(dims, 1)
	}
	if len(dims) != 3 || dims[2] < 1 || dims[2] > 16 {
		return 0, 0, 0, fmt.Errorf("npy shape (%s): expected (H, W) or (H, W, C) with C from 1 to 16", clip(shape))
	}
	return dims[0], dims[1], dims[2], checkSize(dims[0], dims[1])
}

// clip bounds what an error message repeats of unknown data.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
